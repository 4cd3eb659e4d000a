"""The file of keys: who may ask, what, and how much. Of a key itself it has the SHA-256 alone."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from llm_serving_gateway.configuration import Budget, Name, ServiceClass, Settings

Limit = Annotated[int, Field(gt=0)] | None


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
