"""A build that fails, or takes too long, ends with what it said last."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.cluster.processes import Process
from local.images import ImageError
from local.images.cache import check_room, gigabytes
from local.images.logged_commands import elapsed, output_of, run_logged

REPOSITORY = Path(__file__).resolve().parents[4]


def run(tmp_path, script, **more):
    lines = []
    options = {"doing": "the build of x", "log": tmp_path / "x.log", "timeout_s": 30, "say": lines.append} | more
    run_logged(["sh", "-c", script], **options)
    return lines


def test_output_goes_to_the_log(tmp_path):
    assert run(tmp_path, "echo out; echo err >&2") == []
    assert (tmp_path / "x.log").read_text().split() == ["out", "err"]


def test_a_failure_names_the_log_and_shows_its_last_lines(tmp_path):
    script = "for i in $(seq 50); do echo line $i.; done; exit 3"
    with pytest.raises(ImageError, match="the build of x failed") as failure:
        run(tmp_path, script)
    message = str(failure.value)
    assert str(tmp_path / "x.log") in message
    assert "line 50." in message
    assert "line 20." not in message


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    told = tmp_path / "child"
    script = f"sleep 600 & echo $! > {told}.new; mv {told}.new {told}; wait"
    with pytest.raises(ImageError, match="took longer than 5s"):
        run(tmp_path, script, timeout_s=5)
    child = Process.of(int(told.read_text()))
    assert child is None or child.wait(30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child when its parent is killed")
def test_a_killed_builder_takes_its_command_along(tmp_path):
    told = tmp_path / "child"
    code = (
        "from pathlib import Path\n"
        "from local.images.logged_commands import run_logged\n"
        f"run_logged(['sh', '-c', 'echo $$ > {told}.new; mv {told}.new {told}; exec sleep 600'], doing='x', "
        f"log=Path({str(tmp_path / 'x.log')!r}), timeout_s=600, say=print)\n"
    )
    builder = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    try:
        while not told.exists():
            assert builder.poll() is None
            time.sleep(0.01)
        child = Process.of(int(told.read_text()))
    finally:
        builder.kill()
        builder.wait()
    assert child is not None
    assert child.wait(30)


def test_a_short_command_that_fails_says_why():
    with pytest.raises(ImageError, match="reading x failed: because") as failure:
        output_of(["sh", "-c", "echo because >&2; exit 1"], doing="reading x")
    assert "because" in str(failure.value)


def test_too_little_room_is_told_before_it_is_used_up(tmp_path):
    check_room(tmp_path, 1, "a test")
    with pytest.raises(ImageError, match=r"a test needs about 1000000000\.00 GB") as refusal:
        check_room(tmp_path / "not" / "there", 10**18, "a test")
    assert "are free" in str(refusal.value)
    assert "LLM_SERVING_CACHE" in str(refusal.value)


def test_sizes_and_times_read_well():
    assert [gigabytes(size) for size in (4_940_898_304, 208_000_000)] == ["4.94 GB", "0.208 GB"]
    assert [elapsed(seconds) for seconds in (4.2, 125)] == ["4s", "2m05s"]
