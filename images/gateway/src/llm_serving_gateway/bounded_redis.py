"""A Redis that never holds a request up: every operation has a limit, and a Redis that is away is left alone.

An operation that meets its limit, or a connection that fails, opens a breaker. While it is open nothing waits: each
operation is refused at once, and a probe in the background, never a request, finds out that Redis answers again.
An error that Redis answers (its memory is full, say) opens nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection  # pyright: ignore[reportMissingImports]
from redis.asyncio.retry import Retry  # pyright: ignore[reportMissingImports]
from redis.backoff import NoBackoff  # pyright: ignore[reportMissingImports]
from redis.exceptions import RedisError, ResponseError  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.configuration import RedisEndpoint

T = TypeVar("T")

CONNECTIONS = 100
"""Most connections of one client."""
PROBE_SECONDS = 0.5
"""Pause between two probes of a Redis that is away."""

AWAY = Gauge("llm_gateway_redis_away", "1 while this Redis is left alone", ["redis"])
FAILURES = Counter("llm_gateway_redis_failures_total", "Operations that failed", ["redis", "reason"])


def connect(endpoint: RedisEndpoint, password: str | None, timeout_seconds: float) -> Redis:
    """A client that tries nothing twice.

    What finds all connections in use waits for one, within the time that it has anyway.
    """
    secured = {"ssl_ca_certs": endpoint.authority_file, "ssl_ca_data": endpoint.authority} if endpoint.tls else {}
    pool = BlockingConnectionPool(
        max_connections=CONNECTIONS,
        timeout=None,
        connection_class=SSLConnection if endpoint.tls else Connection,
        host=endpoint.host,
        port=endpoint.port,
        password=password,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        **secured,
    )
    return Redis.from_pool(pool)


class RedisAwayError(Exception):
    """Redis did not do it: it is away, too slow, or it refused."""


class BoundedRedis:
    """One Redis by the name that its metrics have; ``timeout_seconds`` is what an operation may take with all that it
    needs, name resolution and connecting included."""

    def __init__(self, name: str, endpoint: RedisEndpoint, password: str | None, timeout_seconds: float) -> None:
        self._name, self._timeout = name, timeout_seconds
        self._client = connect(endpoint, password, timeout_seconds)
        self._probe: asyncio.Task[None] | None = None
        AWAY.labels(name).set(0)

    @property
    def away(self) -> bool:
        """Whether it is left alone."""
        return self._probe is not None

    async def call(self, operation: Callable[[Redis], Awaitable[T]]) -> T:
        """What an operation answers.

        Raises:
            RedisAwayError: it did not, within its limit.
        """
        if self.away:
            raise RedisAwayError(f"Redis {self._name} is away")
        try:
            async with asyncio.timeout(self._timeout):
                return await operation(self._client)
        except ResponseError as error:
            FAILURES.labels(self._name, "refused").inc()
            raise RedisAwayError(f"Redis {self._name}: {error}") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            FAILURES.labels(self._name, "away").inc()
            if self._probe is None:
                AWAY.labels(self._name).set(1)
                self._probe = asyncio.create_task(self._until_it_answers())
            raise RedisAwayError(f"Redis {self._name}: {type(error).__name__}") from error

    async def _until_it_answers(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            with suppress(RedisError, OSError):
                async with asyncio.timeout(self._timeout):
                    await self._client.ping()
                break
        AWAY.labels(self._name).set(0)
        self._probe = None

    async def close(self) -> None:
        """End the probe and the connections."""
        if self._probe is not None:
            self._probe.cancel()
        await self._client.aclose()
