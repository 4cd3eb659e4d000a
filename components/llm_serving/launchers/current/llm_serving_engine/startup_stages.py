"""How long the stages of a start took.

A stage begins where the one before it ended, and ``total`` is where the last one ended, all counted in whole
milliseconds: the stages add up to ``total`` exactly. Which there are depends on what was
asked for: ``compile_cache`` (the saved cache is unpacked), ``engine`` (from the start of the engine's process to the
first answer of its /health; vLLM answers once weights are loaded, code is compiled and graphs are captured), ``model``
(to the list of models), ``warm_up`` (to the answer of the warm-up request). Parts of ``engine`` are the matter of
``vllm_stages``, which come through the folder of ``drain_state``: they are there only where the launcher drains.
"""

import threading
import time

TOTAL = "total"


class StartupStages:
    """The stages of one start, in seconds. Begins to count when it is made."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._last = 0
        self._milliseconds: dict[str, int] = {}

    def ended(self, stage: str) -> None:
        """A stage is over. What is over once stays so: a further call changes nothing."""
        now = round((time.monotonic() - self._begin) * 1000)
        with self._lock:
            if stage not in self._milliseconds and TOTAL not in self._milliseconds:
                self._milliseconds[stage] = now - self._last
                self._last = now

    def ready(self) -> None:
        """All stages are over."""
        with self._lock:
            self._milliseconds.setdefault(TOTAL, self._last)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds, in the order in which they ended; ``total`` last, once all are over."""
        with self._lock:
            return {stage: value / 1000 for stage, value in self._milliseconds.items()}

    def describe(self) -> str:
        """The stages for the log."""
        seconds = self.seconds()
        parts = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items() if stage != TOTAL)
        return f"{seconds.get(TOTAL, 0.0):.1f} s ({parts})"
