"""What this replica knows of limits by itself: enough to go on without Redis, each replica with its share.

It is kept while Redis is there too, so that a window is not new when Redis goes.
"""

import time
from collections import deque
from dataclasses import dataclass, field

from llm_serving_gateway.limits.reservation import NOTHING, WINDOW_SECONDS, Limits, Reservation, Shortage, Spent


@dataclass
class _Bucket:
    second: int
    requests: int = 0
    tokens: int = 0


@dataclass
class Account:
    """One key's, by its name.

    Attributes:
        known: what Redis last said of its budget.
        own_tokens: used here since then, and ``own_nano``.
        running: requests that run here, with what they reserved.
        stored: what the table last said of its budget, with what was used here; ``stored_at`` is when, on the
            monotonic clock.
    """

    known: Spent = NOTHING
    own_tokens: int = 0
    own_nano: int = 0
    running: dict[str, tuple[_Bucket, Reservation]] = field(default_factory=dict)
    buckets: deque[_Bucket] = field(default_factory=deque)
    stored: Spent = NOTHING
    stored_at: float = 0

    def shortage(self, wanted: Reservation, replicas: int) -> Shortage | None:
        """What is short if this replica grants its share alone; no share is less than one."""
        limits, now = wanted.limits, int(time.time())
        self._expire(now)
        shares = _shares(limits, replicas)
        if (budget := self._budget_shortage(wanted, replicas, now)) is not None:
            return budget
        if shares.parallel is not None and len(self.running) >= shares.parallel:
            return Shortage("parallel", 1)
        requests = sum(bucket.requests for bucket in self.buckets)
        if shares.requests is not None and requests + 1 > shares.requests:
            return Shortage("requests", self._wait(now))
        tokens = sum(bucket.tokens for bucket in self.buckets)
        if shares.tokens is not None and tokens + wanted.tokens > shares.tokens:
            return Shortage("tokens", self._wait(now))
        return None

    def begin(self, granted: Reservation) -> None:
        """A request was granted, by whoever."""
        now = int(time.time())
        self._expire(now)
        if not self.buckets or self.buckets[-1].second != now:
            self.buckets.append(_Bucket(now))
        bucket = self.buckets[-1]
        bucket.requests += 1
        bucket.tokens += granted.tokens
        self.running[granted.id] = (bucket, granted)

    def end(self, id: str, tokens: int, nano: int) -> None:
        """It is over and used so much."""
        bucket, granted = self.running.pop(id)
        bucket.tokens += tokens - granted.tokens
        self.own_tokens += tokens
        self.own_nano += nano

    def told(self, spent: Spent) -> None:
        """Redis says what was used in the period, by all; it only grows."""
        if spent.period != self.known.period or spent.tokens >= self.known.tokens:
            self.known, self.own_tokens, self.own_nano = spent, 0, 0

    def _budget_shortage(self, wanted: Reservation, replicas: int, now: int) -> Shortage | None:
        limits = wanted.limits
        period = limits.period(now)
        known = self.known if self.known.period == period else Spent(period, 0, 0)
        left = (period + 1) * limits.period_seconds - now
        held = [reservation for _, reservation in self.running.values()]
        tokens = sum(each.tokens for each in held) + wanted.tokens
        nano = sum(each.nano for each in held) + wanted.nano
        if self.stored.period == period:
            # Of all replicas, and a moment old.
            known = known.at_least(self.stored)
        else:
            tokens, nano = tokens + self.own_tokens, nano + self.own_nano
        if limits.budget_tokens is not None and tokens > (limits.budget_tokens - known.tokens) // replicas:
            return Shortage("budget", left)
        if limits.budget_nano is not None and nano > (limits.budget_nano - known.nano) // replicas:
            return Shortage("budget", left)
        return None

    def _expire(self, now: int) -> None:
        while self.buckets and self.buckets[0].second <= now - WINDOW_SECONDS:
            self.buckets.popleft()

    def _wait(self, now: int) -> int:
        return max(1, self.buckets[0].second + WINDOW_SECONDS - now) if self.buckets else WINDOW_SECONDS


def _shares(limits: Limits, replicas: int) -> Limits:
    def share(limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // replicas)

    return Limits(limits.name, share(limits.requests), share(limits.tokens), share(limits.parallel))
