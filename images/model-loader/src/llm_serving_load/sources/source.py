"""What every source can do."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SourceFile:
    """A file of a model.

    Attributes:
        name: path inside the model, with ``/``.
        size: bytes.
        sha256: in hexadecimal, where the source knows it without reading the file.
    """

    name: str
    size: int
    sha256: str | None = None


class Stream(Protocol):
    """Bytes of a file, from an offset on."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a part of the buffer; the number of bytes, 0 at the end.

        Raises:
            InterruptedTransferError: the source stopped; opening it again at the next byte may work.
            LoadError: it will not work.
        """
        ...

    def close(self) -> None:
        """Give back what the stream holds."""
        ...


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
