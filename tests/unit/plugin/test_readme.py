"""What README.md of the package tells others to type works."""

import os
import re
import shutil
import subprocess
import sys

import pulumi

from llm_serving.plugin import SCHEMA
from local.state_folder import REPOSITORY
from tests.unit.plugin.wire import KUBECONFIG
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid

README = SCHEMA.parent / "README.md"
USE = """\
import llm_serving, llm_serving.catalog, llm_serving.launchers
print(llm_serving.__file__)
assert llm_serving.ModelService and llm_serving.catalog.accelerators() and llm_serving.launchers.current()
"""
"""Code, data and the launcher's source, all of the installed package."""


def program() -> str:
    (text,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return text


def test_the_readmes_program_is_the_example_that_the_engine_tier_runs():
    assert program() == (REPOSITORY / "examples/existing-cluster/__main__.py").read_text()


def test_the_readmes_program_makes_valid_objects(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(pulumi, "export", lambda *_: None)
    names = {}
    recording = record(lambda: exec(program(), names))
    assert_valid(recording)
    assert recording.output("url", names["model"]) == "http://qwen3-8b.chat.svc:8000/v1"
    provider = recording.one("pulumi:providers:kubernetes")
    for resource in recording:
        if resource.type.startswith("kubernetes:"):
            assert resource.provider.startswith(provider.urn)


def test_the_package_is_installed_as_the_readme_says_from_a_path_and_from_git(tmp_path):
    """From a repository made here, in the place of the one at OWNER; what it depends on is there already."""
    repository = tmp_path / "llm-serving"
    shutil.copytree(SCHEMA.parent, repository / "components", ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Package"]):
        subprocess.run(["git", *identity, *arguments], cwd=repository, check=True)
    requirements = re.findall(r'^pip install "?([^"\n]+)"?$', README.read_text(), re.MULTILINE)
    assert len(requirements) == 2
    for number, requirement in enumerate(requirements):
        folder = tmp_path / f"installed-{number}"
        here = requirement.replace("https://github.com/OWNER/llm-serving.git", f"file://{repository}")
        offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
        install = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(folder), here]
        done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{folder}{os.sep}")
