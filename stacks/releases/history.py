"""Releases as the repository's history has them: what was once there is there for ever, whoever edited file and lock
together."""

from dataclasses import dataclass
from pathlib import Path

from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import content_hash
from stacks.documents import parse_yaml
from stacks.git import GitError, run_git
from stacks.images.lock import LOCK as IMAGES_LOCK
from stacks.images.lock import history_problems
from stacks.releases.store import (
    LOCK,
    RELEASES,
    Release,
    display_path,
    free_version,
    lock_lines,
    read_releases,
)

DEFAULT_REFS = ("origin/main", "HEAD")
"""What to compare with where nothing is named: the first that is there."""


@dataclass(frozen=True)
class Verified:
    """Releases that match their lock.

    Attributes:
        release_count: how many there are.
        compared_with: name and hash of the commit with which they were compared; empty where they were not.
        earlier_count: how many of them that commit has.
        not_compared: why they were not compared; empty where they were.
    """

    release_count: int
    compared_with: str = ""
    earlier_count: int = 0
    not_compared: str = ""


def verify_releases(folder: Path = RELEASES, against: str | None = None) -> Verified:
    """Check the lock and, inside a git checkout, that no release or line of the lock that the common ancestor of HEAD
    and ``against`` had was changed or removed, of the lock of images neither.

    Args:
        against: branch, tag or commit; ``None`` for the first of :data:`DEFAULT_REFS` that is there.

    Raises:
        ProblemsError: a release was changed or removed, or ``against`` was named and cannot be compared with.
    """
    releases = read_releases(folder)
    try:
        run_git(folder, "rev-parse", "--show-toplevel")
        reference = against or next((name for name in DEFAULT_REFS if _exists(folder, name)), None)
        if reference is None:
            raise GitError("there is no commit yet")
        commit = _common_ancestor(folder, reference)
    except GitError as error:
        if against is None:
            return Verified(len(releases), not_compared=str(error))
        problem = Problem(
            "--against", against, f"cannot be compared with: {error}", f"git fetch, so that {against} is here"
        )
        raise ProblemsError([problem]) from None
    files = _files(folder, commit)
    images = files.pop(IMAGES_LOCK, None)
    earlier = _releases_of(files, commit)
    present = {release.file: release for release in releases.values()}
    problems = [
        problem
        for file, sha256 in earlier.items()
        if (problem := _difference(file, sha256, present.get(file), reference, releases)) is not None
    ]
    problems += history_problems(folder, images) if images is not None else []
    if problems:
        raise ProblemsError(problems, display_path(folder))
    return Verified(len(releases), compared_with=f"{reference} ({commit[:12]})", earlier_count=len(earlier))


def _difference(
    file: str, sha256: str, present: Release | None, reference: str, releases: dict[tuple[str, str], Release]
) -> Problem | None:
    """Why a release differs from what ``reference`` has of it; ``None`` where it does not."""
    if present is None:
        return Problem(file, None, f"is in {reference} and was removed; releases are never removed", "restore the file")
    if not present.is_as(sha256):
        reason = f"changed, together with {LOCK}: {reference} has {sha256[:12]}"
        hint = f"restore it, and add a new version, for example {free_version(releases, present.spec)}"
        return Problem(file, present.sha256[:12], reason, hint)
    return None


def _releases_of(files: dict[str, str], commit: str) -> dict[str, str]:
    """Hash of each release of a commit, by file: what its lock says, which is what was promised, else the content."""
    lock = files.pop(LOCK, None)
    hashes = lock_lines(parse_yaml(lock, f"{commit[:12]}:{LOCK}"), LOCK) if lock is not None else {}
    unlocked = {file: text for file, text in files.items() if file not in hashes}
    return hashes | {file: content_hash(parse_yaml(text, f"{commit[:12]}:{file}")) for file, text in unlocked.items()}


def _files(folder: Path, commit: str) -> dict[str, str]:
    """Locks and release files of a commit, by path below the folder."""
    names: list[str] = []
    blobs: list[str] = []
    for entry in run_git(folder, "ls-tree", "-r", "-z", commit, "--", ".").decode().split("\0"):
        attributes, _, name = entry.partition("\t")
        if name in (LOCK, IMAGES_LOCK) or (name.endswith(".yaml") and name.count("/") == 1):
            names.append(name)
            blobs.append(attributes.split()[2])
    output = run_git(folder, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs))
    texts: dict[str, str] = {}
    for name in names:
        header, _, rest = output.partition(b"\n")
        size = int(header.split()[2])
        texts[name] = rest[:size].decode()
        output = rest[size + 1 :]
    return texts


def _exists(folder: Path, reference: str) -> bool:
    try:
        run_git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    except GitError:
        return False
    return True


def _common_ancestor(folder: Path, reference: str) -> str:
    if not _exists(folder, reference):
        raise GitError("there is no such branch, tag or commit here")
    try:
        return run_git(folder, "merge-base", "HEAD", reference).decode().strip()
    except GitError:
        raise GitError("HEAD and it have no common commit here; a shallow clone needs its history") from None
