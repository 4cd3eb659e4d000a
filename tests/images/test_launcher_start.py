"""How a start is measured, warmed up, and saved for the next one."""

import contextlib
import hashlib
import io
import json
import os
import resource
import signal
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_serving_engine import compile_cache
from llm_serving_engine.compile_cache import ARCHIVES, MANIFEST, CacheError
from llm_serving_engine.options import OPTIONS, PREFIX, parse

from llm_serving.metrics.promql import startup_seconds
from llm_serving.metrics.series import LauncherSeries, LaunchStage
from tests.images.launched import ANSWERING, PATIENCE, REPOSITORY, Launch, launching, until


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launching(tmp_path) as start:
        yield start


@pytest.fixture
def answering(launch: Launch) -> Launch:
    pytest.importorskip("uvicorn", reason="the engine of these tests is served by vLLM's own web server, uvicorn")
    return launch


def _archive(saved: Path) -> Path:
    (archive,) = saved.glob(ARCHIVES)
    return archive


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: as on a volume that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_stages_of_the_start_add_up_and_are_there_for_prometheus(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    metrics = launched.metrics()
    assert (metrics[LauncherSeries.ENGINE_UP], metrics[LauncherSeries.ENGINE_READY]) == (1, 1)
    stages = {name: value for name, value in metrics.items() if name.startswith(LauncherSeries.STARTUP_SECONDS)}
    total = stages.pop(startup_seconds(LaunchStage.TOTAL))
    assert set(stages) == {startup_seconds(LaunchStage.ENGINE), startup_seconds(LaunchStage.MODEL)}
    assert sum(round(value * 1000) for value in stages.values()) == round(total * 1000)
    assert LauncherSeries.REQUESTS_RUNNING not in metrics


def test_an_engine_that_starts_is_down_and_has_no_total(launch: Launch) -> None:
    launched = launch(files=("loading",))
    until(lambda: startup_seconds(LaunchStage.ENGINE) in launched.metrics(), "the engine answers")
    metrics = launched.metrics()
    assert (metrics[LauncherSeries.ENGINE_UP], metrics[LauncherSeries.ENGINE_READY]) == (0, 0)
    assert startup_seconds(LaunchStage.TOTAL) not in metrics


def test_a_draining_engine_is_up_and_not_ready(launch: Launch) -> None:
    launched = launch(files=("drain",))
    launched.ready()
    launched.process.send_signal(signal.SIGTERM)
    until(lambda: launched.signals() == ["SIGTERM"], "the engine is told")
    metrics = launched.metrics()
    assert metrics[LauncherSeries.ENGINE_READY] == 0
    launched.clear("drain")


def test_metrics_have_help_and_type_once_each(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    names = [name.partition("{")[0] for name in launched.metrics()]
    assert set(names) == {LauncherSeries.ENGINE_UP, LauncherSeries.ENGINE_READY, LauncherSeries.STARTUP_SECONDS}


def test_ready_comes_only_after_the_warm_up(answering: Launch) -> None:
    launched = answering("--warm-up", engine=ANSWERING, files=("stuck",))
    until(lambda: (launched.state / "completed").exists(), "the warm-up reaches the engine")
    until(lambda: "warm-up" in launched.get("/health/ready")[1]["reason"], "a reason")
    assert launched.get("/health/ready")[0] == 503
    assert launched.get("/health/live")[0] == 200
    launched.clear("stuck")
    launched.ready()
    request = json.loads((launched.state / "completed").read_text())
    assert request["model"] == "tiny-llama"
    assert 0 < request["max_tokens"] <= 16
    assert startup_seconds(LaunchStage.WARM_UP) in launched.metrics()


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (("broken",), (), "the warm-up request was answered with 500: "),
        (("stuck",), ("--warm-up-seconds=0.2",), "the warm-up request failed: /v1/completions did not answer"),
    ],
)
def test_a_warm_up_that_fails_is_a_failed_start(
    answering: Launch, files: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    launched = answering("--warm-up", *options, engine=ANSWERING, files=files)
    assert launched.wait() == 1
    assert launched.signals() == ["SIGTERM"]
    errors = launched.process.communicate(timeout=PATIENCE)[1]
    assert f"the start failed: {message}" in errors
    assert "ready after" not in errors


def test_a_variable_switches_the_warm_up_on(answering: Launch) -> None:
    launched = answering(engine=ANSWERING, LLM_SERVING_ENGINE_WARM_UP="true")
    launched.ready()
    assert (launched.state / "completed").exists()


def test_a_job_ends_well_once_the_engine_is_ready(answering: Launch) -> None:
    launched = answering("--exit-when-ready", "--warm-up", engine=ANSWERING, engine_options=("--shutdown-timeout=600",))
    assert launched.wait() == 0
    assert launched.signals() == ["SIGTERM"]
    assert "ready after" in launched.process.communicate(timeout=PATIENCE)[1]


def test_a_job_that_is_told_to_stop_before_the_engine_is_ready_has_failed(launch: Launch) -> None:
    launched = launch("--exit-when-ready", files=("loading",))
    until(lambda: startup_seconds(LaunchStage.ENGINE) in launched.metrics(), "the engine answers")
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 1
    assert launched.signals() == ["SIGTERM"]


def test_a_job_whose_engine_is_never_ready_does_not_end_well(launch: Launch) -> None:
    launched = launch("--exit-when-ready", files=("loading",))
    os.kill(launched.engine_pid, signal.SIGKILL)
    assert launched.wait() == 128 + signal.SIGKILL


def test_a_saved_compile_cache_is_there_before_the_next_engine_starts_and_is_not_written(
    answering: Launch, tmp_path: Path
) -> None:
    saved = tmp_path / "bucket" / "tiny-llama-1.0.0-cpu"
    job = answering(
        "--exit-when-ready",
        f"--save-compile-cache={saved}",
        engine=ANSWERING,
        VLLM_CACHE_ROOT=str(tmp_path / "first"),
    )
    assert job.wait() == 0
    assert json.loads((job.state / "found").read_text()) == []
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in saved.iterdir()}
    assert set(before) == {_archive(saved).name, MANIFEST}
    serving = answering(
        f"--compile-cache={saved}", engine=ANSWERING, HOME=str(tmp_path / "home"), XDG_CACHE_HOME="", VLLM_CACHE_ROOT=""
    )
    serving.ready()
    assert json.loads((serving.state / "found").read_text()) == ["model"]
    assert (tmp_path / "home/.cache/vllm/torch_compile_cache/0123456789/model").read_text() == "compiled"
    assert startup_seconds(LaunchStage.COMPILE_CACHE) in serving.metrics()
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in saved.iterdir()} == before


@pytest.mark.parametrize("damage", ["nothing there", "half an archive", "no archive", "damaged manifest"])
def test_a_cache_that_cannot_be_used_is_told_and_the_engine_starts_without_it(
    answering: Launch, tmp_path: Path, damage: str
) -> None:
    saved, root = tmp_path / "saved", tmp_path / "root"
    if damage != "nothing there":
        made = tmp_path / "made"
        made.mkdir()
        (made / "model").write_text("compiled")
        compile_cache.save(made, saved)
    if damage == "half an archive":
        os.truncate(_archive(saved), 600)
    if damage == "no archive":
        _archive(saved).unlink()
    if damage == "damaged manifest":
        (saved / MANIFEST).write_text("{}")
    launched = answering(f"--compile-cache={saved}", engine=ANSWERING, VLLM_CACHE_ROOT=str(root))
    launched.ready()
    launched.process.send_signal(signal.SIGTERM)
    errors = launched.process.communicate(timeout=PATIENCE)[1]
    assert ("nothing was saved yet" if damage == "nothing there" else "the engine starts without it") in errors
    assert not (root / "model").exists()


def test_a_cache_is_never_saved_over_a_whole_one_by_half(tmp_path: Path) -> None:
    root, saved = tmp_path / "root", tmp_path / "saved"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "kernel").write_bytes(b"x" * 100_000)
    (root / "deep" / "kernel").chmod(0o755)
    size = compile_cache.save(root, saved)
    assert json.loads((saved / MANIFEST).read_text())["bytes"] == size == _archive(saved).stat().st_size
    assert compile_cache.restore(saved, tmp_path / "again") == size
    assert stat.S_IMODE((tmp_path / "again/deep/kernel").stat().st_mode) == 0o755
    with files_end_at(50_000), pytest.raises(CacheError, match="cannot be saved"):
        compile_cache.save(root, saved)
    assert compile_cache.restore(saved, tmp_path / "third") == size
    (root / "second").write_bytes(b"y")
    again = compile_cache.save(root, saved)
    assert _archive(saved).stat().st_size == again
    assert compile_cache.restore(saved, tmp_path / "third") == again
    assert sorted(path.name for path in (tmp_path / "third").iterdir()) == ["deep", "second"]


def test_a_cache_that_is_unpacked_half_leaves_no_file_to_the_engine(tmp_path: Path) -> None:
    made, saved, root = tmp_path / "made", tmp_path / "saved", tmp_path / "root"
    made.mkdir()
    (made / "first").write_bytes(b"small")
    (made / "kernel").write_bytes(b"x" * 100_000)
    compile_cache.save(made, saved)
    with files_end_at(50_000), pytest.raises(CacheError, match="cannot be unpacked"):
        compile_cache.restore(saved, root)
    assert list(root.iterdir()) == []


def test_files_of_an_archive_that_is_not_the_one_that_was_saved_reach_no_engine(tmp_path: Path) -> None:
    made, saved, root = tmp_path / "made", tmp_path / "saved", tmp_path / "root"
    made.mkdir()
    (made / "kernel").write_bytes(b"x" * 100_000)
    compile_cache.save(made, saved)
    content = bytearray(_archive(saved).read_bytes())
    content[content.index(b"xxx")] ^= 1
    _archive(saved).write_bytes(content)
    with pytest.raises(CacheError, match="its digest is"):
        compile_cache.restore(saved, root)
    assert list(root.iterdir()) == []


def test_a_cache_is_unpacked_over_what_an_earlier_start_left(tmp_path: Path) -> None:
    made, saved, root = tmp_path / "made", tmp_path / "saved", tmp_path / "root"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "kernel").write_bytes(b"new")
    compile_cache.save(made, saved)
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "kernel").write_bytes(b"old")
    (root / "deep" / "own").write_bytes(b"own")
    (root / ".unpacked").mkdir()
    (root / ".unpacked" / "half").write_bytes(b"")
    compile_cache.restore(saved, root)
    restored = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert restored == {"deep/kernel": b"new", "deep/own": b"own"}


def test_an_engine_that_left_no_cache_is_told(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="left nothing there to save"):
        compile_cache.save(tmp_path / "none", tmp_path / "saved")


def test_an_archive_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    with tarfile.open(saved / "cache-1.tar", "w") as tar:
        entry = tarfile.TarInfo("../outside")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    digest = hashlib.sha256((saved / "cache-1.tar").read_bytes()).hexdigest()
    (saved / MANIFEST).write_text(json.dumps({"archive": "cache-1.tar", "sha256": digest}))
    with pytest.raises(CacheError, match=r"'\.\./outside', which is no file of a cache"):
        compile_cache.restore(saved, tmp_path / "root")
    assert not (tmp_path / "outside").exists()


def test_the_time_of_a_drain_is_the_engines_own_unless_it_is_given() -> None:
    command = ["vllm", "serve", "/models", "--shutdown-timeout=45"]
    assert parse(["--", *command], {}).drain_seconds == 45
    assert parse(["--drain-seconds=7", "--", *command], {}).drain_seconds == 7
    assert parse(["--drain-seconds=0", "--", *command], {}).drain_seconds == 0
    assert parse(["--", *command[:3]], {}).drain_seconds == 0


def test_switches_are_off_unless_they_are_given_and_a_flag_wins() -> None:
    options = parse(["--", "vllm"], {})
    assert (options.warm_up_seconds, options.exit_when_ready) == (None, False)
    assert (options.compile_cache, options.save_compile_cache) == (None, None)
    assert parse(["--warm-up", "--", "vllm"], {}).warm_up_seconds == 300
    assert parse(["--warm-up=false", "--", "vllm"], {f"{PREFIX}WARM_UP": "true"}).warm_up_seconds is None
    variables = {f"{PREFIX}WARM_UP": "1", f"{PREFIX}WARM_UP_SECONDS": "20"}
    assert parse(["--", "vllm"], variables).warm_up_seconds == 20


def test_every_option_and_its_variable_are_documented() -> None:
    text = (REPOSITORY / "docs" / "launcher.md").read_text()
    for name in OPTIONS:
        assert f"`--{name}" in text, name
        assert f"`{PREFIX}{name.replace('-', '_').upper()}`" in text, name
    for series in LauncherSeries:
        assert f"`{series}" in text, series
