"""Bytes on their way."""

from typing import Protocol


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
