"""`.venv` is filled when what it was filled for changed, and left alone otherwise."""

import os
import sys

import pytest

from tests.unit.tools.bootstrap.tiny import Workshop, executable
from tools.bootstrap import python_env
from tools.bootstrap.errors import SetupError
from tools.bootstrap.progress import Progress


class _Uv:
    """A stand-in for uv that writes down its calls and makes an environment of this interpreter."""

    def __init__(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = workshop.folder / "calls"
        self._failure = workshop.folder / "fail"
        script = f"""
            [ "$1" = --version ] && {{ echo uv 0.13.9; exit; }}
            settings="bytecode=${{PYTHONDONTWRITEBYTECODE-on}} downloads=$UV_PYTHON_DOWNLOADS"
            echo "$1 $2 $settings" >> {self._calls}
            [ -e {self._failure} ] && {{ echo hashes do not match; exit 2; }}
            [ "$1" = venv ] || exit 0
            for last; do :; done
            mkdir -p "$last/bin" && ln -sf {sys.executable} "$last/bin/python"
        """
        folder = executable(workshop.folder / "uv" / "uv", script).parent
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def fails(self, does: bool) -> None:
        if does:
            self._failure.touch()
        else:
            self._failure.unlink()

    def calls(self) -> list[str]:
        """Return the calls since the last time."""
        text = self._calls.read_text() if self._calls.exists() else ""
        self._calls.write_text("")
        return [" ".join(line.split()[:2]) for line in text.splitlines()]

    def settings(self) -> set[str]:
        return {" ".join(line.split()[2:]) for line in self._calls.read_text().splitlines()}


@pytest.fixture
def uv(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> _Uv:
    repo = workshop.folders.repo
    for name in python_env.REQUIREMENTS:
        (repo / name).write_text("rich==15.0.0\n")
    (repo / "pyproject.toml").write_text("[project]\n")
    return _Uv(workshop, monkeypatch)


def _ensure(workshop: Workshop) -> None:
    python_env.ensure(workshop.folders, Progress(1))


def test_first_run_makes_and_fills_it(workshop: Workshop, uv: _Uv) -> None:
    _ensure(workshop)

    assert uv.settings() == {"bytecode=on downloads=never"}
    assert uv.calls() == ["venv --clear", "pip sync", "pip install"]


def test_second_run_does_nothing(workshop: Workshop, uv: _Uv) -> None:
    _ensure(workshop)
    uv.calls()
    _ensure(workshop)

    assert uv.calls() == []


@pytest.mark.parametrize("name", python_env.REQUIREMENTS)
def test_changed_requirements_fill_it_again(workshop: Workshop, uv: _Uv, name: str) -> None:
    _ensure(workshop)
    uv.calls()
    (workshop.folders.repo / name).write_text("rich==15.0.1\n")
    _ensure(workshop)

    assert uv.calls() == ["pip sync", "pip install"]


def test_changed_project_installs_the_project_alone(workshop: Workshop, uv: _Uv) -> None:
    _ensure(workshop)
    uv.calls()
    (workshop.folders.repo / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    _ensure(workshop)

    assert uv.calls() == ["pip install"]


def test_other_interpreter_makes_it_anew(workshop: Workshop, uv: _Uv, monkeypatch: pytest.MonkeyPatch) -> None:
    _ensure(workshop)
    uv.calls()
    monkeypatch.setattr(sys, "version", "3.99.0 (main, Oct  2 2026, 10:00:00) [GCC 13.2.0]")
    _ensure(workshop)

    assert uv.calls() == ["venv --clear", "pip sync", "pip install"]


def test_failed_run_is_not_taken_for_a_filled_environment(workshop: Workshop, uv: _Uv) -> None:
    uv.fails(True)
    with pytest.raises(SetupError, match="hashes do not match"):
        _ensure(workshop)
    uv.fails(False)
    uv.calls()
    _ensure(workshop)

    assert uv.calls() == ["venv --clear", "pip sync", "pip install"]


def test_removed_environment_is_made_again(workshop: Workshop, uv: _Uv) -> None:
    _ensure(workshop)
    uv.calls()
    (workshop.folders.venv / "bin" / "python").unlink()
    _ensure(workshop)

    assert uv.calls()[0] == "venv --clear"
