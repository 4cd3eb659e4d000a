"""A Postgres that never holds a request up: every operation has a limit, and one that is away is left alone.

One connection listens for changes and is asked again and again whether it answers; requests use others. While it is
away nothing waits: operations are refused at once, and the connection that listens finds out that it is back. User and
password are read for each connection, so that they may change at any time.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.configuration import PostgresEndpoint

T = TypeVar("T")
Connection = Any
"""One of asyncpg's."""

CONNECTIONS = 4
"""Most connections of one gateway, besides the one that listens. A look-up takes about a millisecond of one."""
CONNECT_SECONDS = 5
PROBE_SECONDS = 0.5
"""Pause between two attempts to reach one that is away."""
ALIVE_SECONDS = 5
"""Pause between two questions whether the connection that listens is still one."""

AWAY = Gauge("llm_gateway_postgres_away", "1 while the table of keys and budgets is left alone")
FAILURES = Counter("llm_gateway_postgres_failures_total", "Operations that failed", ["reason"])

_log = logging.getLogger(__name__)

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError)
"""What asyncpg raises: answers of the server, misuse of a connection that ended, the network with time-outs, and a
password or certificate that cannot be read."""


class PostgresAwayError(Exception):
    """It did not do it: it is away, too slow, or it refused."""


class BoundedPostgres:
    """One database.

    Args:
        endpoint: where it is.
        files: folder with user, password and authorities.
    """

    def __init__(self, endpoint: PostgresEndpoint, files: Path) -> None:
        self._endpoint, self._files = endpoint, files
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._trouble = asyncio.Event()
        self._is_away = True
        self._noted = ""
        AWAY.set(1)

    @property
    def away(self) -> bool:
        """Whether it is left alone."""
        return self._is_away

    async def call(self, operation: Callable[[Connection], Awaitable[T]], seconds: float | None = None) -> T:
        """What an operation answers, within the endpoint's time-out or so many seconds.

        Raises:
            PostgresAwayError: it did not.
        """
        if self._is_away:
            raise PostgresAwayError("it is away")
        loop = asyncio.get_running_loop()
        end = loop.time() + (seconds or self._endpoint.timeout_seconds)
        try:
            # Half of the time: what finds all connections in use says nothing of the database.
            async with asyncio.timeout((end - loop.time()) / 2):
                await self._slots.acquire()
        except TimeoutError as error:
            FAILURES.labels("busy").inc()
            raise PostgresAwayError("all connections are in use") from error
        try:
            return await self._run(operation, end)
        finally:
            self._slots.release()

    async def run(self, channel: str, notified: Callable[[str | None], None]) -> None:
        """Listen, and look for one that is away, until cancelled.

        Args:
            channel: of the notifications.
            notified: called with the text of each notification, and with ``None`` when some may have been missed.
        """
        while True:
            with suppress(PostgresAwayError):
                await self._listen(channel, notified)
            self._went_away()
            await asyncio.sleep(PROBE_SECONDS)

    def close(self) -> None:
        """End the connections."""
        while self._idle:
            self._end(self._idle.pop())

    async def _run(self, operation: Callable[[Connection], Awaitable[T]], end: float) -> T:
        connection = None
        try:
            async with asyncio.timeout_at(end):
                while self._idle and connection is None:
                    connection = self._idle.pop()
                    if connection.is_closed():
                        connection = None
                if connection is None:
                    connection = await self._connect()
                answer = await operation(connection)
        except asyncpg.PostgresError as error:
            # It answers, and refuses: a table that is missing, a right, a value.
            self._end(connection)
            FAILURES.labels("refused").inc()
            self._note("Postgres refuses", error)
            raise PostgresAwayError(type(error).__name__) from error
        except _FAILURES as error:
            self._end(connection)
            FAILURES.labels("away").inc()
            self._trouble.set()
            self._went_away()
            raise PostgresAwayError(type(error).__name__) from error
        except BaseException:
            self._end(connection)
            raise
        self._idle.append(connection)
        return answer

    async def _listen(self, channel: str, notified: Callable[[str | None], None]) -> None:
        connection = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await self._connect()
                await connection.add_listener(channel, lambda *notification: notified(notification[-1]))
                await connection.execute("SELECT 1")
            self._trouble.clear()
            notified(None)
            self._is_away = False
            AWAY.set(0)
            self._noted = ""
            _log.warning("Postgres answers")
            while not self._trouble.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._trouble.wait(), ALIVE_SECONDS)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.execute("SELECT 1")
        except _FAILURES as error:
            self._note("Postgres cannot be used", error)
            raise PostgresAwayError(type(error).__name__) from error
        finally:
            self._end(connection)

    async def _connect(self) -> Connection:
        endpoint = self._endpoint
        return await asyncpg.connect(
            host=endpoint.host,
            port=endpoint.port,
            database=endpoint.database,
            user=self._read("username"),
            password=self._read("password"),
            ssl=self._tls(),
            timeout=CONNECT_SECONDS,
            # Nothing is kept on a connection that a pooler may give to another client.
            statement_cache_size=0,
            server_settings={"application_name": "llm-serving-gateway"},
        )

    def _tls(self) -> ssl.SSLContext | bool:
        if self._endpoint.tls == "off":
            return False
        authorities = self._files / "ca.crt"
        checks_name = self._endpoint.tls == "verify-full"
        # Whose name is not checked has an authority of its own: until it is there, nobody is believed.
        own = authorities.exists() or not checks_name
        context = ssl.create_default_context(cafile=authorities if own else None)
        context.check_hostname = checks_name
        return context

    def _read(self, name: str) -> str:
        return (self._files / name).read_text().strip()

    def _went_away(self) -> None:
        if not self._is_away:
            _log.error("Postgres is away: keys that were looked up are trusted for a while, others cannot be")
        self._is_away = True
        AWAY.set(1)
        self.close()

    def _note(self, what: str, error: Exception) -> None:
        """Log it once; never its text, which may name user and database."""
        noted = f"{what}: {type(error).__name__}"
        if noted != self._noted:
            _log.error("%s", noted)
        self._noted = noted

    def _end(self, connection: Connection | None) -> None:
        if connection is not None and not connection.is_closed():
            connection.terminate()
