"""Copies that somebody made by other means: the loader makes their manifest."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images.hub import Hub
from tests.images.models import (
    AGAIN,
    NAME,
    NEVER,
    REVISION,
    contents,
    ended,
    is_of_a_cloud,
    load,
    load_arguments,
    loader,
    put,
    verify,
    whole,
)
from tests.images.storage import Bucket, GoogleBucket, S3Bucket

_SHARD = "model-00002-of-00002.safetensors"
_PLACE = "cache/tiny/1.0.0"


class Place:
    """A target of some kind, into which files are copied by hand."""

    def __init__(self, url: str, variables: dict[str, str], put: Callable[[str, bytes], None]) -> None:
        self.url = url
        self.variables = variables
        self.put = put

    def fill(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self.put(name, content)

    def adopt(self, *more: str, **variables: str) -> tuple[int, str, str]:
        arguments = [f"--repository={NAME}", f"--revision={REVISION}", f"--target={self.url}", *more]
        return ended(loader("adopt", *arguments, prefix=(), **{**self.variables, **variables}))

    def verify(self, *more: str) -> tuple[int, str, str]:
        return verify(self.url, *more, **self.variables)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leads out of here: no account, store or proxy of whoever runs the tests."""
    for name in filter(is_of_a_cloud, list(os.environ)):
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    root = tmp_path / "cache"

    def write(name: str, content: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)

    return Place(str(root), {}, write)


@pytest.fixture(params=["folder", "s3", "gs"])
def place(request: pytest.FixtureRequest, folder: Place) -> Iterator[Place]:
    if request.param == "folder":
        yield folder
        return
    bucket: Bucket = S3Bucket() if request.param == "s3" else GoogleBucket()
    url = f"{bucket.url}/{_PLACE}"
    yield Place(url, bucket.variables, lambda name, content: bucket.put(f"{_PLACE}/{name}", content))
    bucket.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    serving = Hub({**whole(), "pytorch_model.bin": b"pickle"})
    yield serving
    serving.close()


def test_a_copy_by_hand_is_complete_once_it_is_adopted(place: Place) -> None:
    place.fill({**whole(), ".gitattributes": b"*"})
    assert place.verify()[0] == AGAIN
    status, output, errors = place.adopt()
    assert (status, errors) == (0, "")
    assert "complete: 7 files" in output
    assert place.verify("--deep", f"--repository={NAME}", f"--revision={REVISION}")[0] == 0


def test_a_copy_is_held_against_the_hub_and_what_engines_need_is_not_loaded_again(place: Place, hub: Hub) -> None:
    place.fill(whole())
    status, _, errors = place.adopt("--source=hf://", HF_ENDPOINT=hub.url)
    assert (status, errors) == (0, "")
    assert place.verify("--deep")[0] == 0
    assert [path for role, path, _, _ in hub.requests if role == "network"] == []


@pytest.mark.parametrize("name", [_SHARD, "config.json"])
def test_bytes_that_are_not_the_hubs_are_never_adopted(place: Place, hub: Hub, name: str) -> None:
    # Of the same length, and as readable as the right ones.
    place.fill(
        {
            **whole(),
            name: whole()[name].replace(b"llama", b"qwen3") if name == "config.json" else whole()[name][:-1] + b"\0",
        }
    )
    status, _, errors = place.adopt("--source=hf://", HF_ENDPOINT=hub.url)
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert f"{name}: its SHA-256 is" in errors
    assert "copy it again, or load without adopt" in errors
    assert place.verify()[0] == AGAIN


def test_a_copy_is_held_against_a_folder(folder: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(source, whole())
    folder.fill({**whole(), _SHARD: whole()[_SHARD][:-1] + b"\0"})
    assert folder.adopt(f"--source=file://{source}")[0] == NEVER
    folder.fill(whole())
    assert folder.adopt(f"--source=file://{source}")[0] == 0
    manifest = json.loads((Path(folder.url) / "manifest.json").read_bytes())
    assert manifest["source"] == f"file://{source}"
    assert load(source, folder.url)[1].count("already there") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({_SHARD: whole()[_SHARD][:-1]}, f"{_SHARD}: it has"),
        ({"tokenizer.json": None}, "there is no tokenizer"),
        ({_SHARD: None}, f"it names {_SHARD}, which is missing"),
        ({"pytorch_model.bin": b"pickle"}, "pytorch_model.bin is not what an engine reads of this model"),
    ],
)
def test_a_copy_that_no_engine_could_serve_is_not_adopted(
    folder: Place, change: dict[str, bytes | None], message: str
) -> None:
    folder.fill({name: content for name, content in {**whole(), **change}.items() if content is not None})
    status, _, errors = folder.adopt()
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert message in errors
    assert "manifest.json" not in contents(Path(folder.url))


@pytest.mark.parametrize("change", ["smaller", "missing", "more"])
def test_a_copy_of_other_files_than_the_hubs_is_not_adopted(folder: Place, hub: Hub, change: str) -> None:
    files = whole()
    if change == "missing":
        del files["generation_config.json"]
    folder.fill({**files, **({"config.json": b"{}"} if change == "smaller" else {})})
    if change == "more":
        folder.put("vocab.json", b"{}")
    status, _, errors = folder.adopt("--source=hf://", HF_ENDPOINT=hub.url)
    assert (status, errors.count("\n")) == (NEVER, 1)
    names = {"smaller": "config.json has 2 bytes", "missing": "generation_config.json is missing", "more": "vocab.json"}
    assert names[change] in errors


def test_a_copy_that_is_adopted_already_is_left_alone_and_another_model_is_refused(folder: Place) -> None:
    folder.fill(whole())
    folder.adopt()
    before = contents(Path(folder.url))
    status, output, _ = folder.adopt()
    assert (status, "already there" in output) == (0, True)
    arguments = load_arguments("file:///nowhere", folder.url, revision="f" * 40)
    status, _, errors = ended(loader("adopt", *arguments))
    assert (status, f"it holds {NAME} at {REVISION}" in errors) == (NEVER, True)
    assert contents(Path(folder.url)) == before
