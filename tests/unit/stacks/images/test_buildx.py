"""An image for a registry is built from what is committed, on bases that stay the same, and says what it is."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from stacks.cli import app, main
from stacks.commands import images
from stacks.images import IMAGES, ImageError, build_context, buildx

DIGEST = "sha256:" + "0123456789abcdef" * 4
PYTHON = f"docker.io/library/python:3.12-slim-bookworm@{DIGEST}"
WORKFLOW = IMAGES.parent / ".github/workflows/images.yaml"
ARCHIVE = Path("/archives/image.tar")


@pytest.fixture
def committed_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "file").write_text("1")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "--quiet", "--message=one")
    return tmp_path


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def plan_build(root, name="vllm", **more):
    return buildx.plan_build(name, root=root, **{"bases": {"BUILDER_IMAGE": PYTHON}, **more})


def test_a_build_for_gpus_takes_the_gpu_lock_and_a_cuda_base_by_digest(committed_folder):
    build = plan_build(committed_folder)
    text = (IMAGES / "vllm" / "Dockerfile").read_text()
    arguments = build_context.arguments_of(text, build.arguments)
    assert arguments["LOCK"] == "requirements-gpu.txt"
    assert arguments["BASE_IMAGE"].startswith("docker.io/nvidia/cuda:")
    buildx.check_base(arguments["BASE_IMAGE"], "--base")
    assert arguments["BUILDER_IMAGE"] == PYTHON
    assert arguments["PRELOAD"] == ""
    assert {"python3", "python3-dev", "gcc"} <= set(arguments["SYSTEM_PACKAGES"].split())
    files = {
        str(path.relative_to(IMAGES))
        for path in build_context.files_of(IMAGES, build_context.sources_of(text, arguments))
    }
    assert files == {
        "tools/requirements.txt",
        "vllm/requirements-gpu.txt",
        "vllm/cpu_distribution.py",
    }


def test_the_image_says_what_it_is_and_where_it_comes_from(committed_folder):
    git(committed_folder, "remote", "add", "origin", "https://me:secret@git.test/serving.git")
    build = plan_build(committed_folder)
    assert build.arguments["REVISION"] == git(committed_folder, "rev-parse", "HEAD")
    assert build.arguments["SOURCE"] == "https://git.test/serving.git"
    assert build.arguments["VERSION"] == build.version
    assert build.version.startswith(f"{buildx.version_of('vllm')}-")
    assert build.locked_as == f"vllm@{buildx.version_of('vllm')}"


def test_the_command_writes_an_archive_with_a_list_of_contents_and_is_one_that_a_shell_takes(committed_folder):
    build = plan_build(committed_folder, platforms=["linux/amd64", "linux/arm64"])
    command = build.command(ARCHIVE)
    assert command[:3] == ["docker", "buildx", "build"]
    assert {f"--output=type=oci,dest={ARCHIVE}", "--sbom=true", "--provenance=mode=max"} <= set(command)
    assert "--platform=linux/amd64,linux/arm64" in command
    assert f"--build-arg=BUILDER_IMAGE={PYTHON}" in command
    assert command[-1] == str(IMAGES)
    text = buildx.shell_text(command).replace("docker buildx build", "printf '%s\\n'", 1)
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == command[3:]


def test_one_base_serves_both_where_the_dockerfile_says_so(committed_folder):
    build = plan_build(committed_folder, "model-loader", bases={"BASE_IMAGE": PYTHON})
    assert build.arguments["BASE_IMAGE"] == PYTHON


@pytest.mark.parametrize(
    "base",
    [
        "docker.io/library/python:3.12-slim-bookworm",
        "docker.io/library/python:3.12@sha256:12",
        f"python:3.12@{DIGEST}",
        f"docker.io/library/python:3.12@{DIGEST.upper()}",
        f"docker.io/library/python:3.12@{DIGEST}0",
    ],
)
def test_a_base_without_a_digest_is_refused_with_the_command_that_looks_it_up(committed_folder, base):
    with pytest.raises(ImageError, match="--builder") as refusal:
        plan_build(committed_folder, bases={"BUILDER_IMAGE": base})
    name = base.partition("@")[0]
    assert f"docker buildx imagetools inspect {name} --format '{{{{.Manifest.Digest}}}}'" in str(refusal.value)


def test_changes_that_are_in_no_commit_are_refused_by_name(committed_folder):
    (committed_folder / "images" / "new.py").write_text("")
    with pytest.raises(ImageError, match=r"in no commit(.|\n)*images/new\.py"):
        plan_build(committed_folder)


def test_an_unknown_image_is_refused_with_those_that_there_are(committed_folder):
    with pytest.raises(ImageError, match="gateway, model-loader, proxy, quantizer, redis, router, vllm"):
        plan_build(committed_folder, "vlm")


def test_without_docker_the_message_says_how_to_get_the_command(committed_folder, monkeypatch):
    monkeypatch.setenv("PATH", str(committed_folder))
    with pytest.raises(ImageError, match="--show"):
        buildx.build(buildx.RegistryBuild("vllm", "1", {}, ["linux/amd64"]), committed_folder / "image.tar")


def test_a_build_that_does_not_end_is_refused_like_one_that_fails(committed_folder, monkeypatch):
    docker = committed_folder / "docker"
    docker.write_text('#!/bin/sh\n[ "$2" = version ] || exec sleep 600\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(committed_folder), prepend=os.pathsep)
    monkeypatch.setattr(buildx, "_TIMEOUT_S", 0)
    with pytest.raises(ImageError, match="the build of vllm was stopped after"):
        buildx.build(buildx.RegistryBuild("vllm", "1", {}, ["linux/amd64"]), committed_folder / "image.tar")


def test_the_command_line_tells_a_refusal_in_one_line(capsys):
    command = ["images", "build", "vllm", "--archive", str(ARCHIVE), "--builder", "python"]
    with pytest.raises(SystemExit) as end:
        main(lambda: app(command))
    assert end.value.code == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: --builder 'python'")
    assert errors.count("\n") == 1


def test_the_workflow_gives_commands_that_the_program_takes():
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["push"]["steps"]
    text = "\n".join(step.get("run", "") for step in steps)
    commands = re.findall(r"\.venv/bin/stacks (.*)", text)
    assert [line.split()[:2] for line in commands] == [["images", "build"]] * 2 + [["images", "push"]]
    for line in commands:
        _, name, *arguments = shlex.split(line)
        group = get_command(images.app)
        assert isinstance(group, TyperGroup)
        group.commands[name].make_context(name, arguments)
