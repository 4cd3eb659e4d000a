"""Programs that the machine already has on PATH, at a version that fits."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.versions import Range, parse, show

_TIMEOUT_S = 15
_ELF_INTERPRETER = 3
"""The type of the program header that names a dynamic linker: PT_INTERP."""


@dataclass(frozen=True)
class PathProgram:
    """A program on PATH that fits."""

    path: Path
    version: str


def search_path(path: str, ours: Sequence[Path]) -> str:
    """Return PATH without the folders that this package itself fills."""
    own = {os.path.realpath(folder) for folder in ours}
    return os.pathsep.join(p for p in path.split(os.pathsep) if p and os.path.realpath(p) not in own)


def is_static(program: Path) -> bool:
    """Say whether a program needs no libraries: a 64-bit ELF file that names no dynamic linker (elf(5)).

    Both processors that the project supports are little-endian.
    """
    with program.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return False
        offset, size, count = (int.from_bytes(header[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
        file.seek(offset)
        table = file.read(size * count)
    kinds = (int.from_bytes(table[start : start + 4], "little") for start in range(0, len(table), size))
    return _ELF_INTERPRETER not in kinds


def find(
    name: str,
    fits: Range,
    path: str,
    *,
    ask_version: Sequence[str] = ("--version",),
    companions: Sequence[str] = (),
    static: bool = False,
) -> PathProgram | None:
    """Return the first program `name` on `path` that fits, judged by the version that it prints when run.

    None is found where one of its companions is missing. With `static`, only a program that needs no
    libraries fits.
    """
    if not all(shutil.which(companion, path=path) for companion in companions):
        return None
    for folder in path.split(os.pathsep):
        candidate = shutil.which(name, path=folder)
        if candidate is None or (static and not is_static(Path(candidate))):
            continue
        version = parse(_output(candidate, ask_version))
        if version is not None and version in fits:
            return PathProgram(Path(candidate).absolute(), show(version))
    return None


def _output(program: str, arguments: Sequence[str]) -> str:
    try:
        result = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr if result.returncode == 0 else ""
