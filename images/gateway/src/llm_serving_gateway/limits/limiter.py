"""Grants requests: by Redis, and without it by what this replica knows, or by the table of budgets."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from llm_serving_gateway.bounded_redis import AWAY, FAILURES
from llm_serving_gateway.limits.budget_table import BudgetTable
from llm_serving_gateway.limits.local import Account
from llm_serving_gateway.limits.reservation import Limits, Reservation, Shortage, Spent, Unloaded
from llm_serving_gateway.limits.shared import LEASE_SECONDS, AwayError, SharedLimits
from llm_serving_gateway.limits.unsettled import Entry, Unsettled
from llm_serving_gateway.refusals import RefusalError

PROBE_SECONDS = 0.5
"""How often a Redis that is away is asked whether it is back; requests do not ask it meanwhile."""
_REDIS = "limits"

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
        fail_closed_seconds: how long budgets are granted without Redis and without the table.
        table: the table of budgets; ``None`` where there is none.
    """

    def __init__(
        self,
        shared: SharedLimits | None,
        replicas: int,
        fail_closed_seconds: float,
        table: BudgetTable | None = None,
    ) -> None:
        self._shared, self._replicas, self._fail_closed_seconds = shared, replicas, fail_closed_seconds
        self._table = table
        self._accounts: dict[str, Account] = {}
        self._unsettled = Unsettled()
        self._unknown_to_redis: set[tuple[str, str]] = set()
        self._away_since: float | None = time.monotonic()
        self._probing = asyncio.Event()
        AWAY.labels(_REDIS).set(1)

    @property
    def unsettled(self) -> int:
        """What ended while Redis was away and is not yet counted there."""
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
        # One request may hold places under several names.
        place = (granted.limits.name, granted.id)
        is_unknown = place in self._unknown_to_redis
        self._unknown_to_redis.discard(place)
        if self._shared is None:
            self._count(granted.limits, granted.limits.period(), tokens, nano)
            return
        tried = False
        if self._away_since is None:
            try:
                spent = await self._shared.settle(granted, tokens, nano, account.known)
            except AwayError as error:
                self._went_away(error)
                tried = True
            else:
                account.told(spent)
                self._count(granted.limits, spent.period, tokens, nano)
                return
        period = granted.limits.period()
        self._count_unsettled(granted.limits, period, tokens, nano)
        if is_unknown and not tried:
            self._unsettled.add_to_sum(granted, period, tokens, nano)
        else:
            self._keep(Entry(granted, period, tokens, nano, tried=tried))

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
                answer = await self._ask(self._shared, account, wanted)
            except AwayError as error:
                self._went_away(error)
                # It may be reserved there all the same: settling it gives that back.
                self._keep(Entry(wanted, wanted.limits.period(), 0, 0, back=True))
            else:
                if isinstance(answer, Spent):
                    if wanted.limits.has_budget:
                        account.told(answer)
                    return None
                return answer
        if wanted.limits.has_budget:
            await self._look_up_budget(account, wanted.limits)
            since = max(self._away_since or 0, account.stored_at)
            if time.monotonic() - since > self._fail_closed_seconds:
                message = "Budgets cannot be checked now, and this key has one."
                raise LimitError("budget_unknown", RefusalError(503, message, "budget_unavailable", retry_after=5))
        shortage = account.shortage(wanted, self._replicas)
        if shortage is None:
            self._unknown_to_redis.add((wanted.limits.name, wanted.id))
        return shortage

    async def _ask(self, shared: SharedLimits, account: Account, wanted: Reservation) -> Shortage | Spent:
        """What Redis says; it is told what the table knows of a budget that is new to it."""
        answer = await shared.acquire(wanted, account.known, "" if self._table is None else "ask")
        if isinstance(answer, Unloaded):
            known = None if self._table is None else await self._table.settled(wanted.limits, answer.period)
            if known is None:
                answer = await shared.acquire(wanted, account.known)
            else:
                answer = await shared.acquire(wanted, known.at_least(account.known), "loaded")
        assert not isinstance(answer, Unloaded), "Redis asks for the table only where it is offered"
        return answer

    async def _look_up_budget(self, account: Account, limits: Limits) -> None:
        """What the table knows of a budget, for as long as Redis is away."""
        if self._table is not None:
            account.stored, account.stored_at = await self._table.used(limits, limits.period())

    def _count(self, limits: Limits, period: int, tokens: int, nano: int) -> None:
        if self._table is not None and limits.has_budget:
            self._table.count(limits, period, tokens, nano)

    def _count_unsettled(self, limits: Limits, period: int, tokens: int, nano: int) -> None:
        if self._table is not None and limits.has_budget:
            self._table.count_unsettled(limits, period, tokens, nano)

    def _keep(self, entry: Entry) -> None:
        lost = self._unsettled.add(entry)
        if lost is not None:
            FAILURES.labels(_REDIS, "unsettled").inc()
            self._count_unsettled(lost.held.limits, lost.period, -lost.tokens, -lost.nano)
            self._count(lost.held.limits, lost.period, lost.tokens, lost.nano)

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
                    # Before anybody else counts what runs here for gone.
                    await self._renew_all(self._shared)
                    self._away_since = None
                    AWAY.labels(_REDIS).set(0)
                    self._probing.clear()
                    _log.warning("Redis of the limits answers")
            if self._away_since is None:
                await self._probing.wait()
            else:
                await asyncio.sleep(PROBE_SECONDS)

    async def _settle_all(self, shared: SharedLimits) -> None:
        while (entry := self._unsettled.first()) is not None:
            limits = entry.held.limits
            account = self._accounts[limits.name]
            again = entry.tried and not entry.is_sum and not entry.back
            entry.tried = True
            spent = await shared.settle(
                entry.held, entry.tokens, entry.nano, account.known, back=entry.back, again=again
            )
            self._unsettled.done(entry)
            account.told(spent)
            self._count_unsettled(limits, entry.period, -entry.tokens, -entry.nano)
            self._count(limits, spent.period, entry.tokens, entry.nano)

    async def _renew_all(self, shared: SharedLimits) -> None:
        running: dict[Limits, list[Reservation]] = {}
        for account in self._accounts.values():
            for _, reservation in account.running.values():
                running.setdefault(reservation.limits, []).append(reservation)
        await shared.renew(running, {name: account.known for name, account in self._accounts.items()})
        self._unknown_to_redis.difference_update(
            (limits.name, each.id) for limits, reservations in running.items() for each in reservations
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            if self._shared is None or self._away_since is not None:
                continue
            try:
                await self._renew_all(self._shared)
            except AwayError as error:
                self._went_away(error)
