"""Reading, checking and locking of release files."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from llm_serving.arguments import parse, plain
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import ReleaseSpec, content_hash
from stacks.documents import dump_yaml, load_yaml, parse_bytes
from stacks.files import folder_locked, write_atomically
from stacks.images.lock import LockedImage, entry_data, lookup, read_images
from stacks.releases.versions import next_minor

RELEASES = Path(__file__).parent
"""Folder of the releases that come with the repository."""

LOCK = "releases.lock.yaml"
"""Name of the file, beside the models' folders, that holds the hash of each release."""


@dataclass(frozen=True)
class Release:
    """A release as read from its file.

    Attributes:
        spec: its content.
        sha256: hash of the content in canonical form: comments and layout may change, meaning may not. Of an image that
            is named, the entry of the lock of images is part of it.
        file: path relative to the folder of releases.
        image_name: ``name@version`` of its image; ``None`` where the file says repository and tag itself.
        written_sha256: the same hash with the image's name in the place of its entry.
    """

    spec: ReleaseSpec
    sha256: str
    file: str
    image_name: str | None
    written_sha256: str

    @property
    def lock_line(self) -> str:
        """What the lock of releases records of it when it is new. An image without a digest still gets one, and only
        the lock of images can promise that nothing else of its entry changes: its name is recorded then."""
        return self.sha256 if self.image_name is None or self.spec.image.digest else self.written_sha256

    def is_as(self, recorded: str) -> bool:
        """Whether it is what the lock recorded, before or after its image got a digest."""
        return recorded in (self.sha256, self.written_sha256)


def read_releases(folder: Path = RELEASES) -> dict[tuple[str, str], Release]:
    """Every release, by model and version.

    Raises:
        ProblemsError: a file that cannot be read, whose name does not match its content, or that was changed after
            it was locked.
    """
    releases = _read(folder)
    locked = read_lock(folder)
    problems: list[Problem] = []
    for release in releases.values():
        recorded = locked.pop(release.file, None)
        if recorded is None:
            problems.append(
                Problem(release.file, None, f"not in {LOCK}", "stacks release lock, which adds new releases")
            )
        elif not release.is_as(recorded):
            hint = f"leave it as it was and add a new version, for example {free_version(releases, release.spec)}"
            problems.append(
                Problem(release.file, release.sha256[:12], f"changed after {recorded[:12]} was locked", hint)
            )
    problems += [
        Problem(file, None, f"in {LOCK}, but the file is gone; releases are never removed", "restore the file")
        for file in locked
    ]
    if problems:
        raise ProblemsError(problems, display_path(folder))
    return releases


def lock_releases(folder: Path = RELEASES) -> list[str]:
    """Add releases that are new to the lock. Returns their files.

    Raises:
        ProblemsError: a release that is already locked was changed or removed; nothing is written then.
    """
    with releases_locked(folder):
        return write_lock(folder)


def write_lock(folder: Path) -> list[str]:
    """What :func:`lock_releases` does, for whoever holds :func:`releases_locked` already."""
    releases = _read(folder)
    locked = read_lock(folder)
    by_file = {release.file: release for release in releases.values()}
    changed = [
        Problem(file, None, "changed or removed after it was locked", "restore it and add a new version")
        for file, sha256 in locked.items()
        if file not in by_file or not by_file[file].is_as(sha256)
    ]
    if changed:
        raise ProblemsError(changed, display_path(folder))
    new = sorted(file for file in by_file if file not in locked)
    if new:
        content = dict(sorted({**{file: release.lock_line for file, release in by_file.items()}, **locked}.items()))
        text = "# Hashes of the releases, written by `stacks release add`. Lines are added, never changed.\n"
        write_atomically(folder / LOCK, text + dump_yaml(content), mode=0o644)
    return new


@contextmanager
def releases_locked(folder: Path) -> Generator[None]:
    """One change of the folder at a time: two that add releases would each write a lock without the other's."""
    with folder_locked(folder):
        yield


def read_lock(folder: Path) -> dict[str, str]:
    """The hashes in the lock, by file; none where there is no lock yet.

    Raises:
        ProblemsError: the lock is not a table of hashes.
    """
    if not (folder / LOCK).exists():
        return {}
    source = display_path(folder / LOCK)
    return lock_lines(load_yaml(folder / LOCK, source), source)


def lock_lines(data: Any, source: str) -> dict[str, str]:
    """The hashes in a lock that was read already.

    Raises:
        ProblemsError: it is not a table of hashes.
    """
    lines: dict[Any, Any] = cast(dict[Any, Any], data) if isinstance(data, dict) else {}
    if data is not None and (lines is not data or not all(isinstance(v, str) for pair in lines.items() for v in pair)):
        raise ProblemsError([Problem("", None, "not a table of files and their hashes", "restore it")], source)
    return lines


def release_of(data: Any, images: Mapping[str, LockedImage], file: str, source: str) -> Release:
    """The release that a file's content is.

    Args:
        data: the content.
        images: the lock of images.
        file: path relative to the folder of releases.
        source: what messages call the file.

    Raises:
        ProblemsError: it is refused, or its image is in no lock.
    """
    written_sha256 = content_hash(data)
    name = cast(dict[str, Any], data).get("image") if isinstance(data, dict) else None
    if not isinstance(name, str):
        return Release(parse(ReleaseSpec, data, source), written_sha256, file, None, written_sha256)
    try:
        image = lookup(name, images, "image")
    except ProblemsError as error:
        raise error.from_source(source) from None
    spec = parse(ReleaseSpec, {**data, "image": plain(image.image())}, source)
    return Release(spec, content_hash({**data, "image": {name: entry_data(image)}}), file, name, written_sha256)


def _read(folder: Path) -> dict[tuple[str, str], Release]:
    """Every release of a folder. Nothing is parsed twice in one process: a program asks for them many times, and they
    take most of the time in which a stack is checked."""
    files = sorted(path for path in folder.glob("**/*.yaml") if path.is_file())
    return dict(_parsed(folder, tuple((path, path.read_bytes()) for path in files)))


@lru_cache(maxsize=8)
def _parsed(folder: Path, contents: tuple[tuple[Path, bytes], ...]) -> Mapping[tuple[str, str], Release]:
    images = read_images(folder)
    releases: dict[tuple[str, str], Release] = {}
    for path, content in contents:
        if path.parent.parent != folder:
            continue
        file = path.relative_to(folder).as_posix()
        source = display_path(path)
        data = parse_bytes(content, source)
        release = release_of(data, images, file, source)
        spec = release.spec
        for key, actual, expected in (
            ("name", spec.name, path.parent.name),
            ("version", spec.version, path.stem),
        ):
            if actual != expected:
                raise ProblemsError([Problem(key, actual, "differs from the file's own path", expected)], source)
        releases[spec.name, spec.version] = release
    return releases


def free_version(releases: dict[tuple[str, str], Release], spec: ReleaseSpec) -> str:
    """A version of the model that there is no release of: what to suggest in place of a change of ``spec``."""
    return next_minor(spec.version, [version for name, version in releases if name == spec.name])


def display_path(path: Path) -> str:
    """The path as messages name it: relative to the repository where it lies inside."""
    root = RELEASES.parent.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
