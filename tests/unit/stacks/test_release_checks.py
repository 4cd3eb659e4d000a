"""What a release says is held against its model, its image and its engine, when it is added and when it is served."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_serving.errors import ProblemsError
from llm_serving.spec import ModelFacts, ReleaseSpec, Task
from stacks.checkpoint.chat_template import template_problem
from stacks.images.lock import LockedImage
from stacks.releases import add_release, lock_releases, read_releases
from stacks.releases.checks import mismatches
from stacks.settings import parse_settings, resolve
from tests.unit.stacks.settings_files import REPOSITORY, copy_releases, settings_data

RELEASE = read_releases()["qwen3-0-6b", "1.0.0"].spec
FACTS: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "layers": [{"attention": "full", "count": 2, "kvHeads": 2, "headDim": 64}],
    "hiddenSize": 256,
    "heads": 4,
    "intermediateSize": 512,
    "vocabulary": 320,
    "maxContext": 8192,
    "parameters": 1344768,
}


def release(quantization: str = "none", stored: dict[str, Any] | None = None, **fields: Any) -> ReleaseSpec:
    facts = ModelFacts.model_validate({**FACTS, "quantization": stored})
    model = RELEASE.model.model_copy(update={"architecture": None, "facts": facts})
    whole = RELEASE.model_dump(mode="json") | {"quantization": quantization} | fields
    whole["model"] = model.model_dump(mode="json")
    return ReleaseSpec.model_validate(whole)


@pytest.mark.parametrize("committed", read_releases().values(), ids=lambda each: each.file)
def test_what_ships_agrees_with_itself(committed: Any) -> None:
    assert list(mismatches(committed.spec, {})) == []


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (None, "none"),
        (None, "fp8"),
        ({"method": "fp8"}, "fp8"),
        ({"method": "compressed-tensors", "bits": 8, "format": "float-quantized"}, "fp8"),
        ({"method": "compressed-tensors", "bits": 8, "format": "int-quantized"}, "int8"),
        ({"method": "compressed-tensors", "bits": 4, "format": "pack-quantized", "groupSize": 128}, "gptq"),
        ({"method": "compressed-tensors", "bits": 8, "format": "pack-quantized", "groupSize": 128}, "int8"),
        ({"method": "compressed-tensors", "bits": 8, "format": "naive-quantized float"}, "fp8"),
        ({"method": "compressed-tensors", "bits": 8, "format": "naive-quantized int"}, "int8"),
        ({"method": "modelopt", "format": "FP8"}, "fp8"),
        ({"method": "modelopt", "format": "NVFP4"}, "nvfp4"),
        ({"method": "compressed-tensors", "bits": 4, "format": "nvfp4-pack-quantized"}, "nvfp4"),
        ({"method": "mxfp4"}, "mxfp4"),
        ({"method": "awq", "bits": 4}, "awq"),
    ],
)
def test_a_release_says_how_its_models_weights_are_stored(stored: dict[str, Any] | None, said: str) -> None:
    assert list(mismatches(release(said, stored), {})) == []
    other = "gptq" if said == "awq" else "awq"
    (problem,) = mismatches(release(other, stored), {})
    assert problem.path == "quantization"
    assert said in problem.suggestion


def test_weights_that_no_release_can_name_are_refused_in_the_models_own_words() -> None:
    (problem,) = mismatches(release("none", {"method": "hqq", "bits": 3}), {})
    assert "hqq 3 bits" in problem.reason


@pytest.mark.parametrize("method", ["fbgemm_fp8", "fp_quant"])
def test_weights_that_vllm_has_given_up_are_refused_before_it_refuses_them(method: str) -> None:
    (problem,) = mismatches(release("fp8", {"method": method, "bits": 8}), {})
    assert problem.path == "quantization"
    assert f"{method} 8 bits, which vLLM" in problem.reason


def test_another_engine_may_serve_what_vllm_has_given_up() -> None:
    other = {"name": "tgi", "version": "3.3.6"}
    assert list(mismatches(release("fp8", {"method": "fbgemm_fp8", "bits": 8}, engine=other), {})) == []


@pytest.mark.parametrize(
    ("sampling", "suggestion"),
    [
        ({"max_tokens": 512}, "max_new_tokens"),
        ({"temprature": 0.6}, "temperature"),
        ({"temperature": 3}, "at most 2"),
        ({"top_p": 0}, "above 0"),
        ({"top_k": 2.5}, "2"),
        ({"max_new_tokens": 0}, "at least 1"),
    ],
)
def test_a_sampling_default_that_vllm_does_not_read_or_refuses_is_refused(
    sampling: dict[str, float], suggestion: str
) -> None:
    (problem,) = mismatches(release(sampling=sampling), {})
    assert problem.path == f"sampling.{next(iter(sampling))}"
    assert suggestion in problem.suggestion


def test_sampling_defaults_that_vllm_reads_pass() -> None:
    sampling = {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0.05, "repetition_penalty": 1.1}
    assert list(mismatches(release(sampling=sampling), {})) == []


def test_a_model_that_writes_no_text_is_neither_sampled_nor_parsed() -> None:
    release_of_vectors = release(sampling={"temperature": 0.6}, tool_parser="hermes")
    facts = release_of_vectors.model.facts
    assert facts is not None
    embedding = facts.model_copy(update={"task": Task.EMBED})
    source = release_of_vectors.model.model_copy(update={"facts": embedding})
    template = "{{ messages[7]['content'] }}"
    problems = mismatches(release_of_vectors.model_copy(update={"model": source, "chat_template": template}), {})
    assert {problem.path for problem in problems} == {"sampling", "toolParser"}


@pytest.mark.parametrize(
    ("repository", "tag", "fits"),
    [
        ("docker.io/vllm/vllm-openai", "v0.32.0", True),
        ("docker.io/vllm/vllm-openai", "v0.31.0", False),
        ("docker.io/vllm/vllm-openai", "v0.31.0-cu130", False),
        ("docker.io/vllm/vllm-openai", "nightly", True),
        ("registry.example.com/team/our-engine", "2.0.0", True),
    ],
)
def test_an_image_is_of_the_engine_that_the_release_names(repository: str, tag: str, fits: bool) -> None:
    problems = list(mismatches(release(image={"repository": repository, "tag": tag}), {}))
    assert [problem.path for problem in problems] == ([] if fits else ["engine.version"])


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("repository", "locked", "said"),
    [
        ("docker.io/vllm/vllm-openai", {"version": "0.31.0"}, "0.31.0"),
        ("mirror.example.com/vllm/vllm-openai", {"version": "0.32.0+cu130"}, None),
        ("docker.io/vllm/vllm-openai", {"digest": DIGEST.replace("0", "f"), "version": "0.31.0"}, None),
        ("registry.example.com/serving/vllm", {"tag": "0.31.0", "inputs": "0123456789ab"}, "0.31.0"),
        ("registry.example.com/serving/vllm", {"tag": "0.32.0", "inputs": "0123456789ab"}, None),
        ("registry.example.com/team/our-engine", {"version": "2.0.0"}, None),
    ],
)
def test_the_image_of_a_digest_is_of_the_engine_that_the_release_names(
    repository: str, locked: dict[str, str], said: str | None
) -> None:
    image = {"repository": repository, "tag": "nightly", "digest": DIGEST}
    images = {"engine@1": LockedImage.model_validate(image | locked)}
    problems = list(mismatches(release(image=image), images))
    assert [(problem.path, problem.suggestion) for problem in problems] == ([("engine.version", said)] if said else [])


CHATML = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


PARTS = """{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}
{%- if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}
{% endfor %}"""
SELECTED_PARTS = """{% for message in messages %}
{%- for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}
{% endfor %}"""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (CHATML, ""),
        (CHATML + "{% generation %}{% endgeneration %}{{ tools | tojson }}{{ strftime_now('%Y') }}", ""),
        (PARTS, ""),
        (SELECTED_PARTS, ""),
        (PARTS.replace("part['text']", "part['texts']"), "leaves out what the user asks"),
        ("{% for message in messages %}", "is no Jinja template"),
        ("{{ raise_exception('no assistants here') }}", "no assistants here"),
        ("{{ messages[7]['content'] }}", "fails on a conversation"),
        ("{{ messages[0]['content'] }}", "leaves out what the user asks"),
        ("{% for message in messages %}{% do messages.append(1) %}{% endfor %}", "is no Jinja template"),
    ],
)
def test_a_chat_template_is_run_on_a_conversation(template: str, reason: str) -> None:
    problem = template_problem(template, "chatTemplate")
    assert (problem is None) is (reason == "")
    assert problem is None or reason in problem.reason


def test_a_release_with_a_template_that_fails_is_neither_added_nor_served(tmp_path: Path) -> None:
    folder = copy_releases(tmp_path / "releases")
    broken = "chatTemplate='{% for message in messages %}'"
    with pytest.raises(ProblemsError, match="chatTemplate: is no Jinja template"):
        add_release("qwen3-0-6b", "3.0.0", base="1.0.0", changes=[broken], folder=folder)
    written = (folder / "qwen3-0-6b" / "1.0.0.yaml").read_text().replace("version: 1.0.0", "version: 3.0.0")
    (folder / "qwen3-0-6b" / "3.0.0.yaml").write_text(written + "chatTemplate: '{% for message in messages %}'\n")
    lock_releases(folder)
    settings = settings_data()
    settings["models"][0] |= {"name": "qwen3-0-6b", "releases": {"stable": "3.0.0"}}
    with pytest.raises(ProblemsError, match=r"releases\.stable.*chatTemplate: is no Jinja template"):
        resolve(parse_settings(settings, "dev"), "dev", folder)


def test_jinja_is_loaded_for_a_template_alone() -> None:
    """Every preview reads all releases, and most stacks have no template of their own."""
    script = (
        "import sys; from pathlib import Path; "
        "import infra.arguments, infra.clouds, infra.existing_objects, infra.launcher_version, infra.notes; "
        "import infra.outputs, infra.queued_releases, stacks.settings.program; "
        "from stacks.settings import read_settings_file, resolve; "
        "resolve(read_settings_file(Path('Pulumi.prod.yaml')), 'prod'); "
        "assert 'jinja2' not in sys.modules; "
        "from stacks.checkpoint.chat_template import template_problem; "
        "assert template_problem('{{ messages[-1].content }}', 'chatTemplate') is None; "
        "assert 'jinja2' in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "components")])}
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=environment, check=True)
