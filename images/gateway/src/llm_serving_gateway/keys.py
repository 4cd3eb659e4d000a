"""Keys of the clients: a file with their SHA-256, read again whenever it changes.

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
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from llm_serving_gateway.configuration import Name, ServiceClass, Settings, first_problem
from llm_serving_gateway.refusals import RefusalError

LOOK_EVERY_SECONDS = 1.0

_MISSING = b""

_log = logging.getLogger(__name__)

Limit = Annotated[int, Field(gt=0)] | None


class Budget(Settings):
    """What a key may use up in a period of ``days``, counted from 1 January 1970 on, so that all gateways agree.

    Attributes:
        usd: US dollars, by the prices of the models.
        tokens: of prompts and answers.
    """

    usd: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    tokens: Annotated[int, Field(gt=0, le=10**15)] | None = None
    days: Annotated[int, Field(gt=0, le=3660)] = 30

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.usd is None and self.tokens is None:
            raise ValueError("a budget has `usd`, `tokens` or both")
        return self


class Key(Settings):
    """Who asks, and what it may: ``None`` is no limit, no models are all models."""

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    team: str
    models: tuple[Name, ...] | None = None
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    parallel_requests: Limit = None
    budget: Budget | None = None
    expires: AwareDatetime | None = None
    service_class: ServiceClass = ServiceClass.STANDARD
    cache_scope: Literal["key", "team"] | None = None

    def may_use(self, model: str) -> bool:
        """Whether this model is one of the key's."""
        return not self.models or model in self.models

    def is_expired(self, now: datetime) -> bool:
        """Whether it has ceased to count."""
        return self.expires is not None and now >= self.expires


class KeyFile(Settings):
    """The file of keys."""

    keys: tuple[Key, ...]

    @model_validator(mode="after")
    def _no_key_twice(self) -> Self:
        seen: set[str] = set()
        for key in self.keys:
            if key.sha256 in seen:
                raise ValueError(f"the key {key.name} has the same SHA-256 as one before it")
            seen.add(key.sha256)
        return self


@dataclass
class KeyState:
    """What the metrics say of the file: whether its newest version counts, keys in use, broken versions seen."""

    is_current: bool = False
    keys: int = 0
    refused_versions: int = 0


class Keys:
    """The keys that count now.

    Their SHA-256 are looked up under a MAC with a secret of this process, so that how long a look-up takes says
    nothing of those that are there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._secret = secrets.token_bytes(32)
        self._keys: Mapping[bytes, Key] = {}
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
        self._has_read = self.state.is_current = True
        self.state.keys = len(keys)

    async def watch(self) -> None:
        """Look for a new file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.look()

    def authenticate(self, authorization: str | None) -> Key:
        """The key of an ``Authorization`` header.

        Raises:
            RefusalError: 401.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated("Send a key: Authorization: Bearer sk-llm-...", "missing_api_key")
        key = self._keys.get(self._mac(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()))
        if key is None or key.is_expired(datetime.now(UTC)):
            raise _unauthenticated("This key is not known, or has expired.", "invalid_api_key")
        return key

    def _mac(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, key=self._secret, digest_size=32).digest()


def _unauthenticated(message: str, code: str) -> RefusalError:
    return RefusalError(401, message, code)
