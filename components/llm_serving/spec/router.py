"""The router of a release: which of its engines gets a request, and which get none for a while."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.facts import Task


class RoutingPolicy(StrEnum):
    """Which engine of a release gets a request."""

    CACHE_AWARE = "cache_aware"
    """The one that had the longest beginning of its prompt before; among equals, the least busy one."""
    ROUND_ROBIN = "round_robin"
    """One after the other."""
    POWER_OF_TWO = "power_of_two"
    """The less busy one of two that are drawn by lot."""
    CONSISTENT_HASH = "consistent_hash"
    """The one that the request's header `x-session-id` leads to, in every router alike."""


class RouterSpec(Frozen):
    """The router of a release."""

    policy: RoutingPolicy | None = None
    """Which engine gets a request: `cache_aware`, `round_robin`, `power_of_two` or `consistent_hash`. Left out:
    `cache_aware` where answers are generated, else `round_robin`.

    ``cache_aware`` has every engine tokenize every prompt (vllm-router 0.1.17), so what it saves is the time of long
    beginnings that prompts have in common.
    """
    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    """Routers; 2 by default. Each knows of engines only what it saw itself."""
    breaker_failures: Annotated[int, Field(ge=1, le=20)] = 3
    """Failures of an engine, one after the other, from which on it gets no requests; 3 by default. A request is tried
    once more than that."""
    breaker_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Time after which such an engine is tried again, in seconds; 10 by default."""
    health_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    """Time in which an engine must say that it is well, in seconds; 10 by default. One that is late three times gets no
    requests until it is in time again."""

    def policy_for(self, task: Task) -> RoutingPolicy:
        """The policy, or the one that suits the task."""
        if self.policy is not None:
            return self.policy
        return RoutingPolicy.CACHE_AWARE if task is Task.GENERATE else RoutingPolicy.ROUND_ROBIN
