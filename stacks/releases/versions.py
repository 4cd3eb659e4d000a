"""Order of versions: semantic versioning 2.0.0, section 11."""

from collections.abc import Collection
from typing import Any


def precedence(version: str) -> tuple[Any, ...]:
    """A key that sorts versions as semantic versioning does: ``1.9.0`` before ``1.10.0``, ``1.0.0-rc.1`` before
    ``1.0.0``."""
    core, _, pre_release = version.partition("-")
    numbers = tuple(int(part) for part in core.split("."))
    parts = tuple(_identifier(part) for part in pre_release.split(".")) if pre_release else ()
    return (numbers, not pre_release, parts)


def _identifier(part: str) -> tuple[int, int, str]:
    """Numbers come before texts and are compared as such."""
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)


def minor(version: str) -> tuple[int, int]:
    """Major and minor part."""
    major, second, _ = version.partition("-")[0].split(".")
    return int(major), int(second)


def next_minor(version: str, taken: Collection[str]) -> str:
    """The next minor version that is not taken: what to suggest for a change."""
    major, second = minor(version)
    while f"{major}.{second + 1}.0" in taken:
        second += 1
    return f"{major}.{second + 1}.0"
