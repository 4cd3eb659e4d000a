"""What every target can do."""

from collections.abc import Mapping
from typing import Protocol

from llm_serving_load.manifest import Manifest
from llm_serving_load.streams import Stream

CLAIM = ".claim"
"""In the target: what it is for, from before the first file is written."""


class Part(Protocol):
    """A file that is being written and is not there yet."""

    def write(self, block: memoryview) -> None:
        """Append.

        Raises:
            LostPartError: another loader took it away.
        """
        ...

    def commit(self) -> None:
        """Let it be there, complete and kept for good.

        Raises:
            LostPartError: another loader took it away, or wrote the file meanwhile.
        """
        ...

    def discard(self) -> None:
        """Give it up; does nothing after :meth:`commit`."""
        ...


class Target(Protocol):
    """A place for one model. Methods may be called from several threads, and raise a
    :class:`~llm_serving_load.errors.LoadError` that says what to do."""

    @property
    def where(self) -> str:
        """The place in words, for messages."""
        ...

    def manifest(self) -> Manifest | None:
        """The manifest of a complete copy, ``None`` where there is none."""
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes of each file that an engine might read: hidden names and the manifest are left out."""
        ...

    def prepare(self) -> None:
        """Make the place, and remove what dead loaders left where it is known to be theirs."""
        ...

    def free(self) -> int | None:
        """Bytes that can be written; ``None``: as many as one likes."""
        ...

    def claim(self, owner: str) -> str:
        """Claim the place for ``owner``, one line of text; the owner that it has from now on.

        That is another one where the place was claimed before. All who name the same owner share the claim.
        """
        ...

    def checksums(self, name: str, size: int, *, deep: bool = False) -> Mapping[str, str] | None:
        """What is known of a file that is there with so many bytes, in hexadecimal, by algorithm; ``None`` where it is
        not. A folder reads the file, a store knows; with ``deep`` its bytes are read there too, since what was noted
        when they were written says nothing about what they are now."""
        ...

    def open(self, name: str, offset: int) -> Stream:
        """The bytes of a file that is there, from an offset on."""
        ...

    def sha256_of(self, name: str) -> str:
        """Hash of a file that is there; reads all of it."""
        ...

    def part(self, name: str, size: int, sha256: str | None) -> Part:
        """Start a file of so many bytes. ``sha256`` is what it will have where that is known, and whoever writes must
        not commit anything else."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest; the copy is complete."""
        ...
