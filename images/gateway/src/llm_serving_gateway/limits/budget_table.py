"""Budgets in a table: what this replica counted, and what all of them did.

Each replica has a row of its own for each key and period, with what it counted since it started. It writes whole
numbers, never differences: what is written twice counts once, and no two replicas write the same row. What was used is
the sum of the rows. What Redis does not know yet stands apart, since it will be told by the replica that knows it.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from llm_serving_gateway.bounded_postgres import BoundedPostgres, Connection, PostgresAwayError
from llm_serving_gateway.limits.reservation import NOTHING, Limits, Spent

WRITE_EVERY_SECONDS = 0.25
"""Pause between two writes: all that was counted meanwhile is one."""
WRITE_SECONDS = 5.0
"""Limit of a write, which no request waits for."""
TRUST_SECONDS = 1.0
"""How long what others used is not asked for again while Redis is away."""
CLEAN_EVERY_SECONDS = 3600.0

_WRITE = """
INSERT INTO llm_gateway.budgets (name, ends_at, replica, tokens, nano, unsettled_tokens, unsettled_nano)
SELECT name, ends_at, $1, tokens, nano, unsettled_tokens, unsettled_nano
FROM unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
  AS given (name, ends_at, tokens, nano, unsettled_tokens, unsettled_nano)
ON CONFLICT (name, ends_at, replica) DO UPDATE SET
  tokens = excluded.tokens, nano = excluded.nano,
  unsettled_tokens = excluded.unsettled_tokens, unsettled_nano = excluded.unsettled_nano
"""
_READ = """
SELECT coalesce(sum(tokens), 0)::bigint, coalesce(sum(nano), 0)::bigint,
  coalesce(sum(unsettled_tokens), 0)::bigint, coalesce(sum(unsettled_nano), 0)::bigint
FROM llm_gateway.budgets WHERE name = $1 AND ends_at = $2 AND replica <> $3
"""
_CLEAN = "DELETE FROM llm_gateway.budgets WHERE ends_at < now() - interval '1 day'"


@dataclass
class _Row:
    """What one or more replicas counted in a period; ``unsettled``: what Redis does not know yet."""

    tokens: int = 0
    nano: int = 0
    unsettled_tokens: int = 0
    unsettled_nano: int = 0


Period = tuple[str, datetime]
"""Name of a key, and when the period of its budget ends."""


class BudgetTable:
    """The rows of all replicas; this one's are kept here and written as soon as they change."""

    def __init__(self, postgres: BoundedPostgres) -> None:
        self._postgres = postgres
        self._replica = uuid.uuid4().hex
        self._own: dict[Period, _Row] = {}
        self._others: dict[Period, tuple[_Row, float]] = {}
        self._changed: set[Period] = set()
        self._writing: frozenset[Period] = frozenset()
        self._has_changed = asyncio.Event()

    @property
    def unwritten(self) -> int:
        """Budgets that changed and are not written yet."""
        return len(self._changed | self._writing)

    def count(self, limits: Limits, period: int, tokens: int, nano: int) -> None:
        """A request is over, and Redis knows it, or there is none."""
        row = self._change(limits, period)
        row.tokens += tokens
        row.nano += nano

    def count_unsettled(self, limits: Limits, period: int, tokens: int, nano: int) -> None:
        """A request is over, and Redis does not know it; less than nothing where it has learned of it."""
        row = self._change(limits, period)
        row.unsettled_tokens += tokens
        row.unsettled_nano += nano

    async def settled(self, limits: Limits, period: int) -> Spent | None:
        """What all replicas used, as far as Redis has known it; ``None`` where the table does not answer."""
        try:
            others = await self._read(limits, period)
        except PostgresAwayError:
            return None
        own = self._own.get(_period(limits, period), _Row())
        return Spent(period, others.tokens + own.tokens, others.nano + own.nano)

    async def used(self, limits: Limits, period: int) -> tuple[Spent, float]:
        """What all replicas used, whoever knows it, and when the table last said what others did (on the monotonic
        clock); nothing, at 0, where it never did."""
        key = _period(limits, period)
        others, at = self._others.get(key, (None, 0.0))
        if others is None or time.monotonic() - at > TRUST_SECONDS:
            try:
                others, at = await self._read(limits, period), time.monotonic()
            except PostgresAwayError:
                if others is None:
                    return NOTHING, 0.0
        own = self._own.get(key, _Row())
        tokens = others.tokens + others.unsettled_tokens + own.tokens + own.unsettled_tokens
        nano = others.nano + others.unsettled_nano + own.nano + own.unsettled_nano
        return Spent(period, tokens, nano), at

    async def run(self) -> None:
        """Write what changes, and remove what is long over, until cancelled."""
        await asyncio.gather(self._write_changes(), self._clean())

    async def write(self) -> None:
        """Write what has changed.

        Raises:
            PostgresAwayError: it may or may not be written; it is still to be.
        """
        changed = tuple(self._changed)
        if not changed:
            return
        rows = [self._own[key] for key in changed]
        self._writing = frozenset(changed)
        self._changed.clear()
        self._has_changed.clear()
        columns = [
            [key[0] for key in changed],
            [key[1] for key in changed],
            [row.tokens for row in rows],
            [row.nano for row in rows],
            [row.unsettled_tokens for row in rows],
            [row.unsettled_nano for row in rows],
        ]
        try:
            await self._postgres.call(
                lambda connection: connection.execute(_WRITE, self._replica, *columns), WRITE_SECONDS
            )
        except PostgresAwayError:
            self._mark(changed)
            raise
        finally:
            self._writing = frozenset()
        self._forget_old()

    async def _write_changes(self) -> None:
        while True:
            await self._has_changed.wait()
            try:
                await self.write()
            except PostgresAwayError:
                await asyncio.sleep(WRITE_EVERY_SECONDS)
            await asyncio.sleep(WRITE_EVERY_SECONDS)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEAN_EVERY_SECONDS)
            try:
                await self._postgres.call(lambda connection: connection.execute(_CLEAN), WRITE_SECONDS)
            except PostgresAwayError:
                continue

    async def _read(self, limits: Limits, period: int) -> _Row:
        name, ends_at = key = _period(limits, period)

        async def read(connection: Connection) -> _Row:
            return _Row(*await connection.fetchrow(_READ, name, ends_at, self._replica))

        row = await self._postgres.call(read)
        self._others[key] = row, time.monotonic()
        return row

    def _change(self, limits: Limits, period: int) -> _Row:
        key = _period(limits, period)
        self._mark([key])
        return self._own.setdefault(key, _Row())

    def _mark(self, keys: Iterable[Period]) -> None:
        self._changed.update(keys)
        self._has_changed.set()

    def _forget_old(self) -> None:
        """Periods that ended a day ago, and are written."""
        now = time.time()
        for rows in (self._own, self._others):
            for key in [key for key in rows if key[1].timestamp() < now - 86_400 and key not in self._changed]:
                del rows[key]


def _period(limits: Limits, period: int) -> Period:
    return limits.name, datetime.fromtimestamp((period + 1) * limits.period_seconds, UTC)
