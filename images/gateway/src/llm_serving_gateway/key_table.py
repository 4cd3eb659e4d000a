"""Keys of the clients in a table, which ``stacks keys`` writes: a key counts without an update of the stack.

What was looked up is kept for a while, and forgotten at once where the database says that it changed. Many requests
with one key make one look-up. Texts that have not the form of a key are never looked up, and what is not there is
remembered too, so that a flood of made-up keys costs a look-up each, a few at a time, and no memory.
"""

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Counter  # pyright: ignore[reportMissingImports]
from pydantic import ValidationError

from llm_serving_gateway.bounded_postgres import BoundedPostgres, Connection, PostgresAwayError
from llm_serving_gateway.key_file import Key
from llm_serving_gateway.refusals import RefusalError

CHANNEL = "llm_gateway_keys"
"""A notification is the SHA-256 of a key that changed."""
MOST = 20_000
"""Keys that are remembered; as many that are not there."""
ABSENT_SECONDS = 5.0
"""How long one that is not there is not looked for again, unless the database says that it has come."""

LOOK_UPS = Counter("llm_gateway_key_lookups_total", "Keys that were looked for in the table", ["result"])

_FORM = re.compile(r"sk-llm-[A-Za-z0-9_-]{43}")
_READ = """
SELECT spec::text, ends_at FROM llm_gateway.keys WHERE sha256 = $1 AND (ends_at IS NULL OR ends_at > now())
"""


def has_form(token: str) -> bool:
    """Whether a text has the form of a key of the table."""
    return _FORM.fullmatch(token) is not None


@dataclass
class _Kept:
    """What the table said: ``None`` where the key is not there; when, on the monotonic clock."""

    key: Key | None
    at: float


class KeyTable:
    """The keys of the table, by their SHA-256.

    Args:
        postgres: the database, whose notifications go to :meth:`changed`.
        cache_seconds: how long an answer is trusted without a look.
        stale_seconds: how long it is trusted while the database does not answer, counted from when it last did.
    """

    def __init__(self, postgres: BoundedPostgres, cache_seconds: float, stale_seconds: float) -> None:
        self._postgres, self._cache_seconds, self._stale_seconds = postgres, cache_seconds, stale_seconds
        self._present: OrderedDict[bytes, _Kept] = OrderedDict()
        self._absent: OrderedDict[bytes, _Kept] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[_Kept]] = {}

    async def look_up(self, digest: bytes) -> Key | None:
        """The key of a SHA-256; ``None`` where there is none.

        Raises:
            RefusalError: 503; the database does not answer, and nothing is known of it.
        """
        now = time.monotonic()
        present = self._present.get(digest)
        if present is not None and now - present.at < self._cache_seconds:
            self._present.move_to_end(digest)
            LOOK_UPS.labels("kept").inc()
            return present.key
        absent = self._absent.get(digest)
        if absent is not None and now - absent.at < ABSENT_SECONDS:
            LOOK_UPS.labels("absent").inc()
            return None
        try:
            found = await self._look(digest)
        except PostgresAwayError as error:
            if present is not None and now - present.at < self._stale_seconds:
                LOOK_UPS.labels("stale").inc()
                return present.key
            LOOK_UPS.labels("unavailable").inc()
            message = "Keys cannot be checked now."
            raise RefusalError(503, message, "keys_unavailable", retry_after=5) from error
        LOOK_UPS.labels("absent" if found.key is None else "found").inc()
        return found.key

    def changed(self, sha256: str | None) -> None:
        """A key was added, changed or revoked; ``None``: any may have been."""
        try:
            digest = None if sha256 is None else bytes.fromhex(sha256)
        except ValueError:  # whoever may notify may send anything
            digest = None
        if digest is None:
            # Looked up again where the database answers, and trusted where it goes away once more.
            for kept in self._present.values():
                kept.at = min(kept.at, time.monotonic() - self._cache_seconds)
            self._absent.clear()
            return
        self._present.pop(digest, None)
        self._absent.pop(digest, None)
        # Its answer may be from before the change: it is not kept.
        self._looking.pop(digest, None)

    async def _look(self, digest: bytes) -> _Kept:
        """One look-up for all that ask at once, which goes on when one of them leaves."""
        task = self._looking.get(digest)
        if task is None:
            task = self._looking[digest] = asyncio.create_task(self._read(digest))
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def _read(self, digest: bytes) -> _Kept:
        task = asyncio.current_task()
        try:

            async def read(connection: Connection) -> Any:
                return await connection.fetchrow(_READ, digest)

            kept = _Kept(_key(digest, await self._postgres.call(read)), time.monotonic())
            if self._looking.get(digest) is task:
                self._keep(digest, kept)
            return kept
        finally:
            if self._looking.get(digest) is task:
                del self._looking[digest]

    def _keep(self, digest: bytes, kept: _Kept) -> None:
        here, there = (self._absent, self._present) if kept.key is None else (self._present, self._absent)
        there.pop(digest, None)
        here[digest] = kept
        here.move_to_end(digest)
        if len(here) > MOST:
            here.popitem(last=False)


def _key(digest: bytes, row: tuple[str, datetime | None] | None) -> Key | None:
    """The key of a row; ``None`` where there is none, or it cannot be read: nobody is let in by mistake."""
    if row is None:
        return None
    spec, ends_at = row
    try:
        key = Key.model_validate_json(spec)
    except ValidationError:
        LOOK_UPS.labels("broken").inc()
        return None
    if key.sha256 != digest.hex():
        LOOK_UPS.labels("broken").inc()
        return None
    if ends_at is not None:
        key = key.model_copy(update={"expires": ends_at if key.expires is None else min(key.expires, ends_at)})
    return key
