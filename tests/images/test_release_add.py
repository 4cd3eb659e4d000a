"""``stacks release add`` reads a model where it lies: on a hub, in a bucket, in a folder; and never its weights."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.images.lock import LOCK
from stacks.releases import RELEASES
from tests.images.hub import Hub
from tests.images.models import NAME, REPOSITORY, REVISION, is_of_a_cloud, put
from tests.images.storage import Bucket, GoogleBucket, S3Bucket

pytestmark = pytest.mark.timeout(1800)
"""Each test runs the command as a process of its own, which takes seconds, and minutes on a busy machine."""

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 320,
    "max_position_embeddings": 4096,
}
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


def safetensors(tensors: dict[str, tuple[str, list[int], int]]) -> bytes:
    """A file of weights: type, shape and bytes of each tensor, all zero."""
    header, begin = dict[str, Any](), 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(begin)


def files(**more: Any) -> dict[str, bytes]:
    """A model in two shards, of which the last has a layer that guesses tokens ahead."""
    first = {
        "model.embed_tokens.weight": ("BF16", [320, 64], 40960),
        "model.layers.0.mlp.weight": ("F8_E4M3", [64, 128], 8192),
    }
    second = {
        "model.layers.1.mlp.weight": ("F8_E4M3", [64, 128], 8192),
        "model.layers.2.mlp.weight": ("BF16", [64, 128], 16384),
    }
    return {
        "config.json": json.dumps(LLAMA | more).encode(),
        "generation_config.json": b'{"temperature": 0.6, "top_p": 0.95}',
        "tokenizer_config.json": json.dumps({"chat_template": TEMPLATE}).encode(),
        "README.md": b"---\nlicense: other\nlicense_name: acme-open\n---\n# Tiny\n",
        "model-00001-of-00002.safetensors": safetensors(first),
        "model-00002-of-00002.safetensors": safetensors(second),
    }


@pytest.fixture
def hub() -> Iterator[Hub]:
    serving = Hub(files(quantization_config={"quant_method": "fp8"}))
    yield serving
    serving.close()


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    folder = tmp_path / "releases"
    folder.mkdir()
    shutil.copy(RELEASES / LOCK, folder)
    return folder


def add(releases: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "stacks",
        "release",
        "add",
        "tiny",
        "1.0.0",
        "--model",
        NAME,
        "--revision",
        REVISION,
    ]
    path = os.pathsep.join(str(REPOSITORY / part) for part in (".", "components", "images/model-loader/src"))
    return subprocess.run(
        [*command, "--releases", str(releases), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(releases), "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )


def added(releases: Path) -> dict[str, Any]:
    return yaml.safe_load((releases / "tiny" / "1.0.0.yaml").read_text())


def test_a_model_of_the_hub_is_read_without_its_weights(hub: Hub, releases: Path) -> None:
    hub.token = "hf_secret"
    done = add(releases, HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    model = added(releases)["model"]
    assert (model["license"], model["repository"], model["revision"]) == ("acme-open", NAME, REVISION)
    assert model["facts"]["weights"] == {"BF16": 40960, "F8_E4M3": 16384}
    assert model["facts"]["quantization"] == {"method": "fp8"}
    assert added(releases)["quantization"] == "fp8"
    assert "temperature 0.6, top_p 0.95" in done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    weights = [header for _, path, header, _ in hub.requests if path.endswith(".safetensors")]
    assert weights
    assert all(header is not None and header.startswith("bytes=") for header in weights)


def test_a_hub_without_the_model_is_told_and_nothing_is_written(hub: Hub, releases: Path) -> None:
    hub.gated, hub.accepted = True, False
    done = add(releases, HF_ENDPOINT=hub.url)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (releases / "tiny").exists()


def test_a_folder_of_models_and_a_models_own_folder_say_the_same(tmp_path: Path, releases: Path) -> None:
    place = put(tmp_path / "models", files())
    assert add(releases, "--source", f"file://{tmp_path / 'models'}").returncode == 0
    first = added(releases)
    shutil.rmtree(releases / "tiny")
    (releases / "releases.lock.yaml").unlink()
    assert add(releases, "--source", str(place)).returncode == 0
    assert added(releases) == first
    assert first["model"]["facts"]["parameters"] == 320 * 64 + 2 * 64 * 128


@pytest.mark.parametrize("kind", [S3Bucket, GoogleBucket], ids=["s3", "gs"])
def test_a_model_in_a_bucket_is_read(releases: Path, kind: type[Bucket], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in filter(is_of_a_cloud, list(os.environ)):
        monkeypatch.delenv(name)
    bucket = kind()
    try:
        for name, content in files().items():
            bucket.put(f"models/{NAME}/{REVISION}/{name}", content)
        done = add(releases, "--source", f"{bucket.url}/models", **bucket.variables)
    finally:
        bucket.close()
    assert done.returncode == 0, done.stderr
    assert added(releases)["model"]["facts"]["weights"] == {"BF16": 40960, "F8_E4M3": 16384}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "is no JSON"),
        ("config.json", b"[]", "is no JSON object"),
        (
            "tokenizer_config.json",
            b'{"chat_template": "{% for x in messages %}"}',
            "the model's own is no Jinja template",
        ),
        ("model-00001-of-00002.safetensors", b"PK\x03\x04" + bytes(100), "is no safetensors file"),
        ("model-00001-of-00002.safetensors", (9).to_bytes(8, "little") + b"not JSON!", "is no safetensors file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, releases: Path, name: str, content: bytes, message: str) -> None:
    place = put(tmp_path / "models", {**files(), name: content})
    done = add(releases, "--source", str(place))
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (releases / "tiny").exists()
