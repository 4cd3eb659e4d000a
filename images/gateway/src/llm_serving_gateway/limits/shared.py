"""Limits in Redis, the same for all replicas. An operation answers within its time-out or not at all."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from redis.exceptions import ConnectionError, RedisError  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.bounded_redis import connect
from llm_serving_gateway.configuration import RedisEndpoint
from llm_serving_gateway.limits import scripts
from llm_serving_gateway.limits.reservation import WINDOW_SECONDS, Limits, Reservation, Shortage, Spent, Unloaded

LEASE_SECONDS = 15.0
"""How long a lease lasts that is not renewed."""


class AwayError(Exception):
    """Redis did not do it, or not in time: whether it was done is not known."""


class SharedLimits:
    """Limits that one Redis keeps."""

    def __init__(self, endpoint: RedisEndpoint, password: str | None, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._redis = connect(endpoint, password, timeout_seconds)
        self._acquire = self._redis.register_script(scripts.ACQUIRE)
        self._settle = self._redis.register_script(scripts.SETTLE)
        self._renew = self._redis.register_script(scripts.RENEW)

    async def acquire(
        self, wanted: Reservation, known: Spent, table: Literal["ask", "loaded", ""] = ""
    ) -> Shortage | Spent | Unloaded:
        """Reserve, or say what is short.

        Args:
            wanted: the reservation.
            known: what this replica was last told of the key's budget.
            table: ``ask`` for :class:`Unloaded` where Redis does not know the period; ``loaded`` where what is known
                is from the table; empty where there is none, or it does not answer.

        Raises:
            AwayError: it may or may not be reserved; settling it is right either way.
        """
        limits = wanted.limits
        arguments = [wanted.id, wanted.tokens, wanted.nano, limits.period_seconds]
        arguments += [
            -1 if limit is None else limit
            for limit in (limits.requests, limits.tokens, limits.parallel, limits.budget_tokens, limits.budget_nano)
        ]
        arguments += [int(LEASE_SECONDS * 1000), WINDOW_SECONDS, known.period, known.tokens, known.nano, table]
        kind, *numbers = await self._run(self._acquire, _keys(limits.name), arguments)
        if kind == b"unloaded":
            return Unloaded(numbers[0])
        return Shortage(kind.decode(), numbers[0]) if kind else Spent(*numbers)

    async def settle(
        self, held: Reservation, tokens: int, nano: int, known: Spent, *, back: bool = False, again: bool = False
    ) -> Spent:
        """Replace a reservation by what was used.

        Args:
            held: the reservation.
            tokens: used, and ``nano`` likewise.
            known: what this replica was last told of the key's budget.
            back: the request was granted without Redis, which may have reserved it too late; it is settled once more.
            again: Redis had reserved it, and may have settled it when it was asked before.

        Raises:
            AwayError: it may or may not be done; it counts once, however often it is tried.
        """
        limits = held.limits
        arguments = [held.id, tokens, nano, limits.period_seconds, int(limits.has_budget)]
        arguments += [known.period, known.tokens, known.nano, "back" if back else "end", int(again)]
        _, *numbers = await self._run(self._settle, _keys(limits.name), arguments)
        return Spent(*numbers)

    async def renew(self, running: Mapping[Limits, Sequence[Reservation]], known: Mapping[str, Spent]) -> None:
        """Let leases of requests that run last longer. Those that Redis took for gone, or has lost, are reserved anew.

        Args:
            running: the requests, by their keys' limits.
            known: what this replica was last told of budgets, by names of keys.

        Raises:
            AwayError: some may not be renewed.
        """
        for limits, reservations in running.items():
            told = known[limits.name]
            arguments = ["", 0, 0, limits.period_seconds, int(limits.has_budget), int(LEASE_SECONDS * 1000)]
            arguments += [told.period, told.tokens, told.nano]
            for each in reservations:
                arguments += [each.id, each.tokens, each.nano]
            await self._run(self._renew, _keys(limits.name), arguments)

    async def ping(self) -> None:
        """Ask whether it answers, and takes writes.

        Raises:
            AwayError: it does not.
        """
        await self._run(self._redis.set, "llm:alive", "1")

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def _run(self, operation: Any, *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await operation(*arguments)
                except ConnectionError:
                    # A connection of before Redis was started anew. Scripts that are run twice count once.
                    return await operation(*arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise AwayError(type(error).__name__) from error


def _keys(name: str) -> list[str]:
    # The braces keep the keys of one name on one node of a Redis cluster.
    return [f"llm:{{{name}}}:{part}" for part in ("window", "leases", "held", "budget", "done")]
