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
from tools.bootstrap import found, store
from tools.bootstrap.places import Places, Platform, fingerprint
from tools.bootstrap.progress import Progress, elapsed
from tools.bootstrap.versions import Range

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
PROJECTS = (".", "components")

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


def ensure(places: Places, progress: Progress) -> None:
    """Make and fill `.venv`, or do nothing where it is filled already."""
    progress.step(f"python {platform.python_version()}")
    with file_locked(places.view / ".python.lock", lambda: progress.say("another set-up is at it; waiting")):
        wanted = Stamp.wanted(places.repo)
        present = Stamp.read(places.venv)
        if present == wanted:
            return
        started = time.monotonic()
        uv = _uv(places, progress)
        fill = present is None or present.requirements != wanted.requirements
        (places.venv / _STAMP).unlink(missing_ok=True)
        if fill:
            _fill(places, uv, progress)
        _own_packages(places, uv, progress)
        wanted.write(places.venv)
        progress.say(f"{places.venv} filled after {elapsed(time.monotonic() - started)}")


def _fill(places: Places, uv: Path, progress: Progress) -> None:
    if not _is_of_this_interpreter(places.venv):
        progress.say(f"making {places.venv} with {sys.executable}")
        # uv looks for an interpreter of its own, and downloads one, unless it is told which.
        _run(places, progress, [uv, "venv", "--clear", "--python", sys.executable, places.venv], "making .venv")
    progress.say("installing the pinned packages, about half a minute")
    _run(
        places,
        progress,
        [uv, "pip", "sync", "--require-hashes", "--compile-bytecode", REQUIREMENTS[-1]],
        "installing the pinned packages",
    )


def _own_packages(places: Places, uv: Path, progress: Progress) -> None:
    own = [part for folder in projects(places.repo) for part in ("-e", f"./{folder}")]
    if own:
        command = [uv, "pip", "install", "--no-deps", "--no-build-isolation", *own]
        _run(places, progress, command, "installing the project's own packages")


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


def _uv(places: Places, progress: Progress) -> Path:
    on_path = found.find("uv", _UV_FITS, found.search_path(os.environ.get("PATH", ""), [places.venv / "bin"]))
    if on_path:
        return on_path.path
    pins = places.repo / _UV_PINS
    key = fingerprint(pins.read_bytes(), sys.version, str(Platform.current()))
    place = places.tools / "uv" / key

    def make(folder: Path) -> store.Note:
        progress.say("installing uv with pip")
        helper = folder / "venv"
        doing = (
            "making a virtual environment with the interpreter's own venv (Debian and Ubuntu keep it in the "
            "package python3-venv; or install uv yourself: https://docs.astral.sh/uv/)"
        )
        _run(places, progress, [sys.executable, "-m", "venv", helper], doing)
        pip = [helper / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _run(places, progress, [*pip, "--require-hashes", "-r", pins], "installing uv with pip")
        (folder / "bin").mkdir()
        shutil.copy2(helper / "bin" / "uv", folder / "bin" / "uv")
        shutil.rmtree(helper)
        return store.Note("pinned", "PyPI")

    store.obtain(place, make, lambda: progress.say("another set-up installs uv; waiting"))
    return place / "bin" / "uv"


def _run(places: Places, progress: Progress, command: list[str | Path], doing: str) -> None:
    progress.run(command, log=places.view / "python.log", doing=doing, env=_environment(places), cwd=places.repo)


def _environment(places: Places) -> Mapping[str, str]:
    # PYTHONDONTWRITEBYTECODE would make the compilation of bytecode do nothing, without a word.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    return {**kept, "VIRTUAL_ENV": str(places.venv), "UV_PYTHON_DOWNLOADS": "never"}
