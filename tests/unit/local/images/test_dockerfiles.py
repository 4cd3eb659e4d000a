"""The Dockerfiles are complete, keep to hadolint's rules, and run as nobody in particular."""

import fnmatch
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from local.images.recipes import RECIPES
from stacks.images import build_context

REPOSITORY = Path(__file__).resolve().parents[4]
IMAGES = REPOSITORY / "images"
PRODUCTION = sorted(IMAGES.glob("*/Dockerfile"))
ALL = [*PRODUCTION, RECIPES["tiny-model"].dockerfile]
PROGRAMS_OF_OTHERS = {
    "vllm": {"vllm", "serve"},
    "proxy": {"traefik"},
    "router": {"vllm-router"},
    "redis": {"redis-server"},
}
named_by_folder = pytest.mark.parametrize("dockerfile", PRODUCTION, ids=lambda path: path.parent.name)


def test_every_image_is_found():
    assert {path.parent.name for path in PRODUCTION} == {
        "vllm",
        "gateway",
        "model-loader",
        "quantizer",
        "router",
        "proxy",
        "redis",
    }


@named_by_folder
@pytest.mark.parametrize("lock", ["requirements-gpu.txt", "requirements-cpu.txt"])
def test_every_file_that_is_copied_is_there(dockerfile, lock):
    sources = build_context.sources_of(dockerfile.read_text(), {"LOCK": lock})
    assert build_context.files_of(IMAGES, sources)
    assert any(source.endswith(".txt") for source in sources)


@named_by_folder
def test_nothing_that_is_copied_is_hidden_from_docker(dockerfile):
    hidden = (IMAGES / ".dockerignore").read_text().split()
    assert {pattern.removeprefix("**/") for pattern in hidden} >= set(build_context.IGNORED)
    for lock in ("requirements-gpu.txt", "requirements-cpu.txt"):
        for path in build_context.files_of(IMAGES, build_context.sources_of(dockerfile.read_text(), {"LOCK": lock})):
            assert not any(fnmatch.fnmatch(path.name, pattern.removeprefix("**/")) for pattern in hidden), path


@named_by_folder
def test_bases_are_pinned_and_can_be_chosen(dockerfile):
    text = dockerfile.read_text()
    arguments = build_context.arguments_of(text)
    for instruction in build_context.instructions(text):
        if instruction.keyword == "FROM":
            base = instruction.text.split()[0]
            assert base == "tools" or re.fullmatch(r"\$\{\w+\}", base), base
    for name in {"BASE_IMAGE", "BUILDER_IMAGE"} & set(arguments):
        assert re.fullmatch(r"[\w.-]+\.[\w.-]+/[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?", arguments[name])


def test_the_gpu_base_is_pinned_by_digest():
    base = build_context.arguments_of((IMAGES / "vllm" / "Dockerfile").read_text())["BASE_IMAGE"]
    assert "nvidia/cuda" in base
    assert "@sha256:" in base


@named_by_folder
def test_an_image_runs_its_own_command_as_a_user_without_rights(dockerfile):
    last = {item.keyword: item.text for item in build_context.instructions(dockerfile.read_text())}
    user, group = last["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    project = dockerfile.parent / "pyproject.toml"
    scripts = (
        tomllib.loads(project.read_text())["project"]["scripts"]
        if project.exists()
        else PROGRAMS_OF_OTHERS[dockerfile.parent.name]
    )
    assert set(json.loads(last["ENTRYPOINT"])) == set(scripts)
    assert "HEALTHCHECK" in last


def test_the_engine_image_is_labelled_stopped_and_probed_as_documented():
    text = (IMAGES / "vllm" / "Dockerfile").read_text()
    instructions = build_context.instructions(text)
    labels = " ".join(item.text for item in instructions if item.keyword == "LABEL")
    for label in ("title", "description", "licenses", "source", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels
    last = {item.keyword: item.text for item in instructions}
    assert last["STOPSIGNAL"] == "SIGTERM"
    probe = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert probe[0] == "python"
    compile(probe[-1], "HEALTHCHECK", "exec")
    assert ":8000/health" in probe[-1]


@pytest.mark.parametrize("name", ["gateway", "model-loader", "quantizer"])
def test_code_comes_after_all_that_takes_long(name):
    final = (IMAGES / name / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert final.index("uv pip sync") < final.index("COPY --from=code") < final.index("ARG VERSION")


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_build_argument_is_one_that_the_dockerfile_declares(name):
    recipe = RECIPES[name]
    declared = build_context.arguments_of(recipe.dockerfile.read_text())
    assert {*recipe.bases, *recipe.arguments, *recipe.public_arguments} <= set(declared)


@pytest.mark.parametrize("dockerfile", ALL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_hadolint_finds_nothing(dockerfile):
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(REPOSITORY / ".venv" / "bin"))
    if program is None:
        pytest.skip("hadolint is not installed (it has no build for this machine)")
    done = subprocess.run([program, "--no-color", dockerfile], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
