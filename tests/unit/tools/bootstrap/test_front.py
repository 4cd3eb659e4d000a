"""The shell front finds a Python that is new enough, or says how to install one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import ROOT, executable

OLD = "exit 1  # what a Python 3.9 answers to the check"


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """An environment with no Python at all, and a folder `bin` to put one in."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "cat"):
        program = shutil.which(name)
        assert program
        (tmp_path / "bin" / name).symlink_to(program)
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def _run_setup(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / "tools" / "bootstrap.sh", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _link_python(path: Path) -> None:
    executable(path, f'exec {sys.executable} "$@"')


def test_without_a_python_it_says_how_to_install_one(tmp_path: Path, bare_environment: dict[str, str]) -> None:
    executable(tmp_path / "bin" / "python3", OLD)
    done = _run_setup(bare_environment, "path")

    assert done.returncode == 1
    assert "no Python 3.11 or later was found" in done.stderr
    assert "apt-get install" in done.stderr
    assert "brew install" in done.stderr


@pytest.mark.parametrize("place", ["bin/python3.12", "bin/python3", ".pyenv/versions/3.12.1/bin/python"])
def test_python_is_found_where_machines_have_it(tmp_path: Path, bare_environment: dict[str, str], place: str) -> None:
    executable(tmp_path / "bin" / "python3.13", OLD)
    _link_python(tmp_path / place)
    done = _run_setup(bare_environment, "path")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(ROOT / ".venv" / "bin"), str(ROOT / ".tools" / "bin")]


def test_named_python_that_is_too_old_is_refused(tmp_path: Path, bare_environment: dict[str, str]) -> None:
    _link_python(tmp_path / "bin" / "python3")
    executable(tmp_path / "old", OLD)
    done = _run_setup({**bare_environment, "PYTHON": str(tmp_path / "old")}, "path")

    assert done.returncode == 1
    assert f"PYTHON={tmp_path}/old is no Python 3.11 or later" in done.stderr


def test_exports_put_the_tools_first_on_path(tmp_path: Path, bare_environment: dict[str, str]) -> None:
    _link_python(tmp_path / "bin" / "python3")
    tools = tmp_path / "a folder"
    exports = _run_setup({**bare_environment, "LLM_SERVING_TOOLS": str(tools)}, "env").stdout
    shown = subprocess.check_output(
        ["/bin/sh", "-c", f'{exports}\necho "$PATH"; echo "$LLM_SERVING_TOOLS"'], env=bare_environment, text=True
    )

    path, named = shown.splitlines()
    assert path.split(os.pathsep) == [str(ROOT / ".venv" / "bin"), str(tools / "bin"), bare_environment["PATH"]]
    assert named == str(tools)
