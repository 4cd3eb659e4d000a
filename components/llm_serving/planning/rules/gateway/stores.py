"""What the pods of the gateway keep in Redis, and what needs it; guardrails that look for something."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion
from llm_serving.planning.rules.gateway.models import task_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, PostgresTls, Task


def check_stores(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.redis``, ``gateway.cache`` and ``gateway.guardrails``."""
    redis, cache = gateway.redis, gateway.cache
    yield from _semantic(stack, gateway)
    if cache is not None and redis.cache is None:
        reason = "answers are kept in redis.cache, and there is none"
        yield Problem("cache", None, reason, Suggestion(removal=True, edits=[{"/gateway.redis.cache": {}}]))
    if cache is None and redis.cache is not None:
        reason = "nothing is kept in it where no cache is given"
        yield Problem("redis.cache", None, reason, Suggestion(removal=True, edits=[{"/gateway.cache": {}}]))
    yield from _limits(gateway)
    yield from _guardrails(gateway)


def _semantic(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """A cache by meaning has a model of embeddings, and no other cache has one."""
    cache = gateway.cache
    if cache is None:
        return
    embedding = [model.name for model in stack.models if task_of(stack, model) is Task.EMBED]
    path, named = "cache.embeddingModel", cache.embedding_model
    exact: dict[str, Any] = {"/gateway.cache.kind": "exact", "": None}
    if cache.kind == "exact":
        for name, value, default in (
            ("embeddingModel", named, None),
            ("threshold", cache.threshold, 0.95),
            ("maxEntries", cache.max_entries, 1000),
        ):
            if value != default:
                reason = "without meaning where cache.kind is exact"
                yield Problem(f"cache.{name}", value, reason, Suggestion(removal=True))
    elif named is None:
        reason = "required where cache.kind is semantic: a model of embeddings tells which questions mean the same"
        yield Problem(path, None, reason, Suggestion(values=embedding, edits=[{"/gateway.cache.kind": "exact"}]))
    elif named not in (served := {model.name: model for model in stack.models}):
        yield Problem(path, named, "no such model", Suggestion(values=embedding, edits=[exact]))
    elif (task := task_of(stack, served[named])) not in (None, Task.EMBED):
        reason = f"is a model to {task}, and has no embeddings"
        yield Problem(path, named, reason, Suggestion(values=embedding, edits=[exact]))


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
    if not guardrails.input and not guardrails.output and not guardrails.prompt_injection:
        yield Problem("guardrails", None, "look for nothing: neither input nor output names anything", LEAVE_OUT)
    for name, entities in (("input", guardrails.input), ("output", guardrails.output)):
        for index, entity in enumerate(entities):
            if entity in entities[:index]:
                yield Problem(f"guardrails.{name}[{index}]", entity.value, "is named already", LEAVE_OUT)


_SAFE_THRESHOLD = 0.92
"""With all-MiniLM-L6-v2 "enable" and "disable" in the same question are 0.87 similar, "advantages" and "disadvantages"
0.91, "increase" and "decrease" 0.94 (measured in November 2026, `tests/images/gateway/similarity`)."""


def note_stores(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Limits that each pod counts for itself, a database that is asked in the clear, and answers to questions that only
    seem to mean the same."""
    cache = gateway.cache
    if cache is not None and cache.kind == "semantic" and cache.threshold < _SAFE_THRESHOLD:
        reason = "questions that mean another thing are often that similar, and would get a wrong answer"
        yield Problem("cache.threshold", cache.threshold, reason, Suggestion("0.95", needs=Needs.CHOICE))
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
