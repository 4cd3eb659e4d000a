"""What a Dockerfile reads: the files that its COPY lines name, copied into a context of their own.

A build sees these files and no others, so the hash over them (:func:`fingerprint`) changes when the image would and at
no other time. In the context every file has the same modes and the same age, whatever the work tree's say: the same
input gives the same layers, and files are readable to the user that the image runs as.
"""

import fnmatch
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

IMAGES = Path(__file__).resolve().parents[2] / "images"
"""Folder of the images: the context of their builds."""

IGNORED = ("__pycache__", "*.pyc")
"""Names that never count: what Python writes beside its sources."""

_AGE = 1_700_000_000
"""Modification time of every file, in seconds: any constant does."""

_DIGITS = 12


class ImageError(RuntimeError):
    """An image that cannot be built, found or written to an archive; the message says what to do."""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its keyword in capitals and the rest of its line, continuations joined."""

    keyword: str
    text: str


def instructions(dockerfile: str) -> list[Instruction]:
    """Read a Dockerfile: comments left out, continued lines joined. Here-documents are not supported."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    parts = (line.strip().partition(" ") for line in joined.splitlines())
    return [Instruction(keyword.upper(), text.strip()) for keyword, _, text in parts if keyword]


def lines_of(dockerfile: str) -> list[str]:
    """All of a Dockerfile that a build acts on: what it says without its comments."""
    return [f"{instruction.keyword} {instruction.text}" for instruction in instructions(dockerfile)]


def arguments_of(dockerfile: str, values: Mapping[str, str] | None = None) -> dict[str, str]:
    """The build arguments that a Dockerfile declares, with these values, else their defaults (empty where it has
    none)."""
    declared: dict[str, str] = {}
    for instruction in instructions(dockerfile):
        if instruction.keyword == "ARG":
            for word in shlex.split(instruction.text):
                name, _, default = word.partition("=")
                if values is not None and name in values:
                    declared[name] = values[name]
                elif default or name not in declared:
                    declared[name] = _expanded(default, declared)
    return declared


def sources_of(dockerfile: str, arguments: Mapping[str, str]) -> list[str]:
    """The paths in the context that its COPY and ADD instructions name.

    Args:
        dockerfile: its text.
        arguments: values of build arguments; the others have their defaults.
    """
    values = arguments_of(dockerfile) | dict(arguments)
    sources: dict[str, None] = {}  # in the order in which they are named
    for instruction in instructions(dockerfile):
        if instruction.keyword in ("COPY", "ADD"):
            words = shlex.split(instruction.text)
            if not any(word.startswith("--from=") for word in words):
                paths = [_expanded(word, values) for word in words if not word.startswith("--")]
                sources |= dict.fromkeys(paths[:-1])
    return list(sources)


def stage(root: Path, sources: Sequence[str], target: Path) -> None:
    """Copy what is named into ``target``, the context of a build.

    Args:
        root: folder that the names start from.
        sources: see :func:`sources_of`.
        target: folder to make; it must not exist.

    Raises:
        ImageError: a name leads to nothing, or out of the folder.
    """
    target.mkdir(parents=True)
    for path in files_of(root, sources):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    for path in [target, *target.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (_AGE, _AGE))


def files_of(root: Path, sources: Sequence[str]) -> list[Path]:
    """The files that the names stand for, in a fixed order.

    Raises:
        ImageError: see :func:`stage`.
    """
    files: set[Path] = set()
    for source in sources:
        if ".." in PurePosixPath(source).parts:
            raise ImageError(f"{source!r} leads out of the build's folder {root}")
        copied = root / source.lstrip("/")
        below = list(_below(copied))
        if not below:
            raise ImageError(
                f"{copied}: a Dockerfile copies it, and it {'is empty' if copied.exists() else 'is not there'}"
            )
        files.update(below)
    return sorted(files)


def fingerprint(root: Path, sources: Sequence[str], *more: str) -> str:
    """Twelve hexadecimal digits that change with the name, the content and the run bit of each file, and with any of
    the other parts.

    Raises:
        ImageError: see :func:`stage`.
    """
    parts: list[str | bytes] = list(more)
    for path in files_of(root, sources):
        parts += [str(path.relative_to(root)), "x" if os.access(path, os.X_OK) else "-", path.read_bytes()]
    return digest_of(parts)


def digest_of(parts: Iterable[str | bytes]) -> str:
    """Twelve hexadecimal digits that change with any of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:_DIGITS]


def _below(path: Path) -> Iterator[Path]:
    if any(fnmatch.fnmatch(path.name, pattern) for pattern in IGNORED):
        return
    if path.is_dir():
        for child in path.iterdir():
            yield from _below(child)
    elif path.is_file():
        yield path


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: values.get(match[1] or match[2], ""), text)
