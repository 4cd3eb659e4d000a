"""The model loader with real folders: a copy is complete or not there, however a run ends."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from llm_serving_load.completeness import find_damage
from llm_serving_load.errors import InterruptedTransferError, LoadError, LostPartError, StoppedError
from llm_serving_load.loading import Loader, Model
from llm_serving_load.main import main
from llm_serving_load.manifest import Manifest
from llm_serving_load.retrier import Retrier
from llm_serving_load.retrying import RetryingSource
from llm_serving_load.sources import SourceFile
from llm_serving_load.sources.folder import FolderSource
from llm_serving_load.streams import Stream
from llm_serving_load.targets import FolderTarget

from tests.images.models import (
    AGAIN,
    NAME,
    NEVER,
    PATIENCE,
    REVISION,
    contents,
    ended,
    load,
    load_arguments,
    loader,
    put,
    refusal,
    safetensors,
    verify,
    whole,
)

_SHARD = "model-00002-of-00002.safetensors"
_INDEX = "model.safetensors.index.json"
_OTHER = "f" * 40
_OWNER, _OTHER_OWNER = f"{NAME} at {REVISION}", f"{NAME} at {_OTHER}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    put(tmp_path / "source", whole())
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "tiny" / "1.0.0"


def test_a_model_is_copied_whole_with_a_manifest_that_names_each_file(source: Path, target: Path) -> None:
    status, output, errors = load(source, target)
    assert (status, errors) == (0, "")
    assert "complete: 7 files" in output
    copied = contents(target)
    manifest = json.loads(copied.pop("manifest.json"))
    assert copied == whole()
    assert (manifest["repository"], manifest["revision"], manifest["source"]) == (NAME, REVISION, f"file://{source}")
    assert {file["name"]: (file["size"], file["sha256"]) for file in manifest["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in whole().items()
    }
    assert verify(target)[0] == 0
    assert verify(target, "--deep", f"--repository={NAME}", f"--revision={REVISION}")[0] == 0


def adapter(rank: int = 16, **changes: object) -> dict[str, bytes]:
    """A LoRA adapter as PEFT writes it."""
    return {
        "adapter_config.json": json.dumps(
            {"peft_type": "LORA", "r": rank, "lora_alpha": 32, "target_modules": ["q_proj"], "bias": "none", **changes}
        ).encode(),
        "adapter_model.safetensors": safetensors({"a": 300}),
        "README.md": b"# an adapter\n",
    }


def test_an_adapter_is_loaded_into_a_place_of_its_own_beside_the_model(tmp_path: Path, target: Path) -> None:
    models, adapters = tmp_path / "models", tmp_path / "adapters"
    put(models, whole())
    put(adapters, adapter())
    adapter_folder = target / ".adapters" / "sql"
    assert load(adapters, adapter_folder, "--adapter-rank=16")[0] == 0
    assert load(models, target)[0] == 0
    assert verify(target)[0] == verify(adapter_folder)[0] == 0
    assert {name: content for name, content in contents(adapter_folder).items() if name != "manifest.json"} == adapter()
    # A second run finds both.
    assert "already there" in load(models, target)[1]
    assert "already there" in load(adapters, adapter_folder, "--adapter-rank=16")[1]


@pytest.mark.parametrize(
    ("files", "rank", "told"),
    [
        (adapter(rank=64), "16", "its rank is 64, and room was planned for 16; write rank: 64 in the release"),
        (adapter(rank_pattern={"q": 32}), "16", "its rank is 32, and room was planned for 16"),
        (adapter(rank=0), "16", "the rank r is 0; this is no LoRA adapter, or it is damaged"),
        (adapter(rank_pattern={"q": 0}), "16", "the rank q is 0"),
        (adapter(peft_type="LOHA"), "16", "its peft_type is 'LOHA'; engines take LORA alone"),
        (adapter(lora_alpha=None), "16", "lora_alpha is missing; save the adapter again with PEFT"),
        (adapter(use_dora=True), "16", "use_dora is True, which vLLM refuses; train or convert without it"),
        (adapter(bias="all"), "16", "bias is 'all', which vLLM refuses"),
        (adapter(modules_to_save=["lm_head"]), "16", "modules_to_save is ['lm_head'], which vLLM refuses"),
        (whole(), "16", "adapter_config.json is missing; a LoRA adapter needs it"),
        ({**adapter(), "adapter_model.safetensors": b"\0" * 20}, "16", "the file is damaged, put it there again"),
        ({**adapter(), "adapter_model.safetensors": safetensors({"a": 0})}, "16", "it holds no weights"),
        (adapter(), "0", "--adapter-rank '0': it must be a number from 1 to 512"),
        (adapter(), "", "config.json is missing; this is not a model that an engine can load, but adapter_config.json"),
    ],
)
def test_what_no_engine_could_load_as_an_adapter_is_refused(
    tmp_path: Path, target: Path, files: dict[str, bytes], rank: str, told: str
) -> None:
    put(tmp_path / "source", files)
    status, _, errors = load(tmp_path / "source", target, *([f"--adapter-rank={rank}"] if rank else []))
    assert status == (2 if rank == "0" else NEVER)
    assert told in errors
    assert not list(target.rglob("*.safetensors"))


def test_every_user_can_read_the_copy_whatever_the_umask_and_the_source_say(source: Path, target: Path) -> None:
    for path in source.rglob("*.safetensors"):
        path.chmod(0o600)
    process = loader(*load_arguments(source, target), prefix=("sh", "-c", 'umask 077; exec "$@"', "sh"))
    assert ended(process)[0] == 0
    for path in [target.parent.parent, target.parent, target, *target.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_a_second_run_finds_the_copy_and_writes_nothing(source: Path, target: Path) -> None:
    load(source, target)
    before = {path: path.stat().st_mtime_ns for path in [target, *target.rglob("*")]}
    shutil.rmtree(source)
    status, output, _ = load(source, target)
    assert status == 0
    assert "already there: 7 files" in output
    assert {path: path.stat().st_mtime_ns for path in [target, *target.rglob("*")]} == before


def test_a_killed_run_leaves_no_complete_copy_and_the_next_one_completes_it(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    folder = put(source, whole())
    _grow(folder / "model-00002-of-00002.safetensors", "c", 1024 * 1024 * 1024)
    process = loader(*load_arguments(source, target, "--workers=1"))
    end = time.monotonic() + PATIENCE
    while not _in_the_middle(target):
        assert process.poll() is None
        assert time.monotonic() < end
    process.kill()
    ended(process)
    assert not (target / "model-00002-of-00002.safetensors").exists()
    assert _parts(target)
    status, _, errors = verify(target)
    assert status == AGAIN
    assert errors.startswith(f"error: --target '{target}': there is no complete model")

    status, output, errors = load(source, target)
    assert (status, errors) == (0, "")
    assert "complete: 7 files" in output
    assert verify(target, "--deep")[0] == 0
    assert not (target / ".parts").exists()


def test_a_run_goes_on_from_the_files_that_are_complete(source: Path, target: Path) -> None:
    load(source, target)
    (target / "manifest.json").unlink()
    (target / "tokenizer.json").unlink()
    kept = target / "model-00002-of-00002.safetensors"
    before = kept.stat().st_ino
    status, output, _ = load(source, target)
    assert status == 0
    assert "were there already" in output
    assert kept.stat().st_ino == before
    assert contents(target).keys() == {*whole(), "manifest.json"}


def test_a_file_of_the_right_size_and_other_content_is_copied_again(source: Path, target: Path) -> None:
    load(source, target)
    (target / "manifest.json").unlink()
    damaged = target / "model-00002-of-00002.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    assert load(source, target)[0] == 0
    assert damaged.read_bytes() == whole()[damaged.name]


def test_sigterm_ends_a_run_which_takes_its_parts_along(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    folder = put(source, whole())
    _grow(folder / "model-00002-of-00002.safetensors", "c", 1024 * 1024 * 1024)
    process = loader(*load_arguments(source, target, "--workers=1"))
    end = time.monotonic() + PATIENCE
    while not _in_the_middle(target):
        assert process.poll() is None
        assert time.monotonic() < end
    process.send_signal(signal.SIGTERM)
    status, _, errors = ended(process)
    assert status == 128 + signal.SIGTERM
    assert errors == "error: stopped before the end; run it again, it goes on with what is missing\n"
    assert not _parts(target)
    assert verify(target)[0] == AGAIN


def test_several_loaders_at_once_make_one_complete_copy(source: Path, target: Path) -> None:
    folder = source / NAME / REVISION
    for number in range(8):
        (folder / f"part-{number}.safetensors").write_bytes(safetensors({"x": 4_000_000 + number}))
    processes = [loader(*load_arguments(source, target, "--workers=2")) for _ in range(4)]
    assert [ended(process)[0] for process in processes] == [0, 0, 0, 0]
    copied = contents(target)
    del copied["manifest.json"]
    assert copied == contents(folder)
    assert verify(target, "--deep")[0] == 0


def test_the_folder_of_parts_may_go_between_two_looks_at_it(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = FolderTarget(target)
    writing.part("kept").discard()
    finished: list[str] = []
    mkdir = os.mkdir

    def make(path: Path, mode: int = 0o777) -> None:
        """As the system does; another loader finishes between its answer and the next look."""
        try:
            mkdir(path, mode)
        except FileExistsError:
            if Path(path).name == ".parts" and not finished:
                finished.append(str(path))
                os.rmdir(path)
            raise

    monkeypatch.setattr(os, "mkdir", make)
    part = writing.part("a")
    part.write(memoryview(b"content"))
    part.commit()
    assert finished
    assert (target / "a").read_bytes() == b"content"


def test_a_loader_of_another_revision_is_kept_out_while_one_loads(source: Path, target: Path) -> None:
    put(source, {**whole(), "config.json": b'{"model_type": "other"}'}, _OTHER)
    refused: list[str] = []

    class Slow(FolderSource):
        """So slow that the other loader comes when half of the files are there."""

        def open(self, file: SourceFile, offset: int = 0) -> Stream:
            if file.name == _SHARD and (target / ".parts").exists() and not refused:
                refused.append(refusal(f"file://{source}", target, revision=_OTHER))
            return super().open(file, offset)

    model = Model(f"file://{source}", NAME, REVISION)
    slow = Slow(source / NAME / REVISION)
    Loader(model, FolderTarget(target), print, threading.Event(), workers=1).load(lambda: slow)
    assert refused == [
        f"--target '{target}': a loader of {_OWNER} has claimed it, and {_OTHER_OWNER} was asked for; name another "
        "folder, or, where that loader runs no more, remove this folder and load again"
    ]
    copied = contents(target)
    assert json.loads(copied.pop("manifest.json"))["revision"] == REVISION
    assert copied == whole()


def test_of_loaders_of_two_revisions_that_begin_at_once_one_makes_its_copy(source: Path, target: Path) -> None:
    put(source, {**whole(), "config.json": b'{"model_type": "other"}'}, _OTHER)
    processes = [loader(*load_arguments(source, target, revision=revision)) for revision in (REVISION, _OTHER)]
    results = [ended(process) for process in processes]
    assert sorted(status for status, _, _ in results) == [0, NEVER]
    (won,) = (revision for revision, result in zip((REVISION, _OTHER), results, strict=True) if result[0] == 0)
    assert verify(target, "--deep", f"--revision={won}")[0] == 0


def test_a_claim_belongs_to_one_of_all_who_make_it_at_once(target: Path) -> None:
    FolderTarget(target).prepare()
    owners = [f"acme/tiny at {number:040x}" for number in range(16)]
    with ThreadPoolExecutor(len(owners)) as threads:
        told = set(threads.map(lambda owner: FolderTarget(target).claim(owner), owners))
    assert len(told) == 1
    assert told <= set(owners)


def test_the_claim_of_a_killed_loader_is_used_by_its_own_revision_alone(source: Path, target: Path) -> None:
    put(source, whole(), _OTHER)
    FolderTarget(target).prepare()
    assert FolderTarget(target).claim(_OWNER) == _OWNER
    assert f"a loader of {_OWNER} has claimed it" in refusal(f"file://{source}", target, revision=_OTHER)
    assert load(source, target)[0] == 0
    shutil.rmtree(target)
    assert ended(loader(*load_arguments(source, target, revision=_OTHER)))[0] == 0


@pytest.mark.parametrize("left", [b"", _OTHER_OWNER.encode()], ids=["empty", "half"])
def test_a_claim_whose_maker_was_killed_before_its_line_was_whole_is_taken_over(
    target: Path, left: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_serving_load.targets.folder._CLAIM_SECONDS", 0.1)
    folder = FolderTarget(target)
    folder.prepare()
    (target / ".claim").write_bytes(left)
    assert folder.claim(_OWNER) == _OWNER
    assert folder.claim(_OTHER_OWNER) == _OWNER
    assert (target / ".claim").read_text() == f"{_OWNER}\n"


def test_a_manifest_that_another_loader_wrote_over_is_found_though_all_sizes_agree(source: Path, target: Path) -> None:
    class Shared(FolderTarget):
        """A folder in which somebody with other contents of the same sizes finishes a moment later."""

        def finish(self, manifest: Manifest) -> None:
            super().finish(manifest)
            first, *rest = manifest.files
            super().finish(replace(manifest, files=(replace(first, sha256="0" * 64), *rest)))

    model = Model(f"file://{source}", NAME, REVISION)
    loader = Loader(model, Shared(target), print, threading.Event(), workers=1)
    with pytest.raises(LoadError) as refused:
        loader.load(lambda: FolderSource(source / NAME / REVISION))
    assert "the copy changed while it was finished, the manifest has another config.json" in str(refused.value)


def test_nothing_is_asked_any_more_once_the_loader_is_told_to_stop(source: Path) -> None:
    stop = threading.Event()
    opened: list[str] = []

    class Silent(FolderSource):
        """Stops in each file; the loader is told to stop meanwhile."""

        def open(self, file: SourceFile, offset: int = 0) -> Stream:
            opened.append(file.name)
            stop.set()
            raise InterruptedTransferError(f"{file.name} stopped")

    retrying = RetryingSource(Silent(source / NAME / REVISION), Retrier(3, stop.is_set))
    for _ in range(2):
        with pytest.raises(StoppedError):
            retrying.open(SourceFile(_SHARD, 1)).readinto(memoryview(bytearray(1)))
    assert opened == [_SHARD]


def test_the_part_of_a_loader_that_lives_is_left_alone(source: Path, target: Path) -> None:
    part = target / ".parts" / "model.safetensors.0000"
    orphan = target / ".parts" / "model.safetensors.ffff"
    part.parent.mkdir(parents=True)
    orphan.touch()
    with open(part, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        FolderTarget(target).prepare()
        assert _parts(target) == [part]
    FolderTarget(target).prepare()
    assert not part.parent.exists()


def test_a_part_that_was_taken_away_is_never_put_in_place(target: Path) -> None:
    folder = FolderTarget(target)
    folder.prepare()
    part = folder.part("config.json", 2, None)
    part.write(memoryview(b"{}"))
    shutil.rmtree(target / ".parts")
    with pytest.raises(LostPartError):
        part.commit()


def test_a_loader_whose_part_was_taken_by_one_that_finished_copies_the_file_again(source: Path, target: Path) -> None:
    class Thief(FolderSource):
        """Takes all parts away once, when a part of the second shard has been started."""

        stole = False

        def open(self, file: SourceFile, offset: int = 0) -> Stream:
            if not offset and file.name == _SHARD and (target / ".parts").exists() and not self.stole:
                shutil.rmtree(target / ".parts")
                self.stole = True
            return super().open(file, offset)

    thief = Thief(source / NAME / REVISION)
    loader = Loader(Model(f"file://{source}", NAME, REVISION), FolderTarget(target), print, threading.Event(), 1)
    loader.load(lambda: thief)
    assert thief.stole
    assert find_damage(FolderTarget(target), loader.load(lambda: thief), deep=True) is None


def test_a_damaged_copy_is_refused_and_repaired(source: Path, target: Path) -> None:
    load(source, target)
    shard = target / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    size = len(whole()[shard.name])
    assert verify(target)[2] == f"error: --target '{target}': {shard.name} has {size - 1} bytes instead of {size}; " + (
        "run the loader again\n"
    )
    status, output, _ = load(source, target)
    assert status == 0
    assert "the copy is damaged" in output
    assert verify(target, "--deep")[0] == 0


def test_a_copy_whose_content_changed_is_found_and_repaired_on_request(source: Path, target: Path) -> None:
    load(source, target)
    shard = target / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    assert verify(target)[0] == 0
    status, _, errors = verify(target, "--deep")
    assert status == AGAIN
    assert f"the content of {shard.name} does not match its SHA-256; run the loader again with --deep" in errors
    assert load(source, target, "--deep")[0] == 0
    assert shard.read_bytes() == whole()[shard.name]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"}\n  ]\n}\n", b""),
        (b'"size": 22', b'"size": 1e999'),
        (b'"files": [', b'"more": ' + b"[" * 100_000 + b"]" * 100_000 + b', "files": ['),
        (b'"name": "config.json"', b'"name": "\\ud800"'),
    ],
    ids=["cut", "infinite", "deep", "surrogate"],
)
def test_a_damaged_manifest_counts_as_none(source: Path, target: Path, good: bytes, bad: bytes) -> None:
    put(source, {"config.json": b'{"model_type": "tiny"}'})
    load(source, target)
    manifest = target / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content.replace(good, bad))
    assert manifest.read_bytes() != content
    assert verify(target)[0] == AGAIN
    assert load(source, target)[0] == 0
    assert verify(target)[0] == 0


def test_a_half_written_cache_is_refused_with_the_code_of_a_retry(source: Path, target: Path) -> None:
    load(source, target)
    (target / "manifest.json").unlink()
    status, _, errors = verify(target)
    assert status == AGAIN
    assert errors == (
        f"error: --target '{target}': there is no complete model; let the loader finish, or run it again\n"
    )


def test_a_verification_waits_for_a_loader_that_still_runs(source: Path, target: Path) -> None:
    process = loader("verify", f"--target={target}", f"--wait={int(PATIENCE)}", f"--revision={REVISION}")
    assert process.stdout is not None
    assert "there is no complete model" in process.stdout.readline()
    assert load(source, target)[0] == 0
    assert ended(process)[0] == 0


def test_a_verification_does_not_wait_where_waiting_cannot_help(source: Path, target: Path) -> None:
    load(source, target)
    # Ten hours: the test would end before the wait does.
    status, _, errors = verify(target, "--wait=36000", f"--revision={_OTHER}")
    assert status == NEVER
    assert f"it holds {REVISION}, not {_OTHER}" in errors


def test_a_verification_that_waits_is_ended_by_a_signal(target: Path) -> None:
    process = loader("verify", f"--target={target}", "--wait=36000")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM


def test_the_quick_look_reads_no_weights(source: Path, target: Path) -> None:
    load(source, target)
    before = {path: path.stat().st_atime_ns for path in target.glob("*.safetensors")}
    for path in before:
        os.utime(path, ns=(0, path.stat().st_mtime_ns))  # older than the last write, so that reading would renew it
    assert verify(target)[0] == 0
    assert {path.stat().st_atime_ns for path in before} == {0}


def test_a_folder_with_another_revision_is_never_overwritten(source: Path, target: Path) -> None:
    load(source, target)
    other = "f" * 40
    put(source, whole(), other)
    before = contents(target)
    status, _, errors = ended(loader(*load_arguments(source, target, revision=other)))
    assert status == NEVER
    assert f"it holds {NAME} at {REVISION}, and {NAME} at {other} was asked for" in errors
    assert contents(target) == before
    status, _, errors = verify(target, f"--revision={other}")
    assert status == NEVER
    assert f"it holds {REVISION}, not {other}" in errors


def test_a_folder_with_files_of_something_else_is_refused(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "model-00003-of-00003.safetensors").write_bytes(b"old")
    refused = refusal(f"file://{source}", target)
    assert "it holds model-00003-of-00003.safetensors, which the model does not have" in refused


def test_weights_for_other_programs_are_left_out(source: Path, target: Path) -> None:
    more = {
        "pytorch_model.bin": b"pickle",
        "original/consolidated.00.pth": b"pickle",
        "consolidated.safetensors": safetensors({"z": 9}),
        "model.gguf": b"GGUF",
        ".gitattributes": b"*",
    }
    put(source, more)
    assert load(source, target)[0] == 0
    assert contents(target).keys() == {*whole(), "manifest.json"}


def test_links_to_files_are_followed_as_in_a_cache_of_the_hub(source: Path, target: Path, tmp_path: Path) -> None:
    shard = source / NAME / REVISION / "model-00002-of-00002.safetensors"
    shard.rename(tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")
    assert load(source, target)[0] == 0
    assert not (target / shard.name).is_symlink()
    assert (target / shard.name).read_bytes() == whole()[shard.name]


def test_what_is_no_file_is_refused_and_does_not_hold_the_loader(source: Path, target: Path) -> None:
    os.mkfifo(source / NAME / REVISION / "vocab.json")
    assert "vocab.json: it is no regular file" in refusal(f"file://{source}", target)


def test_a_link_to_nothing_is_named(source: Path, target: Path) -> None:
    (source / NAME / REVISION / "vocab.json").symlink_to("missing")
    assert "vocab.json: the source cannot be read: No such file or directory" in refusal(f"file://{source}", target)


def _header(content: bytes, header: dict[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config.json": None}, "config.json is missing"),
        ({"config.json": b"{'model_type'"}, "config.json: it is no JSON"),
        ({"config.json": b"[]"}, "config.json: it holds no JSON object"),
        ({"config.json": b"[" * 100_000}, "config.json: it is no JSON"),
        ({"tokenizer.json": None}, "there is no tokenizer; one of tokenizer.json, tokenizer.model, tekken.json"),
        ({"tokenizer.json": b""}, "tokenizer.json: the file is empty"),
        ({_SHARD: None}, f"{_INDEX}: it names {_SHARD}, which is missing"),
        ({_SHARD: b""}, f"{_SHARD}: the file is empty"),
        ({_SHARD: b"1234"}, f"{_SHARD}: 4 bytes are too few for a header"),
        ({_SHARD: whole()[_SHARD][:-1]}, f"{_SHARD}: it has"),
        ({_SHARD: whole()[_SHARD] + b"\0"}, f"{_SHARD}: it has"),
        ({_SHARD: b"\xff" * 8 + whole()[_SHARD][8:]}, "its header claims a length of 18446744073709551615 bytes"),
        ({_SHARD: whole()[_SHARD][:8] + b"x" + whole()[_SHARD][9:]}, "its header cannot be read"),
        ({_SHARD: _header(b"ab", {"c": {"data_offsets": [1, 2]}})}, "data_offsets leave a gap or overlap at byte 1"),
        ({_SHARD: _header(b"ab", {"c": {"dtype": "U8"}})}, "its header cannot be read ('data_offsets')"),
        ({_SHARD: _header(b"ab", {"c": {"data_offsets": [0, float("inf")]}})}, "its header cannot be read"),
        ({_SHARD: (100_000).to_bytes(8, "little") + b"[" * 100_000}, "its header cannot be read"),
        ({_SHARD: _header(b"", {"d": {"data_offsets": [0, 0]}})}, f"{_INDEX}: {_SHARD} does not hold c"),
        ({_INDEX: b"{}"}, f"{_INDEX}: it has no weight_map"),
        (dict.fromkeys(whole()), "there are no files of a model"),
        (
            {name: None for name in whole() if "safetensors" in name} | {"pytorch_model.bin": b"pickle"},
            "there are no weights in the format safetensors",
        ),
    ],
)
def test_a_model_that_no_engine_could_serve_is_refused_before_anything_is_written(
    tmp_path: Path, target: Path, change: dict[str, bytes | None], message: str
) -> None:
    files = {name: content for name, content in {**whole(), **change}.items() if content is not None}
    put(tmp_path / "source", files)
    refused = refusal(f"file://{tmp_path}/source", target)
    assert message in refused
    assert "\n" not in refused
    assert not target.exists()


def test_each_part_of_a_source_that_is_missing_is_told_apart(source: Path, target: Path, tmp_path: Path) -> None:
    assert refusal(f"file://{tmp_path}/nowhere", target) == (
        f"--source 'file://{tmp_path}/nowhere': {tmp_path}/nowhere is not a folder; mount or make it, or name another"
    )
    assert refusal(f"file://{source}", target, repository="acme/other") == (
        f"--repository 'acme/other': {source} does not have it; it has {NAME} (models lie in <org>/<name>/<revision>)"
    )
    assert refusal(f"file://{source}", target, revision="f" * 40) == (
        f"--revision '{'f' * 40}': {source}/{NAME} does not have it; it has {REVISION}"
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--revision=main", "--revision 'main': it must be a commit of 40 hexadecimal digits in lower case"),
        ("--repository=../etc", "--repository '../etc': it must be org/name"),
        ("--target=cache", "--target 'cache': it must be an absolute path"),
        ("--workers=0", "--workers '0': it must be a number from 1 to 64"),
    ],
)
def test_wrong_usage_is_refused(
    source: Path, target: Path, argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*load_arguments(source, target), argument]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_what_is_missing_of_the_usage_is_named_with_its_variable(source: Path, target: Path) -> None:
    assert ended(loader(f"--source=file://{source}")) == (
        2,
        "",
        "error: --repository is missing; give it, or LLM_SERVING_LOAD_REPOSITORY\n",
    )
    variables = {
        "LLM_SERVING_LOAD_SOURCE": f"file://{source}",
        "LLM_SERVING_LOAD_REPOSITORY": NAME,
        "LLM_SERVING_LOAD_REVISION": REVISION,
        "LLM_SERVING_LOAD_TARGET": str(target),
    }
    assert ended(loader(**variables))[0] == 0
    assert verify(target)[0] == 0


def test_the_help_says_which_options_are_variables_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Each option that takes a value is also a variable: --source is LLM_SERVING_LOAD_SOURCE." in told
    assert "--deep is a flag only." in told


@pytest.mark.parametrize(
    "url",
    [
        "ftp://bucket",
        "gs://b",
        "s3://Bucket/models",
        "gs://bucket/a/../b",
        "source",
        "file://host/source",
        "file:source",
        "hf://acme/tiny",
    ],
)
def test_a_source_that_cannot_be_understood_is_refused_with_a_form_that_can(target: Path, url: str) -> None:
    refused = refusal(url, target)
    assert refused.startswith(f"--source '{url}': ")
    assert "://" in refused.removeprefix(f"--source '{url}'")


def test_a_volume_that_is_too_small_is_refused_before_anything_is_copied(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    shard = put(source, whole()) / _SHARD
    _grow(shard, "c", 1 << 43)
    refused = refusal(f"file://{source}", target)
    assert "are free and 8.8 TB are needed; make the volume larger or free space, and load again" in refused
    assert list(target.iterdir()) == []


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small volume or to be another user")


@needs_root
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=64k", "are free and 78."),
        # Enough for the sum of the sizes, and not for whole pages.
        ("size=80k", "the volume is full; make it larger or free space, and load again"),
        ("ro", "the volume is mounted read-only; mount it for writing, or name another folder"),
    ],
)
def test_a_volume_that_cannot_take_the_model_is_told_in_one_message(
    source: Path, target: Path, options: str, message: str
) -> None:
    target.mkdir(parents=True)
    script = f'mount -t tmpfs -o {options} tmpfs {target} && exec "$@"'
    namespace = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh")
    status, _, errors = ended(loader(*load_arguments(source, target), prefix=namespace))
    assert status == NEVER
    assert errors.startswith(f"error: --target '{target}': ")
    assert errors.count("\n") == 1
    assert message in errors


@needs_root
def test_a_folder_without_the_right_to_write_is_told_with_the_user() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        source = Path(folder, "source")
        put(source, whole())
        arguments = load_arguments(source, Path(folder, "cache"))
        process = loader(*arguments, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
        status, _, errors = ended(process)
    assert status == NEVER
    assert "user 65534 may not write there; change the owner (fsGroup), or name another folder" in errors


@needs_root
def test_a_source_below_a_closed_folder_is_told_with_the_user() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder, "closed")
        put(closed / "source", whole())
        closed.chmod(0o700)
        arguments = load_arguments(closed / "source", Path(folder, "cache"))
        process = loader(*arguments, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
        status, _, errors = ended(process)
    assert (status, errors) == (
        NEVER,
        f"error: {closed}/source: the source cannot be read: Permission denied; make it readable for user 65534\n",
    )


def test_a_target_that_is_a_file_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "a part of the path is a file; name a folder" in refusal(f"file://{source}", tmp_path / "file" / "x")


def _grow(path: Path, tensor: str, size: int) -> None:
    """Replace a file of weights by one with a single tensor of so many zeros, which takes no disk."""
    text = json.dumps({tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + size)


def _in_the_middle(target: Path) -> bool:
    """Whether some megabytes of a file are written, and not all of it."""
    for path in _parts(target):
        try:
            if path.stat().st_size > 8_000_000:
                return True
        except FileNotFoundError:  # complete by now
            continue
    return False


def _parts(target: Path) -> list[Path]:
    folder = target / ".parts"
    return sorted(folder.iterdir()) if folder.exists() else []
