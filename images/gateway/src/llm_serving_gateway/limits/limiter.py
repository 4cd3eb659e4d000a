"""Grants requests: by Redis, and without it by what this replica knows."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from llm_serving_gateway.bounded_redis import AWAY, FAILURES
from llm_serving_gateway.limits.local import Account
from llm_serving_gateway.limits.reservation import Reservation, Shortage, Spent
from llm_serving_gateway.limits.shared import LEASE_SECONDS, AwayError, SharedLimits
from llm_serving_gateway.refusals import RefusalError

PROBE_SECONDS = 0.5
"""How often a Redis that is away is asked whether it is back; requests do not ask it meanwhile."""
_REDIS = "limits"
_MAX_UNSETTLED = 100_000

_log = logging.getLogger(__name__)

_REASONS: Mapping[str, tuple[str, str]] = {
    "requests": ("This key has used up its requests of this minute.", "rate_limit_exceeded"),
    "tokens": ("This key has used up its tokens of this minute, or asks for more than there are.", "tokens_exceeded"),
    "parallel": ("This key has as many requests running as it may.", "parallel_requests_exceeded"),
    "budget": ("What is left of this key's budget is less than this request may use.", "budget_exceeded"),
}


@dataclass
class LimitError(Exception):
    """A request that is refused for now: which limit, and what the client is told."""

    kind: str
    refusal: RefusalError


@dataclass
class _Unsettled:
    held: Reservation
    tokens: int
    nano: int
    back: bool = False


class Lease:
    """A granted request; it is to be settled once, however the request ends."""

    def __init__(self, limiter: "Limiter", granted: Reservation | None) -> None:
        self._limiter, self._granted = limiter, granted

    @property
    def reserved(self) -> tuple[int, int]:
        """Tokens, and billionths of a dollar, that are held."""
        return (0, 0) if self._granted is None else (self._granted.tokens, self._granted.nano)

    async def settle(self, tokens: int, nano: int) -> None:
        """Say what was used: tokens, and billionths of a dollar. A second call does nothing."""
        granted, self._granted = self._granted, None
        if granted is not None:
            await self._limiter.settle(granted, tokens, nano)


class Limiter:
    """Limits of all keys.

    Args:
        shared: Redis; ``None`` is like one that is always away.
        replicas: how many gateways share a limit without Redis.
        fail_closed_seconds: how long budgets are granted without Redis.
    """

    def __init__(self, shared: SharedLimits | None, replicas: int, fail_closed_seconds: float) -> None:
        self._shared, self._replicas, self._fail_closed_seconds = shared, replicas, fail_closed_seconds
        self._accounts: dict[str, Account] = {}
        self._unsettled: deque[_Unsettled] = deque(maxlen=_MAX_UNSETTLED)
        self._away_since: float | None = time.monotonic()
        self._probing = asyncio.Event()
        AWAY.labels(_REDIS).set(1)

    @property
    def unsettled(self) -> int:
        """Requests that ended while Redis was away and are not yet counted there."""
        return len(self._unsettled)

    async def acquire(self, wanted: Reservation) -> Lease:
        """Grant a request.

        Raises:
            LimitError: it is refused for now.
        """
        if wanted.limits.are_none:
            return Lease(self, None)
        account = self._accounts.setdefault(wanted.limits.name, Account())
        shortage = await self._shortage(account, wanted)
        if shortage is not None:
            message, code = _REASONS[shortage.kind]
            refusal = RefusalError(429, message, code, retry_after=shortage.retry_after)
            raise LimitError(shortage.kind, refusal)
        account.begin(wanted)
        return Lease(self, wanted)

    async def settle(self, granted: Reservation, tokens: int, nano: int) -> None:
        """A granted request is over."""
        account = self._accounts[granted.limits.name]
        account.end(granted.id, tokens, nano)
        if self._shared is None:
            return
        if self._away_since is None:
            try:
                account.told(await self._shared.settle(granted, tokens, nano, account.known))
                return
            except AwayError as error:
                self._went_away(error)
        self._unsettled.append(_Unsettled(granted, tokens, nano))

    async def run(self) -> None:
        """Renew leases, and look for a Redis that is away, until cancelled."""
        await asyncio.gather(self._renew(), self._probe())

    async def close(self) -> None:
        """End the connections."""
        if self._shared is not None:
            await self._shared.close()

    async def _shortage(self, account: Account, wanted: Reservation) -> Shortage | None:
        if self._shared is not None and self._away_since is None:
            try:
                answer = await self._shared.acquire(wanted, account.known)
            except AwayError as error:
                self._went_away(error)
                # It may be reserved there all the same: settling it gives that back.
                self._unsettled.append(_Unsettled(wanted, 0, 0, back=True))
            else:
                if isinstance(answer, Spent):
                    if wanted.limits.has_budget:
                        account.told(answer)
                    return None
                return answer
        away = time.monotonic() - (self._away_since or 0)
        if wanted.limits.has_budget and away > self._fail_closed_seconds:
            message = "Budgets cannot be checked now, and this key has one."
            raise LimitError("budget_unknown", RefusalError(503, message, "budget_unavailable", retry_after=5))
        return account.shortage(wanted, self._replicas)

    def _went_away(self, error: AwayError) -> None:
        FAILURES.labels(_REDIS, "away").inc()
        if self._away_since is None:
            self._away_since = time.monotonic()
            AWAY.labels(_REDIS).set(1)
            _log.error("Redis of the limits is away (%s): each replica grants its share", error)
            self._probing.set()

    async def _probe(self) -> None:
        while self._shared is not None:
            if self._away_since is not None:
                with contextlib.suppress(AwayError):
                    await self._shared.ping()
                    await self._settle_all(self._shared)
                    self._away_since = None
                    AWAY.labels(_REDIS).set(0)
                    self._probing.clear()
                    _log.warning("Redis of the limits answers")
            if self._away_since is None:
                await self._probing.wait()
            else:
                await asyncio.sleep(PROBE_SECONDS)

    async def _settle_all(self, shared: SharedLimits) -> None:
        while self._unsettled:
            each = self._unsettled[0]
            account = self._accounts[each.held.limits.name]
            spent = await shared.settle(each.held, each.tokens, each.nano, account.known, back=each.back)
            account.told(spent)
            self._unsettled.popleft()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            if self._shared is None or self._away_since is not None:
                continue
            leases = {name: list(account.running) for name, account in self._accounts.items() if account.running}
            try:
                await self._shared.renew(leases)
            except AwayError as error:
                self._went_away(error)
