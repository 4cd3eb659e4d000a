"""What a key may use, and what a request wants of it."""

import time
from dataclasses import dataclass, replace
from typing import Self

from llm_serving_gateway.configuration import Budget
from llm_serving_gateway.keys import Key

WINDOW_SECONDS = 61
"""How long a bucket of one second counts: no entry of it is then younger than 60 s."""
DAY_SECONDS = 86_400
NANO = 10**9


@dataclass(frozen=True)
class Limits:
    """Limits of a key, by whose name they are counted; ``None`` is no limit.

    Attributes:
        nano: of US dollars, as whole numbers: sums of them are exact.
        period_seconds: length of the budget's periods, counted from 1 January 1970.
    """

    name: str
    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None
    budget_tokens: int | None = None
    budget_nano: int | None = None
    period_seconds: int = 30 * DAY_SECONDS

    @classmethod
    def of(cls, key: Key) -> Self:
        """Those of a key."""
        return replace(
            cls.of_budget(key.name, key.budget),
            requests=key.requests_per_minute,
            tokens=key.tokens_per_minute,
            parallel=key.parallel_requests,
        )

    @classmethod
    def of_budget(cls, name: str, budget: Budget | None) -> Self:
        """A budget alone, counted by this name."""
        if budget is None:
            return cls(name)
        return cls(
            name,
            budget_tokens=budget.tokens,
            budget_nano=None if budget.usd is None else round(budget.usd * NANO),
            period_seconds=budget.days * DAY_SECONDS,
        )

    def period(self, now: float | None = None) -> int:
        """Number of the budget's period, now by default."""
        return int(time.time() if now is None else now) // self.period_seconds

    @property
    def has_budget(self) -> bool:
        """Whether it has one."""
        return self.budget_tokens is not None or self.budget_nano is not None

    @property
    def are_none(self) -> bool:
        """Whether nothing is limited, and so nothing counted."""
        return self.requests is None and self.tokens is None and self.parallel is None and not self.has_budget


@dataclass(frozen=True)
class Reservation:
    """A request under an id of its own: tokens and billionths of a dollar that it may use at most."""

    id: str
    limits: Limits
    tokens: int
    nano: int


@dataclass(frozen=True)
class Shortage:
    """Why a request must wait: which limit, and seconds until there may be room."""

    kind: str
    retry_after: int


@dataclass(frozen=True)
class Spent:
    """What is known of a budget: its period's number, and what was used in it."""

    period: int
    tokens: int
    nano: int

    def at_least(self, other: "Spent") -> "Spent":
        """The later period; of the same one, the larger numbers: what was used only grows."""
        if self.period != other.period:
            return max(self, other, key=lambda spent: spent.period)
        return Spent(self.period, max(self.tokens, other.tokens), max(self.nano, other.nano))


NOTHING = Spent(-1, 0, 0)
"""Nothing is known."""


@dataclass(frozen=True)
class Unloaded:
    """Redis knows nothing of this period of a budget: it is new, or was lost."""

    period: int
