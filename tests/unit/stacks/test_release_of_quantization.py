"""A result of a quantization becomes a release, which is loaded from the model cache after it was made."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_serving.errors import ProblemsError
from llm_serving.spec import Quantization
from stacks.cli import app
from stacks.releases import RELEASES, read_releases
from stacks.settings import Stack, parse_settings, resolve
from tests.images.models import safetensors
from tests.unit.stacks.settings_files import settings_data, write_settings

MODEL = "qwen3-0-6b"
IMAGE = {"repository": "registry.example/quantizer", "tag": "0.1.0"}
JOB: dict[str, Any] = {
    "name": "qwen3-0-6b-fp8",
    "team": "chat",
    "pool": "l4",
    "base": {"model": MODEL, "release": "1.0.0"},
    "scheme": "FP8_DYNAMIC",
    "image": IMAGE,
}
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 3072,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 40960,
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}}},
    },
}


def settings(**changes: Any) -> dict[str, Any]:
    """Stack dev, with room for a quantization."""
    data = settings_data("dev")
    data["pools"][0]["capacity"][0]["max"] = 3
    return {**data, "quantizations": [{**JOB, **changes}]}


def planned(folder: Path, releases: Path, **changes: Any) -> Stack:
    data = settings(**changes)
    write_settings(folder, data)
    return resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml", releases)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASES, tmp_path / "releases", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


@pytest.fixture
def cache(tmp_path: Path, releases: Path) -> Path:
    """A model cache in which the result lies."""
    (job,) = planned(tmp_path, releases).quantizations
    folder = tmp_path / "cache" / job.plan.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors({"model.layers.0.mlp.weight": 4096}))
    return tmp_path / "cache"


def add(tmp_path: Path, releases: Path, *arguments: str) -> Result:
    command = ["release", "add", MODEL, "2.0.0", "--folder", str(tmp_path), "--releases", str(releases)]
    return CliRunner().invoke(app, [*command, *arguments])


OPTIONS = ("--from-quantization", JOB["name"], "--stack", "dev")


def test_a_result_is_a_release_of_its_base_but_for_the_weights(tmp_path: Path, releases: Path, cache: Path) -> None:
    done = add(tmp_path, releases, *OPTIONS, "--source", f"file://{cache}")
    assert done.exit_code == 0, done.output + str(done.exception)
    known = read_releases(releases)
    base, added = known[MODEL, "1.0.0"].spec, known[MODEL, "2.0.0"].spec
    (job,) = planned(tmp_path, releases).quantizations
    assert (added.model.repository, added.model.revision) == (f"quantized/{JOB['name']}", job.plan.revision)
    assert added.model.source == "cache"
    assert added.model.license == base.model.license
    assert added.quantization is Quantization.FP8
    assert added.model.facts is not None
    assert (added.engine, added.context_length, added.image) == (base.engine, base.context_length, base.image)


def test_a_result_that_was_copied_is_read_from_its_own_folder(tmp_path: Path, releases: Path, cache: Path) -> None:
    (copy,) = cache.glob("quantized/*/*")
    assert add(tmp_path, releases, *OPTIONS, "--source", str(copy)).exit_code == 0


def test_weights_of_a_release_are_made_before_they_are_loaded(tmp_path: Path, releases: Path, cache: Path) -> None:
    assert add(tmp_path, releases, *OPTIONS, "--source", f"file://{cache}").exit_code == 0
    data = settings()
    data["models"][0]["releases"] = {"stable": "2.0.0"}
    stack = resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml", releases)
    assert {weights.key: weights.made_by for weights in stack.wanted_weights} == {
        (MODEL, "2.0.0"): JOB["name"],
        (MODEL, "1.0.0"): None,
    }
    # Of what the stack makes no more, the cache has it still.
    without = resolve(parse_settings({**data, "quantizations": []}, ""), "", releases)
    assert [(weights.key, weights.made_by) for weights in without.wanted_weights] == [((MODEL, "2.0.0"), None)]


def test_another_recipe_is_not_what_a_release_was_made_of(tmp_path: Path, releases: Path, cache: Path) -> None:
    assert add(tmp_path, releases, *OPTIONS, "--source", f"file://{cache}").exit_code == 0
    data = settings(image={**IMAGE, "tag": "0.2.0"})
    data["models"][0]["releases"] = {"stable": "2.0.0"}
    stack = resolve(parse_settings(data, ""), "", releases)
    assert {weights.made_by for weights in stack.wanted_weights} == {None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-quantization", JOB["name"]], "--stack STACK"),
        (["--from-quantization", "qwen3-0-6b-fp9", "--stack", "dev"], "is no quantization of this stack"),
        ([*OPTIONS, "--model", "a/b"], "--model = a/b: there is --from-quantization already"),
        ([*OPTIONS], "the result is not on the hub"),
    ],
)
def test_what_names_no_result_is_refused(
    tmp_path: Path, releases: Path, cache: Path, arguments: list[str], message: str
) -> None:
    done = add(tmp_path, releases, *arguments)
    assert isinstance(done.exception, ProblemsError)
    assert message in str(done.exception).replace("'", "")
    assert (MODEL, "2.0.0") not in read_releases(releases)


def test_a_folder_of_other_weights_is_refused(tmp_path: Path, releases: Path, cache: Path) -> None:
    (folder,) = cache.glob("quantized/*/*")
    plain = {key: value for key, value in CONFIG.items() if key != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(plain))
    done = add(tmp_path, releases, *OPTIONS, "--source", f"file://{cache}")
    assert "its weights are stored as plain 16 bits, and FP8_DYNAMIC makes fp8" in str(done.exception)


@pytest.mark.parametrize("command", ["plan", "explain"])
def test_reports_say_what_is_quantized_and_where_the_result_lies(tmp_path: Path, command: str) -> None:
    (job,) = planned(tmp_path, RELEASES).quantizations
    done = CliRunner().invoke(app, [command, "dev", "--folder", str(tmp_path), "--plain"])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "Quantizations" in text
    assert f"fp8: quantized/{JOB['name']} at {job.plan.revision}" in text
    assert ("GiB are needed" in text) == (command == "explain")


def test_a_quantizer_names_an_image_of_the_lock(tmp_path: Path) -> None:
    (job,) = planned(tmp_path, RELEASES, image="quantizer@0.1.0").quantizations
    assert job.spec.image.repository.endswith("/llm-serving/quantizer")
    stack = planned(tmp_path, RELEASES, image="quantizer@0.1.0")
    assert stack.settings.image_name("quantizations[0].image") == "quantizer@0.1.0"
