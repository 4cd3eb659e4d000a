"""A source whose requests are made again where it stops in the middle."""

from llm_serving_load.errors import InterruptedTransferError
from llm_serving_load.retrier import Retrier
from llm_serving_load.sources import Source, SourceFile
from llm_serving_load.streams import Stream


class RetryingSource:
    """Another source, each request to which is made again as ``retrier`` does; bytes that arrive start the count of
    attempts again."""

    def __init__(self, source: Source, retrier: Retrier) -> None:
        self._source = source
        self._retrier = retrier

    @property
    def where(self) -> str:
        """The place in words."""
        return self._source.where

    def files(self) -> list[SourceFile]:
        """All files of the model.

        Raises:
            LoadError: they cannot be listed.
            TemporaryError: every attempt failed.
            StoppedError: the retrier was told to end.
        """
        return self._retrier.retry(self._source.files)

    def open(self, file: SourceFile, offset: int = 0) -> "_RetryingStream":
        """The bytes of a file from ``offset`` on."""
        return _RetryingStream(self._retrier, self._source, file, offset)


class _RetryingStream:
    """A file, opened again at the next byte wherever the source stops."""

    def __init__(self, retrier: Retrier, source: Source, file: SourceFile, offset: int) -> None:
        self._retrier = retrier
        self._source = source
        self._file = file
        self._offset = offset
        self._stream: Stream | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        return self._retrier.retry(lambda: self._read(buffer))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self, buffer: memoryview) -> int:
        try:
            if self._stream is None:
                self._stream = self._source.open(self._file, self._offset)
            count = self._stream.readinto(buffer)
        except InterruptedTransferError:
            self.close()
            raise
        self._offset += count
        return count
