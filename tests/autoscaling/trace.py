"""What happened to a release over time: its load and its replicas, watched from outside."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moment:
    """What was so at one moment.

    Attributes:
        second: since the trace began.
        requests: in the system.
        waiting: of these, waiting.
        replicas: instances that are asked for.
        ready: instances that are ready.
    """

    second: float
    requests: int
    waiting: int
    replicas: int
    ready: int


class Trace:
    """Looks again and again, until it is stopped.

    Args:
        look: gives requests, waiting, replicas and ready as they are now; ``None`` if they cannot be seen, which is
            no moment of the trace.
    """

    def __init__(self, look: Callable[[], tuple[int, int, int, int] | None]) -> None:
        self._look = look
        self._begun = time.monotonic()
        self._moments: list[Moment] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    def moments(self, since: float = 0.0) -> list[Moment]:
        """What was seen from a moment on."""
        return [moment for moment in list(self._moments) if moment.second >= since]

    def replicas(self, since: float = 0.0) -> list[int]:
        """The numbers of replicas from a moment on, in their order, each change once."""
        numbers = [moment.replicas for moment in self.moments(since)]
        return [number for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1]]

    def stop(self) -> None:
        """Look no longer."""
        self._ended.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            second = self.now()
            try:
                seen = self._look()
            except Exception:  # of whatever kind: without this thread the tests would wait for nothing
                _LOG.exception("nothing was seen at second %.1f", second)
                continue
            if seen is not None:
                self._moments.append(Moment(second, *seen))
