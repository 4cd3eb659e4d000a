"""How long the stages of a start took.

A stage begins where the one before it ended, so the stages add up to ``total``. Which there are depends on what was
asked for: ``compile_cache`` (the saved cache is unpacked), ``engine`` (from the start of the engine's process to the
first answer of its /health; vLLM answers once weights are loaded, code is compiled and graphs are captured), ``model``
(to the list of models), ``warm_up`` (to the answer of the warm-up request). Parts of ``engine`` are the matter of
``milestones``.
"""

import threading
import time

TOTAL = "total"


class Stages:
    """The stages of one start, in seconds. Begins to count when it is made."""

    def __init__(self) -> None:
        self._begin = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def ended(self, stage: str) -> None:
        """A stage is over. What is over once stays so: a further call changes nothing."""
        now = time.monotonic()
        with self._lock:
            if stage not in self._seconds and TOTAL not in self._seconds:
                self._seconds[stage] = now - self._last
                self._last = now

    def ready(self) -> None:
        """All stages are over."""
        with self._lock:
            self._seconds.setdefault(TOTAL, time.monotonic() - self._begin)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds, in the order in which they ended; ``total`` last, once all are over."""
        with self._lock:
            return dict(self._seconds)

    def described(self) -> str:
        """The stages for the log."""
        seconds = self.seconds()
        parts = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items() if stage != TOTAL)
        return f"{seconds.get(TOTAL, 0.0):.1f} s ({parts})"
