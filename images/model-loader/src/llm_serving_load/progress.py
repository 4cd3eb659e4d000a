"""Progress as lines of a log: a Job has no terminal."""

import threading
import time
from collections.abc import Callable

from llm_serving_load.sizes import human_size


class Progress:
    """Counts bytes and files from several threads and says so in a line now and then."""

    def __init__(self, files: int, size: int, say: Callable[[str], None]) -> None:
        self._files = files
        self._size = size
        self._say = say
        self._lock = threading.Lock()
        self._copied = 0
        self._present = 0
        self._done = 0
        self._begin = time.monotonic()

    def copied(self, count: int) -> None:
        """So many more bytes came from the source; a negative number where they turned out to be for nothing."""
        with self._lock:
            self._copied += count

    def file_done(self, already_there: int = 0) -> None:
        """One more file is there, with so many bytes that did not have to be copied."""
        with self._lock:
            self._done += 1
            self._present += already_there

    def line(self) -> None:
        """Say how far it is."""
        with self._lock:
            copied, present, done = self._copied, self._present, self._done
        rate = self._rate(copied)
        left = self._size - present - copied
        share = 100 * (present + copied) // self._size if self._size else 100
        rest = f", about {left / rate:.0f} s left" if rate and left > 0 else ""
        self._say(
            f"{human_size(present + copied)} of {human_size(self._size)} ({share} %), {done} of {self._files} files, "
            f"{human_size(rate)}/s{rest}"
        )

    def summary(self) -> str:
        """What was done, at the end."""
        with self._lock:
            copied, present = self._copied, self._present
        seconds = time.monotonic() - self._begin
        kept = f", {human_size(present)} were there already" if present else ""
        return f"{human_size(copied)} copied in {seconds:.1f} s ({human_size(self._rate(copied))}/s){kept}"

    def _rate(self, copied: int) -> float:
        return copied / max(time.monotonic() - self._begin, 1e-3)
