"""Versions of releases, by semantic versioning 2.0.0."""

from collections.abc import Collection

from semver import Version


def precedence(version: str) -> Version:
    """A key that sorts versions by precedence: ``1.9.0`` before ``1.10.0``, ``1.0.0-rc.1`` before ``1.0.0``."""
    return Version.parse(version)


def minor(version: str) -> tuple[int, int]:
    """Major and minor part."""
    parsed = Version.parse(version)
    return parsed.major, parsed.minor


def next_minor(version: str, taken: Collection[str]) -> str:
    """The next minor version that is not taken: what to suggest for a change."""
    candidate = Version.parse(version).bump_minor()
    while str(candidate) in taken:
        candidate = candidate.bump_minor()
    return str(candidate)
