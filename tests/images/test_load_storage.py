"""The model loader with buckets: real clients, and servers that speak the protocols of S3 and Google Cloud Storage."""

import hashlib
import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from llm_serving_load.errors import LoadError, LostPartError, TemporaryError
from llm_serving_load.loading import Loader, Model
from llm_serving_load.main import main
from llm_serving_load.manifest import NAME as MANIFEST
from llm_serving_load.manifest import Manifest
from llm_serving_load.sources import SourceFile, open_source
from llm_serving_load.sources.folder import FolderSource
from llm_serving_load.streams import Stream
from llm_serving_load.targets import BucketTarget, open_target

from tests.images.hub import Hub
from tests.images.models import (
    AGAIN,
    NAME,
    NEVER,
    PATIENCE,
    REVISION,
    contents,
    ended,
    is_of_a_cloud,
    load_arguments,
    loader,
    put,
    safetensors,
    until_said,
    whole,
)
from tests.images.storage import Bucket, GoogleBucket, S3Bucket

_SHARD = "model-00002-of-00002.safetensors"
_FIRST = "model-00001-of-00002.safetensors"
_LARGE = 20 * 1024 * 1024
"""Bytes of a file that is sent in two parts."""
_OTHER = "f" * 40
_PLACE = "cache/tiny/1.0.0"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leads out of here: no account, store or proxy of whoever runs the tests."""
    for name in filter(is_of_a_cloud, list(os.environ)):
        monkeypatch.delenv(name)


@pytest.fixture(params=[S3Bucket, GoogleBucket], ids=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    opened: Bucket = request.param()
    for name, value in opened.variables.items():
        monkeypatch.setenv(name, value)
    yield opened
    opened.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    opened = S3Bucket()
    for name, value in opened.variables.items():
        monkeypatch.setenv(name, value)
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    put(tmp_path / "source", whole())
    return tmp_path / "source"


@pytest.fixture
def target(bucket: Bucket) -> str:
    return f"{bucket.url}/{_PLACE}"


def load(source: Path | str, target: Path | str, *more: str, **variables: str) -> tuple[int, str, str]:
    """Load the model in this process, which has imported the clients already; exit code, output and errors."""
    return _command(load_arguments(source, target, *more), variables)


def verify(target: Path | str, *more: str) -> tuple[int, str, str]:
    return _command(["verify", f"--target={target}", *more], {})


def _command(arguments: list[str], variables: dict[str, str]) -> tuple[int, str, str]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    output, errors = io.StringIO(), io.StringIO()
    try:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
            for name, value in variables.items():
                patch.setenv(name, value)
            status = main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return status, output.getvalue(), errors.getvalue()


def _large() -> dict[str, bytes]:
    """A model whose shards are sent in parts."""
    files = {**whole(), _SHARD: safetensors({"c": _LARGE}), _FIRST: safetensors({"a": _LARGE, "b": 5000})}
    assert all(len(files[name]) > _LARGE for name in (_SHARD, _FIRST))
    return files


def _stored(bucket: Bucket) -> dict[str, bytes]:
    """What the target holds beside its manifest."""
    files = bucket.below(_PLACE)
    files.pop(MANIFEST, None)
    return files


def _fill(bucket: Bucket, files: dict[str, bytes], prefix: str = "models", revision: str = REVISION) -> str:
    """Lay a model into a bucket; the source's URL."""
    for name, content in files.items():
        bucket.put(f"{prefix}/{NAME}/{revision}/{name}", content)
    return f"{bucket.url}/{prefix}"


def _manifest(files: dict[str, bytes]) -> bytes:
    """As another loader of the same model would have written it."""
    entries = [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    ]
    document = {"format": 1, "source": "hf://", "repository": NAME, "revision": REVISION, "files": entries}
    return json.dumps(document).encode()


def _wait(held: threading.Event) -> None:
    assert held.wait(PATIENCE)


def test_a_model_is_copied_whole_into_a_bucket_and_its_manifest_comes_last(
    bucket: Bucket, target: str, source: Path
) -> None:
    put(source, _large())
    status, output, errors = load(source, target)
    assert (status, errors) == (0, "")
    assert "complete: 7 files" in output
    assert _stored(bucket) == _large()
    manifest = json.loads(bucket.below(_PLACE)[MANIFEST])
    assert {file["name"]: file["sha256"] for file in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in _large().items()
    }
    last = bucket.faults.written()[-1]
    assert MANIFEST in last or "uploadType=multipart" in last
    assert bucket.unfinished() == []
    assert verify(target)[0] == 0
    assert verify(target, "--deep", f"--repository={NAME}", f"--revision={REVISION}")[0] == 0


def test_a_second_run_finds_the_copy_and_writes_nothing(bucket: Bucket, target: str, source: Path) -> None:
    load(source, target)
    bucket.faults.requests.clear()
    status, output, _ = load("file:///nowhere", target)
    assert status == 0
    assert "already there: 7 files" in output
    assert bucket.faults.written() == []


def test_a_quick_look_reads_no_file_of_the_model(bucket: Bucket, target: str, source: Path) -> None:
    load(source, target)
    bucket.faults.requests.clear()
    assert verify(target)[0] == 0
    assert not any(name in line for name in whole() for line in bucket.faults.requests)


def test_a_model_is_copied_out_of_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    url = _fill(bucket, {**_large(), ".gitattributes": b"*", "extra/": b""})
    status, _, errors = load(url, tmp_path / "cache")
    assert (status, errors) == (0, "")
    copied = contents(tmp_path / "cache")
    assert json.loads(copied.pop(MANIFEST))["source"] == url
    assert copied == _large()


def test_a_model_is_copied_from_a_hub_into_a_bucket(bucket: Bucket, target: str) -> None:
    hub = Hub(_large())
    try:
        # The library of the hub reads its address when it is imported.
        assert ended(loader(*load_arguments("hf://", target), HF_ENDPOINT=hub.url, **bucket.variables))[0] == 0
    finally:
        hub.close()
    assert _stored(bucket) == _large()
    assert verify(target, "--deep")[0] == 0


def test_a_model_is_copied_from_one_store_to_the_other(
    s3: S3Bucket, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = GoogleBucket()
    try:
        for name, value in google.variables.items():
            monkeypatch.setenv(name, value)
        assert load(_fill(google, _large()), f"{s3.url}/{_PLACE}")[0] == 0
    finally:
        google.close()
    assert _stored(s3) == _large()


def test_a_killed_run_is_never_complete_and_the_next_one_keeps_what_it_finished(
    bucket: Bucket, target: str, source: Path
) -> None:
    put(source, _large())
    name = "model-00002-of-00002.safetensors"
    (source / NAME / REVISION / _FIRST).write_bytes(whole()[_FIRST])
    bucket.faults.holding = ("PUT", name, "partNumber=2") if isinstance(bucket, S3Bucket) else ("PUT", "upload_id")
    process = loader(*load_arguments(source, target, "--workers=8"), **bucket.variables)
    _wait(bucket.faults.held)
    _until_kept(bucket, {name for name in whole() if name != _SHARD})
    process.kill()
    ended(process)
    bucket.faults.holding = ()
    bucket.faults.ended.set()
    assert name not in bucket.below(_PLACE)
    assert MANIFEST not in bucket.below(_PLACE)
    status, _, errors = verify(target)
    assert status == AGAIN
    assert errors.startswith(f"error: --target '{target}': there is no complete model")

    bucket.faults.requests.clear()
    status, output, errors = load(source, target)
    assert (status, errors) == (0, "")
    assert "were there already" in output
    rewritten = [line for line in bucket.faults.written() if any(f"/{file}" in line for file in {*whole()} - {name})]
    assert rewritten == []
    assert bucket.unfinished() == []
    assert verify(target, "--deep")[0] == 0


def _until_kept(bucket: Bucket, names: set[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not names <= bucket.below(_PLACE).keys():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sigterm_takes_unfinished_uploads_along(s3: S3Bucket, source: Path) -> None:
    # Five parts: the second and the third are sent meanwhile, and the fourth waits for the first.
    put(source, {**whole(), _SHARD: safetensors({"c": 72 * 1024 * 1024})})
    s3.faults.holding = ("PUT", _SHARD, "partNumber=1")
    process = loader(*load_arguments(source, f"{s3.url}/{_PLACE}"), **s3.variables)
    _wait(s3.faults.held)
    process.send_signal(signal.SIGTERM)
    # If the part were let go before the loader knows that it has to stop, it would finish the file, as it may.
    until_said(process, "told to stop")
    s3.faults.holding = ()
    s3.faults.ended.set()
    status, _, errors = ended(process)
    assert (status, errors.count("\n")) == (128 + signal.SIGTERM, 1)
    assert _SHARD not in s3.below(_PLACE)
    assert s3.unfinished() == []
    assert MANIFEST not in s3.below(_PLACE)


def test_a_file_of_the_right_size_and_other_content_is_copied_again(bucket: Bucket, target: str, source: Path) -> None:
    bucket.put(f"{_PLACE}/{_SHARD}", whole()[_SHARD][:-1] + b"\0")
    assert load(source, target)[0] == 0
    assert _stored(bucket) == whole()


def test_a_copy_whose_content_changed_is_found_and_repaired_on_request(
    bucket: Bucket, target: str, source: Path
) -> None:
    load(source, target)
    bucket.put(f"{_PLACE}/{_SHARD}", whole()[_SHARD][:-1] + b"\0")
    assert verify(target)[0] == 0
    status, _, errors = verify(target, "--deep")
    assert status == AGAIN
    assert f"the content of {_SHARD} does not match its SHA-256; run the loader again with --deep" in errors
    assert load(source, target, "--deep")[0] == 0
    assert _stored(bucket) == whole()


def test_a_noted_hash_does_not_stand_for_bytes_that_changed(bucket: Bucket, target: str, source: Path) -> None:
    load(source, target)
    good = whole()[_SHARD]
    bucket.put(f"{_PLACE}/{_SHARD}", good[:-1] + b"\0", hashlib.sha256(good).hexdigest())
    assert verify(target, "--deep")[0] == AGAIN
    assert load(source, target, "--deep")[0] == 0
    assert _stored(bucket) == whole()
    assert verify(target, "--deep")[0] == 0


def test_a_store_that_reads_other_bytes_than_were_written_is_never_called_repaired(
    bucket: Bucket, target: str, source: Path
) -> None:
    load(source, target)
    bucket.faults.damaged = _SHARD
    status, output, _ = load(source, target, "--deep")
    assert status == AGAIN
    assert "complete" not in output


def test_several_loaders_at_once_make_one_complete_copy(bucket: Bucket, target: str, source: Path) -> None:
    put(source, _large())
    processes = [loader(*load_arguments(source, target, "--workers=2"), **bucket.variables) for _ in range(3)]
    assert [ended(process)[0] for process in processes] == [0, 0, 0]
    assert _stored(bucket) == _large()
    assert bucket.unfinished() == []


def test_of_loaders_of_two_revisions_that_begin_at_once_one_makes_its_copy(
    bucket: Bucket, target: str, source: Path
) -> None:
    put(source, {**whole(), "config.json": b'{"model_type": "other"}'}, _OTHER)
    processes = [
        loader(*load_arguments(source, target, revision=revision), **bucket.variables)
        for revision in (REVISION, _OTHER)
    ]
    results = [ended(process) for process in processes]
    assert sorted(status for status, _, _ in results) == [0, NEVER]
    (won,) = (revision for revision, result in zip((REVISION, _OTHER), results, strict=True) if result[0] == 0)
    assert verify(target, "--deep", f"--revision={won}")[0] == 0


@pytest.mark.parametrize(("conflicts", "owner"), [(2, "a"), (1000, None)])
def test_a_claim_that_meets_another_one_on_its_way_is_made_again(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch, conflicts: int, owner: str | None
) -> None:
    monkeypatch.setattr("llm_serving_load.targets.bucket._PAUSE_SECONDS", 0.01)
    place = open_target(f"{s3.url}/{_PLACE}")
    s3.faults.conflicts = conflicts
    if owner is None:
        with pytest.raises(TemporaryError, match="can neither be made nor read"):
            place.claim("a")
    else:
        assert place.claim("a") == owner


def test_a_copy_of_another_revision_is_never_overwritten(bucket: Bucket, target: str, source: Path) -> None:
    load(source, target)
    put(source, whole(), _OTHER)
    before = bucket.objects()
    status, _, errors = _command(load_arguments(source, target, revision=_OTHER), {})
    assert status == NEVER
    assert f"it holds {NAME} at {REVISION}, and {NAME} at {_OTHER} was asked for" in errors
    assert bucket.objects() == before
    status, _, errors = verify(target, f"--revision={_OTHER}")
    assert status == NEVER


def test_a_prefix_with_files_of_something_else_is_refused(bucket: Bucket, target: str, source: Path) -> None:
    bucket.put(f"{_PLACE}/model-00003-of-00003.safetensors", b"old")
    status, _, errors = load(source, target)
    assert status == NEVER
    assert "it holds model-00003-of-00003.safetensors, which the model does not have" in errors


@pytest.mark.parametrize("size", [1000, _LARGE], ids=["small", "in parts"])
def test_an_object_that_another_loader_wrote_first_is_not_overwritten(bucket: Bucket, target: str, size: int) -> None:
    place = open_target(target)
    assert place.checksums("model.safetensors", size) is None
    part = place.part("model.safetensors", size, None)
    part.write(memoryview(bytes(size)))
    bucket.put(f"{_PLACE}/model.safetensors", b"theirs")
    try:
        with pytest.raises(LostPartError):
            part.commit()
    finally:
        part.discard()
    assert bucket.below(_PLACE) == {"model.safetensors": b"theirs"}
    assert bucket.unfinished() == []


def test_an_object_that_another_loader_wrote_right_after_is_left_to_it(s3: S3Bucket) -> None:
    part = open_target(f"{s3.url}/{_PLACE}").part("model.safetensors", _LARGE, None)
    part.write(memoryview(bytes(_LARGE)))
    s3.faults.holding = ("HEAD", "model.safetensors")

    def rival() -> None:
        _wait(s3.faults.held)
        s3.put(f"{_PLACE}/model.safetensors", b"theirs")
        s3.faults.holding = ()
        s3.faults.ended.set()

    thread = threading.Thread(target=rival)
    thread.start()
    with pytest.raises(LostPartError):
        part.commit()
    thread.join()
    assert s3.below(_PLACE) == {"model.safetensors": b"theirs"}


def test_a_file_that_another_loader_finished_meanwhile_is_found(bucket: Bucket, target: str, source: Path) -> None:
    class Rival(FolderSource):
        """Somebody else finishes the second shard while it is read."""

        came = False

        def open(self, file: SourceFile, offset: int = 0) -> Stream:
            if file.name == _SHARD and not offset and bucket.below(_PLACE) and not self.came:
                self.came = True
                bucket.put(f"{_PLACE}/{_SHARD}", whole()[_SHARD])
            return super().open(file, offset)

    bucket.put(f"{_PLACE}/config.json", whole()["config.json"])
    rival = Rival(source / NAME / REVISION)
    model = Model(f"file://{source}", NAME, REVISION)
    Loader(model, open_target(target), print, threading.Event(), workers=1).load(lambda: rival)
    assert rival.came
    assert _stored(bucket) == whole()


def test_a_part_that_is_forgotten_half_way_never_becomes_an_object(bucket: Bucket, target: str) -> None:
    part = open_target(target).part("model.safetensors", _LARGE, None)
    part.write(memoryview(bytes(_LARGE // 2)))
    part.discard()
    del part
    assert bucket.below(_PLACE) == {}
    assert bucket.unfinished() == []


def test_bytes_that_the_store_keeps_wrong_are_found_and_never_served(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = GoogleBucket()
    for name, value in google.variables.items():
        monkeypatch.setenv(name, value)
    google.faults.spoiled = _SHARD
    put(source, _large())
    try:
        status, _, errors = load(source, f"{google.url}/{_PLACE}")
        assert status == AGAIN, errors
        assert MANIFEST not in google.below(_PLACE)
        assert verify(f"{google.url}/{_PLACE}")[0] == AGAIN
    finally:
        google.close()


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_source_that_gives_other_bytes_than_it_promises_is_refused_for_good(
    bucket: Bucket, tmp_path: Path, with_manifest: bool
) -> None:
    files = {**whole(), "extra/large.bin.json": b"{}" * 50_000}
    url = _fill(bucket, {**files, MANIFEST: _manifest(files)} if with_manifest else files)
    bucket.faults.damaged = "large.bin.json"
    status, _, errors = load(url, tmp_path / "cache")
    assert status == NEVER
    assert "extra/large.bin.json: its " in errors
    assert "the source promises" in errors
    assert "put it there again" in errors
    assert verify(tmp_path / "cache")[0] == AGAIN


@pytest.mark.parametrize("change", ["smaller", "missing"])
def test_a_source_that_lacks_what_its_manifest_names_is_refused(bucket: Bucket, tmp_path: Path, change: str) -> None:
    url = _fill(bucket, {**whole(), MANIFEST: _manifest(whole())})
    key = f"models/{NAME}/{REVISION}/{_SHARD}"
    bucket.put(key, b"half") if change == "smaller" else bucket.remove(key)
    status, _, errors = load(url, tmp_path / "cache")
    assert status == NEVER
    assert (
        f"{_SHARD}: it {'has 4 bytes' if change == 'smaller' else 'is missing'}, and manifest.json promises" in errors
    )


def test_an_object_that_is_replaced_while_it_is_read_is_no_copy(bucket: Bucket, tmp_path: Path) -> None:
    url = _fill(bucket, whole())
    read = open_source(url, NAME, REVISION)
    (file,) = (file for file in read.files() if file.name == _SHARD)
    bucket.put(f"models/{NAME}/{REVISION}/{_SHARD}", whole()[_SHARD][::-1])
    with pytest.raises(TemporaryError) as refused:
        read.open(file, 10).readinto(memoryview(bytearray(100)))
    assert "it was replaced while it was read" in str(refused.value)


def test_each_part_of_a_source_that_is_missing_is_told_apart(bucket: Bucket, tmp_path: Path) -> None:
    url = _fill(bucket, whole())

    def refused(url: str, repository: str = NAME, revision: str = REVISION) -> str:
        arguments = [f"--source={url}", f"--repository={repository}", f"--revision={revision}"]
        status, _, errors = _command([*arguments, f"--target={tmp_path}/cache"], {})
        assert status == NEVER
        assert errors.count("\n") == 1
        return errors.removeprefix("error: ")

    assert refused(url, revision=_OTHER).startswith(
        f"--revision '{_OTHER}': {url}/{NAME} does not have it; it has {REVISION}"
    )
    assert refused(url, repository="acme/other").startswith(
        f"--repository 'acme/other': {url} does not have it; it has {NAME} (models lie in <org>/<name>/<revision>)"
    )
    assert "it has no model" in refused(f"{bucket.url}/elsewhere")
    nowhere = refused(f"{bucket.url}-of-nobody/models")
    assert "there is no such bucket" in nowhere or "or the bucket is not" in nowhere


def test_a_target_in_a_bucket_that_does_not_exist_is_named(bucket: Bucket, source: Path) -> None:
    status, _, errors = load(source, f"{bucket.url}-of-nobody/{_PLACE}")
    assert status == NEVER
    assert errors.startswith(f"error: {bucket.url}-of-nobody: ")
    assert verify(f"{bucket.url}-of-nobody/{_PLACE}", "--wait=36000")[0] == NEVER


def test_a_store_that_lacks_what_the_loader_needs_is_refused_for_good(s3: S3Bucket, source: Path) -> None:
    s3.faults.status = 501
    status, _, errors = load(source, f"{s3.url}/{_PLACE}")
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert "the loader needs conditional writes and checksums, as S3 has them" in errors


@pytest.mark.parametrize(("answer", "message"), [(401, "credentials"), (403, "it is refused")])
def test_a_store_that_says_no_is_told_in_one_message_that_says_what_to_do(
    bucket: Bucket, target: str, source: Path, answer: int, message: str
) -> None:
    bucket.faults.status = answer
    status, _, errors = load(source, target, "--grant-timeout=0")
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert errors.startswith(f"error: {bucket.url}: ")
    assert message in errors
    assert verify(target)[0] == NEVER


@pytest.mark.parametrize(
    ("url", "variables", "advice"),
    [
        ("s3://models", {"AWS_EC2_METADATA_DISABLED": "true"}, "AWS_ACCESS_KEY_ID"),
        ("gs://models", {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}, "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_a_loader_without_credentials_is_told_how_to_get_some(
    source: Path, tmp_path: Path, url: str, variables: dict[str, str], advice: str
) -> None:
    status, _, errors = load(source, f"{url}/{_PLACE}", HOME=str(tmp_path), **variables)
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert errors.startswith(f"error: {url}: there are no credentials")
    assert advice in errors


def test_credentials_of_google_that_name_no_project_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "credentials.json").write_text(json.dumps(credentials))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert open_target("gs://models/tiny").where == "--target 'gs://models/tiny'"


def test_a_store_that_is_busy_is_asked_again(bucket: Bucket, target: str, source: Path) -> None:
    bucket.faults.busy = 2
    assert load(source, target)[0] == 0
    assert _stored(bucket) == whole()


def test_a_busy_source_is_asked_again_and_given_up_with_the_code_of_a_retry(bucket: Bucket, tmp_path: Path) -> None:
    url = _fill(bucket, whole())
    bucket.faults.busy = 1
    assert load(url, tmp_path / "cache")[0] == 0
    bucket.faults.busy = 1000
    status, _, errors = load(url, tmp_path / "other", "--attempts=2")
    assert (status, errors.count("\n")) == (AGAIN, 1)
    assert "the store answers 503" in errors
    assert "given up after 2 attempts" in errors


def test_a_store_that_cannot_be_reached_is_a_matter_of_another_try(bucket: Bucket, tmp_path: Path) -> None:
    away = dict.fromkeys(("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"), "http://127.0.0.1:1")
    status, _, errors = load(f"{bucket.url}/models", tmp_path / "cache", "--attempts=1", **away)
    assert (status, errors.count("\n")) == (AGAIN, 1)
    assert f"error: {bucket.url}: the store does not answer" in errors


@pytest.mark.parametrize("target", ["s3://models", "gs://m", "s3://models/a//b", "gs://models/../x", "ftp://models/x"])
def test_a_target_that_cannot_be_understood_is_refused_as_wrong_usage(
    source: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(load_arguments(source, target)) == 2
    assert capsys.readouterr().err.startswith(f"error: --target '{target}': ")


def test_who_finishes_later_replaces_the_manifest_only_by_the_same_copy(
    bucket: Bucket, target: str, source: Path
) -> None:
    class Shared(BucketTarget):
        """Somebody with other contents of the same sizes finishes a moment later."""

        def finish(self, manifest: Manifest) -> None:
            super().finish(manifest)
            first, *rest = manifest.files
            super().finish(replace(manifest, files=(replace(first, sha256="0" * 64), *rest)))

    own = open_target(target)
    assert isinstance(own, BucketTarget)
    own.__class__ = Shared
    with pytest.raises(LoadError) as refused:
        Loader(Model(f"file://{source}", NAME, REVISION), own, print, threading.Event(), workers=1).load(
            lambda: FolderSource(source / NAME / REVISION)
        )
    assert "the copy changed while it was finished" in str(refused.value)


def test_a_verification_waits_for_a_loader_that_still_runs(bucket: Bucket, target: str, source: Path) -> None:
    process = loader("verify", f"--target={target}", f"--wait={int(PATIENCE)}", **bucket.variables)
    assert process.stdout is not None
    assert "waiting, " in process.stdout.readline()
    assert load(source, target)[0] == 0
    status, output, errors = ended(process)
    assert (status, errors) == (0, "")
    assert f"complete: {NAME} at {REVISION}" in output
