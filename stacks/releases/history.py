"""Releases as the repository's history has them: what was once there is there for ever, whoever edited file and lock
together."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from llm_serving.errors import Problem, ProblemsError
from stacks.documents import parse_yaml
from stacks.releases.store import LOCK, RELEASES, Release, content_hash, free_version, lock_lines, read_releases, shown

DEFAULT_REFS = ("origin/main", "HEAD")
"""What to compare with where nothing is named: the first that is there."""


@dataclass(frozen=True)
class Verified:
    """Releases that match their lock.

    Attributes:
        releases: how many there are.
        compared: with which commit they were compared, in words; empty where they were not.
        before: how many of them that commit has.
        why_not: why they were not compared; empty where they were.
    """

    releases: int
    compared: str = ""
    before: int = 0
    why_not: str = ""


class _GitError(Exception):
    """Git did not do what it was asked for; the text is its own."""


def verify_releases(folder: Path = RELEASES, against: str | None = None) -> Verified:
    """Check the lock and, inside a git checkout, that no release or line of the lock that the common ancestor of HEAD
    and ``against`` had was changed or removed.

    Args:
        against: branch, tag or commit; ``None`` for the first of :data:`DEFAULT_REFS` that is there.

    Raises:
        ProblemsError: a release was changed or removed, or ``against`` was named and cannot be compared with.
    """
    releases = read_releases(folder)
    try:
        _git(folder, "rev-parse", "--show-toplevel")
        reference = against or next((name for name in DEFAULT_REFS if _is_there(folder, name)), None)
        if reference is None:
            raise _GitError("there is no commit yet")
        commit = _common_ancestor(folder, reference)
    except _GitError as error:
        if against is None:
            return Verified(len(releases), why_not=str(error))
        problem = Problem(
            "--against", against, f"cannot be compared with: {error}", f"git fetch, so that {against} is here"
        )
        raise ProblemsError([problem]) from None
    before = _releases_of(folder, commit)
    now = {release.file: release for release in releases.values()}
    problems = [
        found
        for file, sha256 in before.items()
        if (found := _difference(file, sha256, now.get(file), reference, releases)) is not None
    ]
    if problems:
        raise ProblemsError(problems, shown(folder))
    return Verified(len(releases), compared=f"{reference} ({commit[:12]})", before=len(before))


def _difference(
    file: str, sha256: str, now: Release | None, reference: str, releases: dict[tuple[str, str], Release]
) -> Problem | None:
    if now is None:
        return Problem(file, None, f"is in {reference} and was removed; releases are never removed", "restore the file")
    if now.sha256 != sha256:
        reason = f"changed, together with {LOCK}: {reference} has {sha256[:12]}"
        hint = f"restore it, and add a new version, for example {free_version(releases, now.spec)}"
        return Problem(file, now.sha256[:12], reason, hint)
    return None


def _releases_of(folder: Path, commit: str) -> dict[str, str]:
    """Hash of each release of a commit, by file: what its lock says, which is what was promised, else the content."""
    files = _files(folder, commit)
    lock = files.pop(LOCK, None)
    hashes = lock_lines(parse_yaml(lock, f"{commit[:12]}:{LOCK}"), LOCK) if lock is not None else {}
    unlocked = {file: text for file, text in files.items() if file not in hashes}
    return hashes | {file: content_hash(parse_yaml(text, f"{commit[:12]}:{file}")) for file, text in unlocked.items()}


def _files(folder: Path, commit: str) -> dict[str, str]:
    """Lock and release files of a commit, by path below the folder."""
    names: list[str] = []
    blobs: list[str] = []
    for entry in _git(folder, "ls-tree", "-r", "-z", commit, "--", ".").decode().split("\0"):
        about, _, name = entry.partition("\t")
        if name == LOCK or (name.endswith(".yaml") and name.count("/") == 1):
            names.append(name)
            blobs.append(about.split()[2])
    contents = _git(folder, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs))
    found: dict[str, str] = {}
    for name in names:
        header, _, rest = contents.partition(b"\n")
        size = int(header.split()[2])
        found[name] = rest[:size].decode()
        contents = rest[size + 1 :]
    return found


def _is_there(folder: Path, reference: str) -> bool:
    try:
        _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    except _GitError:
        return False
    return True


def _common_ancestor(folder: Path, reference: str) -> str:
    if not _is_there(folder, reference):
        raise _GitError("there is no such branch, tag or commit here")
    try:
        return _git(folder, "merge-base", "HEAD", reference).decode().strip()
    except _GitError:
        raise _GitError("HEAD and it have no common commit here; a shallow clone needs its history") from None


def _git(folder: Path, *arguments: str, given: str = "") -> bytes:
    """What git prints. Hooks name a repository and an index in the environment; ours is where the folder is."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=given.encode(), env=environment, capture_output=True, check=False)
    except OSError as error:
        raise _GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _GitError(said[0].removeprefix("fatal: ") if said else f"git {arguments[0]} failed")
    return done.stdout
