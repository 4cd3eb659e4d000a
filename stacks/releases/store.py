"""Reading, checking and locking of release files."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from llm_serving.arguments import parse
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import ReleaseSpec
from stacks.documents import load_yaml

RELEASES = Path(__file__).parent
"""Folder of the releases that come with the repository."""

LOCK = "releases.lock.yaml"
"""Name of the file, beside the models' folders, that holds the hash of each release."""


@dataclass(frozen=True)
class Release:
    """A release as read from its file.

    Attributes:
        spec: its content.
        sha256: hash of the content in canonical form: comments and layout may change, meaning may not.
        file: path relative to the folder of releases.
    """

    spec: ReleaseSpec
    sha256: str
    file: str


def read_releases(folder: Path = RELEASES) -> dict[tuple[str, str], Release]:
    """Every release, by model and version.

    Raises:
        ProblemsError: a file that cannot be read, whose name does not match its content, or that was changed after
            it was locked.
    """
    releases = _read(folder)
    locked = _read_lock(folder)
    problems: list[Problem] = []
    for release in releases.values():
        recorded = locked.pop(release.file, None)
        if recorded is None:
            problems.append(
                Problem(release.file, None, f"not in {LOCK}", "stacks release lock, which adds new releases")
            )
        elif recorded != release.sha256:
            hint = f"leave it as it was and add a new version, for example {_next_version(release.spec.version)}"
            problems.append(
                Problem(release.file, release.sha256[:12], f"changed after {recorded[:12]} was locked", hint)
            )
    problems += [
        Problem(file, None, f"in {LOCK}, but the file is gone; releases are never removed", "restore the file")
        for file in locked
    ]
    if problems:
        raise ProblemsError(problems, str(_shown(folder)))
    return releases


def lock_releases(folder: Path = RELEASES) -> list[str]:
    """Add releases that are new to the lock. Returns their files.

    Raises:
        ProblemsError: a release that is already locked was changed or removed; nothing is written then.
    """
    releases = _read(folder)
    locked = _read_lock(folder)
    changed = [
        Problem(file, None, "changed or removed after it was locked", "restore it and add a new version")
        for file, sha256 in locked.items()
        if file not in {r.file for r in releases.values() if r.sha256 == sha256}
    ]
    if changed:
        raise ProblemsError(changed, str(_shown(folder)))
    new = sorted(release.file for release in releases.values() if release.file not in locked)
    if new:
        content = {release.file: release.sha256 for release in releases.values()}
        text = "# Hashes of the releases, written by `stacks release lock`. Lines are added, never changed.\n"
        temporary = folder / f"{LOCK}.tmp"
        temporary.write_text(text + yaml.safe_dump(content, sort_keys=True), encoding="utf-8")
        os.replace(temporary, folder / LOCK)
    return new


def content_hash(data: Any) -> str:
    """SHA-256 of the canonical JSON form of ``data``."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read(folder: Path) -> dict[tuple[str, str], Release]:
    releases: dict[tuple[str, str], Release] = {}
    for path in sorted(folder.glob("*/*.yaml")):
        file = path.relative_to(folder).as_posix()
        source = str(_shown(folder) / file)
        data = load_yaml(path, source)
        spec = parse(ReleaseSpec, data, source)
        for key, found, expected in (
            ("name", spec.name, path.parent.name),
            ("version", spec.version, path.stem),
        ):
            if found != expected:
                raise ProblemsError([Problem(key, found, "differs from the file's own path", expected)], source)
        releases[spec.name, spec.version] = Release(spec, content_hash(data), file)
    return releases


def _read_lock(folder: Path) -> dict[str, str]:
    if not (folder / LOCK).exists():
        return {}
    return cast(dict[str, str], load_yaml(folder / LOCK, str(_shown(folder) / LOCK)) or {})


def _shown(folder: Path) -> Path:
    """The folder as messages name it: relative to the repository where it lies inside."""
    root = RELEASES.parent.parent
    return folder.relative_to(root) if folder.is_relative_to(root) else folder


def _next_version(version: str) -> str:
    major, minor, _ = version.split("-")[0].split(".")
    return f"{major}.{int(minor) + 1}.0"
