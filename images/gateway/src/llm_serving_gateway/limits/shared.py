"""Limits in Redis, the same for all replicas. An operation answers within its time-out or not at all."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import ConnectionError, RedisError  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.bounded_redis import connect
from llm_serving_gateway.configuration import RedisEndpoint
from llm_serving_gateway.limits import scripts
from llm_serving_gateway.limits.reservation import WINDOW_SECONDS, Reservation, Shortage, Spent

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

    async def acquire(self, wanted: Reservation, known: Spent) -> Shortage | Spent:
        """Reserve, or say what is short.

        Args:
            wanted: the reservation.
            known: what this replica was last told of the key's budget.

        Raises:
            AwayError: it may or may not be reserved; settling it is right either way.
        """
        limits = wanted.limits
        arguments = [wanted.id, wanted.tokens, wanted.nano, limits.period_seconds]
        arguments += [
            -1 if limit is None else limit
            for limit in (limits.requests, limits.tokens, limits.parallel, limits.budget_tokens, limits.budget_nano)
        ]
        arguments += [int(LEASE_SECONDS * 1000), WINDOW_SECONDS, known.period, known.tokens, known.nano]
        kind, *numbers = await self._run(self._acquire, _keys(limits.name), arguments)
        return Shortage(kind.decode(), numbers[0]) if kind else Spent(*numbers)

    async def settle(self, held: Reservation, tokens: int, nano: int, known: Spent, *, back: bool = False) -> Spent:
        """Replace a reservation by what was used.

        Args:
            held: the reservation.
            tokens: used, and ``nano`` likewise.
            known: what this replica was last told of the key's budget.
            back: the request was granted without Redis, which may have reserved it too late; it is settled once more.

        Raises:
            AwayError: it may or may not be done; it counts once, however often it is tried within a minute.
        """
        limits = held.limits
        arguments = [held.id, tokens, nano, limits.period_seconds, int(limits.has_budget)]
        arguments += [known.period, known.tokens, known.nano, "back" if back else "end"]
        _, *numbers = await self._run(self._settle, _keys(limits.name), arguments)
        return Spent(*numbers)

    async def renew(self, leases: Mapping[str, Sequence[str]]) -> None:
        """Let leases last longer: ids by the names of their keys.

        Raises:
            AwayError: some may not be renewed.
        """
        for name, ids in leases.items():
            await self._run(self._renew, _keys(name)[1:2], [int(LEASE_SECONDS * 1000), *ids])

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
