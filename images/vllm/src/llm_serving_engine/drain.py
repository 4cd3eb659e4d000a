"""Lets running requests end before the engine is told to stop, and says what became of each.

The gate in the engine's API processes (``gate``) refuses new requests from the first moment on; those that run get the
window; what still runs then is ended with an explicit error. Only then does the engine get the signal, with nothing
left to abort.
"""

import time
from collections.abc import Callable

from llm_serving_engine.ledger import Counts, Ledger, Order

_LOOK_SECONDS = 0.05
_QUIET_LOOKS = 2
"""So many looks in a row must find no request: one that arrives with the order is counted a moment later."""
_LAST_WORDS_SECONDS = 2.0
"""How long ended requests may take to be gone: longer than the gate waits for a client that reads slowly."""
_LAST_LOOKS = 10
"""Looks that ended requests have in any case: where the whole machine stood still, the gate, which itself looks for the
order, has not had the time that the clock says."""


class Drain:
    """One shutdown."""

    def __init__(self, ledger: Ledger, seconds: float, say: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._say = say

    def close(self) -> None:
        """Have new requests refused from now on."""
        self._ledger.order(Order.CLOSED)

    def wait(self) -> None:
        """Return once no request runs: all have ended within the window, or were ended after it."""
        begin = time.monotonic()
        self._say(f"draining: {self._ledger.counts().running} requests run, and have {self._seconds:g} s to end")
        self._quiet(self._seconds)
        self._ledger.order(Order.CUT)
        self._quiet(_LAST_WORDS_SECONDS, _LAST_LOOKS)
        self._say(f"drained in {time.monotonic() - begin:.1f} s: {described(self._ledger.counts())}")

    def _quiet(self, seconds: float, looks: int = 0) -> None:
        """Wait until no request runs: at most ``seconds``, but at least ``looks`` looks."""
        end = time.monotonic() + seconds
        quiet = 0
        while quiet < _QUIET_LOOKS and (looks > 0 or time.monotonic() < end):
            quiet = quiet + 1 if self._ledger.counts().running == 0 else 0
            looks -= 1
            time.sleep(_LOOK_SECONDS)


def described(counts: Counts) -> str:
    """What became of requests since new ones were refused."""
    return (
        f"{counts.completed} completed, {counts.refused} refused, {counts.failed} failed before their first byte, "
        f"{counts.ended} ended with an error in their stream, {counts.broken} cut, {counts.running} still running"
    )
