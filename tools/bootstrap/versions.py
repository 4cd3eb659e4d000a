"""Versions as programs print them, and the ranges of them that the project accepts."""

import re
from dataclasses import dataclass

Version = tuple[int, int, int]

_NUMBER = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def parse(text: str) -> Version | None:
    """Return the first version in `text` (`Kubernetes v1.34.4` gives 1, 34, 4), or None."""
    match = _NUMBER.search(text)
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def show(version: Version) -> str:
    """Return `1.34.4` for 1, 34, 4."""
    return ".".join(str(part) for part in version)


@dataclass(frozen=True)
class Range:
    """Versions from `first` on, up to `end`, which is the first that no longer fits."""

    first: Version
    end: Version

    def __contains__(self, version: Version) -> bool:
        return self.first <= version < self.end

    def __str__(self) -> str:
        return f">= {show(self.first)}, < {show(self.end)}"
