"""What the pods of the gateway keep in Redis, and what needs it; guardrails that look for something."""

from collections.abc import Iterator
from math import ceil

from llm_serving.errors import LEAVE_OUT, Problem, Suggestion
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, PostgresTls


def check_stores(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.redis``, ``gateway.cache`` and ``gateway.guardrails``."""
    redis, cache = gateway.redis, gateway.cache
    if cache is not None and cache.kind == "semantic":
        reason = "is not offered yet: answers are given again to the same request only"
        yield Problem("cache.kind", cache.kind, reason, Suggestion(values=["exact"]))
    if cache is not None and redis.cache is None:
        reason = "answers are kept in redis.cache, and there is none"
        yield Problem("cache", None, reason, Suggestion(removal=True, edits=[{"/gateway.redis.cache": {}}]))
    if cache is None and redis.cache is not None:
        reason = "nothing is kept in it where no cache is given"
        yield Problem("redis.cache", None, reason, Suggestion(removal=True, edits=[{"/gateway.cache": {}}]))
    yield from _limits(gateway)
    yield from _guardrails(gateway)


def _limits(gateway: GatewaySpec) -> Iterator[Problem]:
    limits, cache = gateway.redis.limits, gateway.redis.cache
    if limits is None:
        return
    if cache is not None and cache.host is not None and (cache.host, cache.port) == (limits.host, limits.port):
        reason = "is redis.limits too: one of them must forget nothing, the other the oldest"
        yield Problem(
            "redis.cache.host", cache.host, reason, Suggestion("leave it out: one is installed", removal=True)
        )
    # The log of changes is written anew beside the old one (Redis documentation, "Redis persistence", "Log rewriting").
    fewest = ceil(2 * limits.memory_mib / 1024)
    if limits.is_installed and limits.storage_gib < fewest:
        reason = f"is less than twice its memory, {limits.memory_mib} MiB: its log is written anew beside the old one"
        yield Problem("redis.limits.storageGib", limits.storage_gib, reason, Suggestion(values=[fewest]))


def _guardrails(gateway: GatewaySpec) -> Iterator[Problem]:
    guardrails = gateway.guardrails
    if guardrails is None:
        return
    if not guardrails.input and not guardrails.output:
        yield Problem("guardrails", None, "look for nothing: neither input nor output names anything", LEAVE_OUT)
    for name, entities in (("input", guardrails.input), ("output", guardrails.output)):
        for index, entity in enumerate(entities):
            if entity in entities[:index]:
                yield Problem(f"guardrails.{name}[{index}]", entity.value, "is named already", LEAVE_OUT)


def note_stores(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Limits that each pod counts for itself, and a database that is asked in the clear."""
    if gateway.postgres is not None and gateway.postgres.tls is PostgresTls.OFF:
        reason = "hashes of keys and their limits go over the network in the clear"
        yield Problem("postgres.tls", gateway.postgres.tls.value, reason, Suggestion("verify-full"))
    limited = [key.name for key in gateway.keys if key.requests_per_minute or key.tokens_per_minute]
    limited += [key.name for key in gateway.keys if key.parallel_requests and key.name not in limited]
    if limited and gateway.redis.limits is None and gateway.replicas.max > 1:
        reason = (
            f"there is none: each of up to {gateway.replicas.max} pods grants {limited[0]} its share of the limits, "
            "whichever pods its requests reach"
        )
        yield Problem("redis.limits", None, reason, Suggestion("{}, which installs one"))
