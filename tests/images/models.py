"""Small models on disk for tests of the loader, and the loader as a process."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from llm_serving_load.errors import Exit, LoadError
from llm_serving_load.loading import Loader, Model
from llm_serving_load.sources import open_source
from llm_serving_load.targets import CLAIM, FolderTarget

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "images" / "model-loader" / "src"
NAME, REVISION = "acme/tiny", "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 120.0
AGAIN, NEVER = int(Exit.TEMPORARY), int(Exit.PERMANENT)


def safetensors(tensors: dict[str, int]) -> bytes:
    """A file of weights with 8-bit tensors of so many bytes each."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, size in tensors.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(header).encode()
    data = b"".join(bytes([index % 251]) * size for index, size in enumerate(tensors.values(), 1))
    return len(text).to_bytes(8, "little") + text + data


def whole() -> dict[str, bytes]:
    """A model in two shards, with what a publisher puts beside it."""
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    return {
        "config.json": b'{"model_type": "llama"}',
        "generation_config.json": b"{}",
        "tokenizer.json": b'{"version": "1.0"}',
        first: safetensors({"a": 3000, "b": 5000}),
        second: safetensors({"c": 70000}),
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": first, "b": first, "c": second}}).encode(),
        "extra/README.md": b"# a model\n",
    }


def put(root: Path, files: dict[str, bytes], revision: str = REVISION) -> Path:
    """Write a model's files into a source; its folder."""
    folder = root / NAME / revision
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, the loader's claim left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != CLAIM]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def is_of_a_cloud(variable: str) -> bool:
    """Whether a variable leads programs to a real store, account or proxy."""
    name = variable.upper()
    clouds = ("AWS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_", "BOTO_", "STORAGE_EMULATOR_", "API_ENDPOINT_OVERRIDE")
    return name.startswith(clouds) or name.endswith("_PROXY")


def loader(*arguments: str, prefix: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
    """The loader as a process, which reaches no store but those that ``variables`` name."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LLM_SERVING_", "HF_")) and not is_of_a_cloud(key)
    }
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "llm_serving_load", *arguments],
        env={**own, "PYTHONPATH": str(SOURCES), **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def load_arguments(source: Path | str, target: Path | str, *more: str, revision: str = REVISION) -> list[str]:
    url = source if isinstance(source, str) else f"file://{source}"
    return [f"--source={url}", f"--repository={NAME}", f"--revision={revision}", f"--target={target}", *more]


def until_said(process: subprocess.Popen[str], words: str) -> None:
    """Read what the loader says until it says this."""
    assert process.stdout is not None
    lines: list[str] = []
    patience = threading.Timer(PATIENCE, process.kill)  # which ends its output
    patience.start()
    try:
        for line in process.stdout:
            lines.append(line)
            if words in line:
                return
    finally:
        patience.cancel()
    raise AssertionError(f"it never said {words!r}: {lines}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output, errors


def load(source: Path | str, target: Path | str, *more: str, **variables: str) -> tuple[int, str, str]:
    """Load the model; exit status, output and errors."""
    return ended(loader(*load_arguments(source, target, *more), **variables))


def verify(target: Path | str, *more: str, **variables: str) -> tuple[int, str, str]:
    """Verify a copy; exit status, output and errors."""
    return ended(loader("verify", f"--target={target}", *more, **variables))


def refusal(url: str, target: Path, repository: str = NAME, revision: str = REVISION) -> str:
    """The message with which a model is refused."""
    loader = Loader(Model(url, repository, revision), FolderTarget(target), print, threading.Event(), workers=2)
    with pytest.raises(LoadError) as refused:
        loader.load(lambda: open_source(url, repository, revision))
    return str(refused.value)
