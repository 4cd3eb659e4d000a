"""A circuit breaker: a back end that fails too often is left alone for a while, then tried again by one request.

Closed, every request passes, and those of the last seconds are counted. Where too large a share of them failed, it
opens: requests go elsewhere at once. After a pause it is half open, and one request passes as a probe: if that is
answered, the breaker closes, else the pause begins again.

As far as is known, and none of them was tried, purgatory, pybreaker, aiobreaker and circuitbreaker count failures in a
row, and know no share over a time and no slowness (November 2026).
"""

import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from llm_serving_gateway.configuration import Breaker

MOST_OUTCOMES = 1000
"""Requests that are remembered at most: a share of so many is as good as one of more."""


class State(IntEnum):
    """As metrics have it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """That of one back end.

    Args:
        settings: when it opens, and for how long.
        changed: told every new state.
        now: a clock in seconds that only goes forward.
    """

    def __init__(
        self, settings: Breaker, changed: Callable[[State], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._changed, self._now = settings, changed, now
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._state, self._open_until = State.CLOSED, 0.0
        self._generation = 0
        changed(self._state)

    def admit(self) -> "Ticket | None":
        """Let a request pass, which says later what became of it; ``None`` where the back end is left alone."""
        if self._state is State.OPEN and self._now() >= self._open_until:
            self._become(State.HALF_OPEN)
            return Ticket(self, self._generation)
        return Ticket(self, self._generation) if self._state is State.CLOSED else None

    def record(self, generation: int, *, failed: bool | None) -> None:
        """What became of a request; ``None``: nobody knows. One that was admitted in an earlier state says nothing."""
        if generation != self._generation:
            return
        if self._state is State.HALF_OPEN:
            self._become(State.CLOSED if failed is False else State.OPEN)
            if failed is None:  # the client of the probe left: the next request is one
                self._open_until = self._now()
            return
        if failed is None:
            return
        self._outcomes.append((self._now(), failed))
        self._failures += failed
        while (
            len(self._outcomes) > MOST_OUTCOMES or self._outcomes[0][0] <= self._now() - self._settings.window_seconds
        ):
            self._failures -= self._outcomes.popleft()[1]
        counted = len(self._outcomes)
        if counted >= self._settings.min_requests and self._failures >= counted * self._settings.failure_share:
            self._become(State.OPEN)

    def broke(self) -> None:
        """What had been answered broke off later: it counts as failed, and no more as answered."""
        if self._state is State.CLOSED:
            answered = next((outcome for outcome in reversed(self._outcomes) if not outcome[1]), None)
            if answered is not None:
                self._outcomes.remove(answered)
            self.record(self._generation, failed=True)

    def _become(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._outcomes.clear()
        self._failures = 0
        if state is State.OPEN:
            self._open_until = self._now() + self._settings.open_seconds
        self._changed(state)


class Ticket:
    """One request that a breaker let pass. Of what is said of it, the first word counts."""

    def __init__(self, breaker: CircuitBreaker, generation: int) -> None:
        self._breaker, self._generation, self._is_open = breaker, generation, True

    def settle(self, *, failed: bool | None) -> None:
        """Whether it failed; ``None`` where its client left before that was known."""
        if self._is_open:
            self._is_open = False
            self._breaker.record(self._generation, failed=failed)

    def broke(self) -> None:
        """An answer that had begun, and was said not to have failed, broke off."""
        self._breaker.broke()
