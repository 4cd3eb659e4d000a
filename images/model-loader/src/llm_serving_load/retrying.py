"""A source whose requests are made again where it stops in the middle."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from llm_serving_load.errors import InterruptedTransferError, StoppedError, TemporaryError
from llm_serving_load.sources import Source, SourceFile
from llm_serving_load.streams import Stream

_T = TypeVar("_T")

_FIRST_PAUSE, _MAX_PAUSE = 1.0, 8.0
"""Seconds before the second attempt, doubled before each further one."""
_SLICE = 0.1
"""Seconds after which somebody who pauses looks whether it is time to stop."""


class RetryingSource:
    """Another source, each request to which gets so many attempts; bytes that arrive start the count again.

    No request is made any more once ``stop`` is set.
    """

    def __init__(self, source: Source, attempts: int, stop: threading.Event) -> None:
        self._source = source
        self._attempts = attempts
        self._stop = stop

    @property
    def where(self) -> str:
        """The place in words."""
        return self._source.where

    def files(self) -> list[SourceFile]:
        """All files of the model.

        Raises:
            LoadError: they cannot be listed.
            TemporaryError: every attempt failed.
            StoppedError: ``stop`` was set.
        """
        return self.retry(self._source.files)

    def open(self, file: SourceFile, offset: int = 0) -> "_RetryingStream":
        """The bytes of a file from ``offset`` on."""
        return _RetryingStream(self, self._source, file, offset)

    def retry(self, attempt_once: Callable[[], _T]) -> _T:
        """What ``attempt_once`` returns, after as many attempts as it takes.

        Raises:
            TemporaryError: every attempt failed.
            StoppedError: ``stop`` was set.
        """
        pause = _FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            if self._stop.is_set():
                raise StoppedError
            try:
                return attempt_once()
            except InterruptedTransferError as error:
                if attempt == self._attempts:
                    raise TemporaryError(f"{error}; given up after {attempt} attempts") from error
                self._wait(pause)
                pause = min(2 * pause, _MAX_PAUSE)
        raise AssertionError("there is at least one attempt")

    def _wait(self, seconds: float) -> None:
        # Not Event.wait(): it holds a lock for moments, and a signal handler that comes in such a moment and sets the
        # event would wait for that lock for ever.
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


class _RetryingStream:
    """A file, opened again at the next byte wherever the source stops."""

    def __init__(self, retrying: RetryingSource, source: Source, file: SourceFile, offset: int) -> None:
        self._retrying = retrying
        self._source = source
        self._file = file
        self._offset = offset
        self._stream: Stream | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        return self._retrying.retry(lambda: self._read(buffer))

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
