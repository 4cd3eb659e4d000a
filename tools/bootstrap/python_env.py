"""The Python environment `.venv`: every pinned requirement, and the project's own packages as editable.

A stamp in `.venv` says for which requirement files and which interpreter it was filled, so that a second
run does nothing.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stacks.files import file_locked, write_atomically
from tools.bootstrap import path_programs, store
from tools.bootstrap.folders import Platform, SetupFolders, fingerprint
from tools.bootstrap.progress import Progress, elapsed
from tools.bootstrap.versions import Range

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
PROJECTS = (".", "components", "images/model-loader")

_STAMP = ".filled-for.json"
_UV_PINS = Path("tools", "python", "uv.txt")
_UV_FITS = Range((0, 8, 0), (1, 0, 0))


@dataclass(frozen=True)
class Stamp:
    """What `.venv` was filled for: the pins and interpreter, and the project's own packages."""

    requirements: str
    projects: str

    @classmethod
    def wanted(cls, repo: Path) -> "Stamp":
        """Return the stamp that a filled environment has now."""
        pins = [(repo / name).read_bytes() for name in REQUIREMENTS]
        own = [(repo / p / "pyproject.toml").read_bytes() for p in projects(repo)]
        return cls(fingerprint(sys.version, sys.base_prefix, str(repo), *pins), fingerprint(*own))

    @classmethod
    def read(cls, venv: Path) -> "Stamp | None":
        """Return the stamp of an environment, or None if it was never filled to the end or is broken."""
        if not (venv / "bin" / "python").exists():
            return None
        try:
            return cls(**json.loads((venv / _STAMP).read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def write(self, venv: Path) -> None:
        """Stamp an environment, in one rename."""
        write_atomically(venv / _STAMP, json.dumps(asdict(self)) + "\n", mode=0o644)


def projects(repo: Path) -> list[str]:
    """Return the folders of the project's own packages."""
    return [folder for folder in PROJECTS if (repo / folder / "pyproject.toml").is_file()]


def ensure(folders: SetupFolders, progress: Progress) -> None:
    """Make and fill `.venv`, or do nothing where it is filled already."""
    progress.step(f"python {platform.python_version()}")
    with file_locked(folders.view / ".python.lock", lambda: progress.say("another set-up is at it; waiting")):
        wanted = Stamp.wanted(folders.repo)
        present = Stamp.read(folders.venv)
        if present == wanted:
            return
        started = time.monotonic()
        uv = obtain_uv(folders, progress)
        fill = present is None or present.requirements != wanted.requirements
        (folders.venv / _STAMP).unlink(missing_ok=True)
        if fill:
            _fill(folders, uv, progress)
        _own_packages(folders, uv, progress)
        wanted.write(folders.venv)
        progress.say(f"{folders.venv} filled after {elapsed(time.monotonic() - started)}")


def _fill(folders: SetupFolders, uv: Path, progress: Progress) -> None:
    if not _is_of_this_interpreter(folders.venv):
        progress.say(f"making {folders.venv} with {sys.executable}")
        # uv looks for an interpreter of its own, and downloads one, unless it is told which.
        _run(folders, progress, [uv, "venv", "--clear", "--python", sys.executable, folders.venv], "making .venv")
    progress.say("installing the pinned packages, about half a minute")
    _run(
        folders,
        progress,
        [uv, "pip", "sync", "--require-hashes", "--compile-bytecode", REQUIREMENTS[-1]],
        "installing the pinned packages",
    )


def _own_packages(folders: SetupFolders, uv: Path, progress: Progress) -> None:
    own = [part for folder in projects(folders.repo) for part in ("-e", f"./{folder}")]
    if own:
        command = [uv, "pip", "install", "--no-deps", "--no-build-isolation", *own]
        _run(folders, progress, command, "installing the project's own packages")


def _is_of_this_interpreter(venv: Path) -> bool:
    """Say whether `venv` was made by the interpreter that runs this: an upgraded one needs a new venv."""
    script = "import sys; print(sys.version); print(sys.base_prefix)"
    try:
        answer = subprocess.run(
            [venv / "bin" / "python", "-c", script], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.split("\n")[:-1] == [*sys.version.split("\n"), sys.base_prefix]


def obtain_uv(folders: SetupFolders, progress: Progress) -> Path:
    """Return the installer: one on PATH, else the pinned one, which is installed where it is not there."""
    on_path = path_programs.find(
        "uv", _UV_FITS, path_programs.search_path(os.environ.get("PATH", ""), [folders.venv / "bin"])
    )
    if on_path:
        return on_path.path
    pins = folders.repo / _UV_PINS
    key = fingerprint(pins.read_bytes(), sys.version, str(Platform.current()))
    place = folders.tools / "uv" / key

    def make(folder: Path) -> store.Note:
        progress.say("installing uv with pip")
        helper = folder / "venv"
        doing = (
            "making a virtual environment with the interpreter's own venv (Debian and Ubuntu keep it in the "
            "package python3-venv; or install uv yourself: https://docs.astral.sh/uv/)"
        )
        _run(folders, progress, [sys.executable, "-m", "venv", helper], doing)
        pip = [helper / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _run(folders, progress, [*pip, "--require-hashes", "-r", pins], "installing uv with pip")
        (folder / "bin").mkdir()
        shutil.copy2(helper / "bin" / "uv", folder / "bin" / "uv")
        shutil.rmtree(helper)
        return store.Note("pinned", "PyPI")

    store.obtain(place, make, lambda: progress.say("another set-up installs uv; waiting"))
    return place / "bin" / "uv"


def _run(folders: SetupFolders, progress: Progress, command: list[str | Path], doing: str) -> None:
    progress.run(command, log=folders.view / "python.log", doing=doing, env=_environment(folders), cwd=folders.repo)


def _environment(folders: SetupFolders) -> Mapping[str, str]:
    # PYTHONDONTWRITEBYTECODE would make the compilation of bytecode do nothing, without a word.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    return {**kept, "VIRTUAL_ENV": str(folders.venv), "UV_PYTHON_DOWNLOADS": "never"}
