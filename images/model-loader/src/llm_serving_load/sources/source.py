"""What every source can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llm_serving_load.streams import Stream


@dataclass(frozen=True)
class SourceFile:
    """A file of a model.

    Attributes:
        name: path inside the model, with ``/``.
        size: bytes.
        sha256: in hexadecimal, where the source knows it without reading the file.
        checksums: others that the source knows, in hexadecimal, by algorithm.
    """

    name: str
    size: int
    sha256: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def promised(self) -> dict[str, str]:
        """All checksums that the source knows."""
        return {**self.checksums, **({} if self.sha256 is None else {"sha256": self.sha256})}


class Source(Protocol):
    """One model at one revision, at one place. Its methods may be called from several threads."""

    @property
    def where(self) -> str:
        """The place in words, for messages."""
        ...

    def files(self) -> list[SourceFile]:
        """All files of the model.

        Raises:
            LoadError: they cannot be listed.
            InterruptedTransferError: asking again may work.
        """
        ...

    def open(self, file: SourceFile, offset: int = 0) -> Stream:
        """The bytes of a file from ``offset`` on.

        Raises:
            LoadError, InterruptedTransferError: as in :meth:`Stream.readinto`.
        """
        ...


_SHOWN = 5


def shown(names: list[str], none: str) -> str:
    """Names for a message: the first few of them, or words for none."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else none
