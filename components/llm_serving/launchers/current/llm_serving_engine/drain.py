"""Lets running requests end before the engine is told to stop, and says what became of each.

The middleware in the engine's API processes (``drain_middleware``) refuses new requests from the first moment on; those
that run get the window; what still runs then is ended with an explicit error. Only then does the engine get the signal,
with nothing left to abort.
"""

import time
from collections.abc import Callable

from llm_serving_engine.drain_state import DrainState, Order, RequestCounts

_POLL_SECONDS = 0.05
_QUIET_POLLS = 2
"""So many polls in a row must find no request: one that arrives with the order is counted a moment later."""
_LAST_WORDS_SECONDS = 2.0
"""How long ended requests may take to be gone: longer than the middleware waits for a client that reads slowly."""
_LAST_POLLS = 10
"""Polls that ended requests have in any case: where the whole machine stood still, the middleware, which itself polls
the order, has not had the time that the clock says."""


class Drain:
    """The drain of one shutdown: new requests are refused, running ones end or are ended."""

    def __init__(self, drain_state: DrainState, seconds: float, say: Callable[[str], None]) -> None:
        self._drain_state = drain_state
        self._seconds = seconds
        self._say = say

    def close(self) -> None:
        """Have new requests refused from now on."""
        self._drain_state.order(Order.CLOSED)

    def wait(self) -> None:
        """Return once no request runs: all have ended within the window, or were ended after it."""
        begin = time.monotonic()
        self._say(f"draining: {self._drain_state.counts().running} requests run, and have {self._seconds:g} s to end")
        self._wait_until_quiet(self._seconds)
        self._drain_state.order(Order.CUT)
        self._wait_until_quiet(_LAST_WORDS_SECONDS, _LAST_POLLS)
        self._say(f"drained in {time.monotonic() - begin:.1f} s: {describe(self._drain_state.counts())}")

    def _wait_until_quiet(self, seconds: float, polls: int = 0) -> None:
        """Wait until no request runs: at most ``seconds``, but at least ``polls`` polls."""
        end = time.monotonic() + seconds
        quiet = 0
        while quiet < _QUIET_POLLS and (polls > 0 or time.monotonic() < end):
            quiet = quiet + 1 if self._drain_state.counts().running == 0 else 0
            polls -= 1
            time.sleep(_POLL_SECONDS)


def describe(counts: RequestCounts) -> str:
    """What became of requests since new ones were refused."""
    return (
        f"{counts.completed} completed, {counts.refused} refused, {counts.failed} failed before their first byte, "
        f"{counts.ended} ended with an error in their stream, {counts.broken} cut, {counts.running} still running"
    )
