"""What is done with the table, each in one transaction."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from llm_serving.arguments import parse
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion, nearest
from llm_serving.spec import KeySpec

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
_CONNECT_SECONDS = 10
_LOCK = 5150_7007
"""Of the advisory lock under which the schema changes; any number that nobody else uses in this database."""
_LIVE = "(ends_at IS NULL OR ends_at > now())"

_GRANTS = (
    "GRANT USAGE ON SCHEMA llm_gateway TO {role}",
    "GRANT SELECT ON llm_gateway.keys TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON llm_gateway.budgets TO {role}",
)
"""All that the gateway's user needs."""


@dataclass(frozen=True)
class TableKey:
    """A row: the key as settings would have it, and from when on it is refused whatever they say."""

    spec: KeySpec
    ends_at: datetime | None


def in_database(url: str, work: Callable[["KeyDatabase"], Awaitable[T]]) -> T:
    """Do something with the tables of a database.

    Args:
        url: ``postgresql://user@host/database``; a password may come from ``PGPASSWORD`` or the file of passwords.
        work: what to do, in one transaction.

    Raises:
        ProblemsError: it cannot be reached, or refuses. The URL is no part of the message: it may hold a password.
    """
    return asyncio.run(_work(url, work))


async def _work(url: str, work: Callable[["KeyDatabase"], Awaitable[T]]) -> T:
    # Imported here: no other command needs it. It says little of its types.
    asyncpg: Any = import_module("asyncpg")
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
        try:
            async with connection.transaction():
                return await work(KeyDatabase(connection))
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        hint = Suggestion("stacks keys migrate", needs=Needs.COMMAND)
        raise _problem("has no table of keys yet", hint) from None
    except asyncpg.PostgresError as error:
        raise _problem(f"refuses: {error}") from None
    except asyncpg.InterfaceError as error:
        raise _problem(f"cannot be asked: {type(error).__name__}") from None
    except ValueError:
        raise _problem("is not named by a URL such as postgresql://user@host/database") from None
    except OSError as error:
        raise _problem(f"cannot be reached: {error.strerror or type(error).__name__}") from None


def _problem(reason: str, suggestion: str = "") -> ProblemsError:
    return ProblemsError([Problem("", None, reason, suggestion)], "the database")


class KeyDatabase:
    """The tables, in a transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def migrate(self, gateway_role: str | None = None) -> list[str]:
        """Bring the schema to the newest version, and let the gateway's user do what it must; returns the names of the
        migrations that were applied. Those that were applied before are not applied again."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1::bigint)", _LOCK)
        await self._connection.execute("CREATE SCHEMA IF NOT EXISTS llm_gateway")
        await self._connection.execute(
            "CREATE TABLE IF NOT EXISTS llm_gateway.migrations "
            "(name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        there = {row["name"] for row in await self._connection.fetch("SELECT name FROM llm_gateway.migrations")}
        files = {path.stem: path for path in sorted(MIGRATIONS.glob("*.sql"))}
        if newer := sorted(there - files.keys()):
            raise _problem(f"has migrations that this version does not know: {', '.join(newer)}")
        applied = [name for name in files if name not in there]
        for name in applied:
            await self._connection.execute(files[name].read_text(encoding="utf-8"))
            await self._connection.execute("INSERT INTO llm_gateway.migrations (name) VALUES ($1)", name)
        if gateway_role is not None:
            role = await self._connection.fetchval("SELECT quote_ident($1)", gateway_role)
            for grant in _GRANTS:
                await self._connection.execute(grant.format(role=role))
        return applied

    async def add(self, key: KeySpec) -> None:
        """Put a key in.

        Raises:
            ProblemsError: one of its name is there.
        """
        # Two that come at once come one after the other.
        await self._connection.execute("LOCK TABLE llm_gateway.keys IN SHARE ROW EXCLUSIVE MODE")
        if await self._live(key.name):
            command = Suggestion(f"stacks keys rotate, or revoke it first: {key.name}", needs=Needs.COMMAND)
            raise ProblemsError([Problem("name", key.name, "a key of this name is in the table", command)])
        await self._insert(key)

    async def rotate(self, name: str, sha256: str, overlap: timedelta) -> KeySpec:
        """Put a key in that follows another one, whose name and limits it has; that one ends after the overlap.

        Raises:
            ProblemsError: there is none of this name.
        """
        await self._connection.execute("LOCK TABLE llm_gateway.keys IN SHARE ROW EXCLUSIVE MODE")
        live = await self._live(name)
        if not live:
            raise await self._unknown(name)
        key = live[-1].spec.model_copy(update={"sha256": sha256})
        await self._end(name, overlap)
        await self._insert(key)
        return key

    async def revoke(self, name: str) -> int:
        """End the keys of a name now; returns how many.

        Raises:
            ProblemsError: there is none.
        """
        ended = await self._end(name, timedelta())
        if not ended:
            raise await self._unknown(name)
        return ended

    async def keys(self) -> list[TableKey]:
        """Those that have not ended, by name and age."""
        return await self._read(f"{_LIVE} ORDER BY name, created_at")

    async def find(self, sha256: str) -> TableKey | None:
        """The one of a SHA-256, ended or not; ``None`` where there is none."""
        return next(iter(await self._read("sha256 = $1", bytes.fromhex(sha256))), None)

    async def _live(self, name: str) -> list[TableKey]:
        return await self._read(f"name = $1 AND {_LIVE} ORDER BY created_at", name)

    async def _read(self, condition: str, *arguments: object) -> list[TableKey]:
        rows = await self._connection.fetch(
            f"SELECT spec::text AS spec, ends_at FROM llm_gateway.keys WHERE {condition}", *arguments
        )
        return [TableKey(parse(KeySpec, json.loads(row["spec"]), "the table"), row["ends_at"]) for row in rows]

    async def _insert(self, key: KeySpec) -> None:
        spec = key.model_dump_json(by_alias=True, exclude_none=True)
        await self._connection.execute(
            "INSERT INTO llm_gateway.keys (sha256, name, spec) VALUES ($1, $2, $3::jsonb)",
            bytes.fromhex(key.sha256),
            key.name,
            spec,
        )

    async def _end(self, name: str, after: timedelta) -> int:
        rows: Sequence[object] = await self._connection.fetch(
            f"UPDATE llm_gateway.keys SET ends_at = least(ends_at, now() + $2) WHERE name = $1 AND {_LIVE} "
            "RETURNING sha256",
            name,
            after,
        )
        return len(rows)

    async def _unknown(self, name: str) -> ProblemsError:
        names = [key.spec.name for key in await self.keys()]
        return ProblemsError([Problem("name", name, "no key of this name is in the table", nearest(name, names))])
