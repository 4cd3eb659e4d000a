"""Keys of the clients: a file with their SHA-256, read again whenever it changes; and a table, where there is one.

A new file counts from the next look on, without a restart. One that is broken is not taken over: the keys before it
stay, and the state is in the metrics. Keys of one name share limits and budget, so that a key can be replaced by
another one while both work.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from llm_serving_gateway.configuration import first_problem
from llm_serving_gateway.key_file import Key, KeyFile
from llm_serving_gateway.key_table import KeyTable, has_form
from llm_serving_gateway.refusals import RefusalError

LOOK_EVERY_SECONDS = 1.0

_MISSING = b""

_log = logging.getLogger(__name__)


@dataclass
class KeyState:
    """What the metrics say of the file: whether its newest version counts, keys in use, broken versions seen."""

    is_current: bool = False
    keys: int = 0
    refused_versions: int = 0


class Keys:
    """The keys that count now: those of the file, and those of the table that the file does not have.

    Their SHA-256 are looked up under a MAC with a secret of this process, so that how long a look-up takes says
    nothing of those that are there.
    """

    def __init__(self, path: Path, table: KeyTable | None = None) -> None:
        self._path, self._table = path, table
        self._secret = secrets.token_bytes(32)
        self._keys: Mapping[bytes, Key] = {}
        self._had: set[bytes] = set()
        self._seen: bytes | None = None
        self._has_read = False
        self.state = KeyState()

    @property
    def are_read(self) -> bool:
        """Whether a file has counted at all."""
        return self._has_read

    def look(self) -> None:
        """Read the file if it is new; one that is missing or broken changes nothing but the state."""
        try:
            content = self._path.read_bytes()
        except OSError as error:
            if self._seen is not _MISSING:
                _log.error("%s: %s", self._path, error.strerror)
            self._seen, self.state.is_current = _MISSING, False
            return
        if content == self._seen:
            return
        self._seen = content
        try:
            keys = KeyFile.model_validate_json(content).keys
        except ValidationError as error:
            self.state.is_current = False
            self.state.refused_versions += 1
            _log.error("%s is not taken over: %s", self._path, first_problem(error))
            return
        self._keys = {self._mac(bytes.fromhex(key.sha256)): key for key in keys}
        self._had.update(self._keys)
        self._has_read = self.state.is_current = True
        self.state.keys = len(keys)

    async def watch(self) -> None:
        """Look for a new file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.look()

    async def authenticate(self, authorization: str | None) -> Key:
        """The key of an ``Authorization`` header.

        Raises:
            RefusalError: 401; 503 where the table may know it and does not answer.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated("Send a key: Authorization: Bearer sk-llm-...", "missing_api_key")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        key = await self._find(digest, in_table=has_form(token))
        if key is None:
            raise _unauthenticated("This key is not known, or has expired.", "invalid_api_key")
        return key

    async def resume(self, sha256: str) -> Key | None:
        """The key of a request that came before; ``None`` where it is gone, or has expired.

        It is that key, and none of the same name: whoever had one that was replaced after it leaked is to get nothing.

        Raises:
            RefusalError: 503 where the table may know it and does not answer.
        """
        return await self._find(bytes.fromhex(sha256), in_table=True)

    def had(self, sha256: str) -> bool:
        """Whether a key was in a file that counted here, now or before."""
        return self._mac(bytes.fromhex(sha256)) in self._had

    async def _find(self, digest: bytes, *, in_table: bool) -> Key | None:
        """The key that counts, of the file or, where it may be there, of the table."""
        key = self._keys.get(self._mac(digest))
        if key is None and self._table is not None and in_table:
            key = await self._table.look_up(digest)
        return None if key is None or key.is_expired(datetime.now(UTC)) else key

    def _mac(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, key=self._secret, digest_size=32).digest()


def _unauthenticated(message: str, code: str) -> RefusalError:
    return RefusalError(401, message, code)
