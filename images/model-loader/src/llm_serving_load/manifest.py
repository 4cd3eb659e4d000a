"""The manifest: what a complete copy of a model consists of. It is written last, so its absence means half a copy."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from llm_serving_load import names

NAME = "manifest.json"
_FORMAT = 1


class ManifestError(Exception):
    """The file is no manifest; the text says what is wrong with it."""


@dataclass(frozen=True, order=True)
class Entry:
    """One file: path below the folder with ``/``, bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A complete copy: where it came from and its files, in the order of their names."""

    source: str
    repository: str
    revision: str
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """All bytes."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> bytes:
        """The file's content."""
        content: dict[str, Any] = {
            "format": _FORMAT,
            "source": self.source,
            "repository": self.repository,
            "revision": self.revision,
            "size": self.size,
            "files": [asdict(entry) for entry in sorted(self.files)],
        }
        return (json.dumps(content, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Read a manifest.

        Raises:
            ManifestError: it is damaged, or of a format that this version does not know.
        """
        try:
            read = json.loads(content)
            if read["format"] != _FORMAT:
                raise ManifestError(f"format {read['format']!r}: this version knows format {_FORMAT}")
            files = tuple(
                Entry(str(entry["name"]), int(entry["size"]), str(entry["sha256"])) for entry in read["files"]
            )
            result = cls(str(read["source"]), str(read["repository"]), str(read["revision"]), files)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ManifestError(f"it cannot be read ({type(error).__name__}: {error})") from None
        if not files or not all(names.is_safe(entry.name) for entry in files):
            raise ManifestError("it names no files, or files outside its folder")
        return result
