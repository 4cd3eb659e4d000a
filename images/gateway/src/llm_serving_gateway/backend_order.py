"""Which back ends of a model are tried, in which order, and what an answer means for the next one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llm_serving_gateway.configuration import Model, Retries, Timeouts

Route = Literal["weighted", "stable", "hosted"]

REFUSALS = frozenset({400, 413, 422})
"""Statuses that are about the request, which no other back end would answer better."""
PAUSE_SECONDS = 0.1
"""Longest pause before the first repetition on the same back end; doubled for each further one."""


@dataclass(frozen=True)
class BackEnd:
    """A back end to ask.

    Attributes:
        model: what it is asked for, as metrics name it.
        timeouts: of an attempt.
        repetition: how often it has been asked before for the same request.
        release: the release that alone may answer; ``None`` for any.
        provider: the hosted provider that it is.
        may_sleep: whether it has not failed where it has no instance.
    """

    model: str
    route: Route
    url: str
    timeouts: Timeouts
    repetition: int = 0
    release: str | None = None
    provider: str | None = None
    may_sleep: bool = False


def back_ends(model: Model, retries: Retries, release: str | None = None) -> Sequence[BackEnd]:
    """The weighted back end, which a canary may have part of, then the stable one as often as is allowed.

    A request for one ``release`` is for the weighted one alone, which knows all of them.
    """
    weighted = BackEnd(
        model.name,
        "weighted",
        str(model.weighted_url).rstrip("/"),
        model.timeouts,
        release=release,
        may_sleep=model.may_sleep,
    )
    if release is not None:
        return [replace(weighted, repetition=number) for number in range(1 + retries.attempts)]
    stable = replace(weighted, route="stable", url=str(model.stable_url).rstrip("/"))
    return [weighted, *(replace(stable, repetition=number) for number in range(retries.attempts))]


def pause(repetition: int) -> float:
    """Seconds before a back end is asked again, at random, so that clients of a broken one do not come back at once."""
    return random.uniform(0, PAUSE_SECONDS * 2**repetition)


class RetryBudget:
    """How many repetitions on the same back end may be under way: a share of the requests.

    The step from the weighted to the stable back end is free: it is another back end, and a canary that fails every
    request may need one for each. What repeats on the stable one adds load to what already fails.
    """

    def __init__(self, share: float = 0.2, reserve: float = 10) -> None:
        self._share, self._reserve, self._left = share, reserve, reserve

    def request(self) -> None:
        """A request adds its share, up to the reserve."""
        self._left = min(self._reserve, self._left + self._share)

    def take(self) -> bool:
        """Whether a repetition may be, which it then is."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
