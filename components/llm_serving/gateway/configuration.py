"""The files that LiteLLM's pods read, as pure functions of what the user asks for.

``gateway.json`` names models, and never releases, weights or keys: a promotion or a new key changes nothing in it.
``keys.json`` holds the keys, by their hashes; pods read it again when it changes. The program that reads both is
``images/gateway``; a test compares what it knows with what is written here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llm_serving.errors import Problem, nearest
from llm_serving.gateway.names import (
    REDIS_CACHE,
    REDIS_LIMITS,
    REDIS_PORT,
    authority_folder,
    service_host,
    stable_url,
    weighted_url,
)
from llm_serving.spec import AnswerCacheSpec, GatewaySpec, HostedProviderSpec, ModelEndpoint, QueueSpec, RedisSpec, Task

VERSION = 1
"""Of the form of ``gateway.json``."""

BACKOFF_SECONDS = 10
"""Before the second delivery of a request of the queue that no back end answered; four times as long before each one
after it."""
_POSTGRES = ("host", "port", "database", "tls", "timeoutSeconds", "cacheSeconds", "staleSeconds")

_TASKS = {Task.GENERATE: "chat", Task.EMBED: "embed", Task.CLASSIFY: "classify"}
"""Tasks as clients know them."""


def gateway_document(spec: GatewaySpec, models: Sequence[ModelEndpoint]) -> dict[str, Any]:
    """``gateway.json`` as data."""
    return {
        "version": VERSION,
        "models": [_model(spec, model) for model in models],
        "limits": _plain(spec.limits),
        "retries": _plain(spec.retries),
        "breaker": _plain(spec.breaker),
        "hosted": [_hosted(provider, models) for provider in spec.hosted],
        "overload": _plain(spec.overload),
        "redis": _redis(spec),
        "postgres": None if spec.postgres is None else _only(_plain(spec.postgres), *_POSTGRES),
        "cache": None if spec.cache is None else _cache(spec.cache),
        "guardrails": None if spec.guardrails is None else _plain(spec.guardrails),
        "queue": None if spec.queue is None else _queue(spec.queue),
        "replicas": spec.replicas.max,
        "failClosedSeconds": spec.fail_closed_seconds,
    }


def keys_document(spec: GatewaySpec) -> dict[str, Any]:
    """``keys.json`` as data; what a key leaves out is left out."""
    return {"keys": [key.model_dump(mode="json", by_alias=True, exclude_none=True) for key in spec.keys]}


def file_content(document: Mapping[str, Any]) -> str:
    """A document as it stands in a ConfigMap or Secret: the same text for the same data."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def gateway_problems(spec: GatewaySpec, models: Sequence[ModelEndpoint]) -> Iterator[Problem]:
    """What LiteLLM's pods would refuse to start with, or to take over; paths are those of the component's arguments."""
    names = [model.name for model in models]
    if not names:
        return
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"models[{index}].name", name, "is there twice")
    for index, model in enumerate(spec.models):
        path = f"gateway.models[{index}]"
        yield from _unknown(f"{path}.name", [model.name], names)
        yield from _unknown(f"{path}.fallbacks", [each for each in model.fallbacks if each != model.name], names)
        if model.name in model.fallbacks:
            yield Problem(f"{path}.fallbacks", model.name, "is the model itself")
    yield from _embedding_model(spec, models)
    if spec.queue is not None and spec.redis.limits is None:
        yield Problem(
            "gateway.queue", None, "is kept in gateway.redis.limits, and there is none", "{}, which installs one"
        )
    yield from _hosted_problems(spec, names)
    hashes = [key.sha256 for key in spec.keys]
    for index, key in enumerate(spec.keys):
        if key.sha256 in hashes[:index]:
            first = spec.keys[hashes.index(key.sha256)].name
            yield Problem(f"gateway.keys[{index}].sha256", None, f"is the key of {first} too")


def _embedding_model(spec: GatewaySpec, models: Sequence[ModelEndpoint]) -> Iterator[Problem]:
    cache, path = spec.cache, "gateway.cache.embeddingModel"
    if cache is None or cache.kind != "semantic":
        return
    if cache.embedding_model is None:
        yield Problem(path, None, "required where kind is semantic")
        return
    yield from _unknown(path, [cache.embedding_model], [model.name for model in models])
    if any(model.name == cache.embedding_model and model.task is not Task.EMBED for model in models):
        yield Problem(path, cache.embedding_model, "is no model of embeddings")


def _hosted_problems(spec: GatewaySpec, names: Sequence[str]) -> Iterator[Problem]:
    providers = [provider.name for provider in spec.hosted]
    for index, provider in enumerate(spec.hosted):
        path = f"gateway.hosted[{index}]"
        if provider.name in providers[:index]:
            yield Problem(f"{path}.name", provider.name, "is there twice")
        stood_in_for = [each.model for each in provider.models]
        yield from _unknown(f"{path}.models", stood_in_for, names)
        if twice := next((each for number, each in enumerate(stood_in_for) if each in stood_in_for[:number]), None):
            yield Problem(f"{path}.models", twice, "is there twice")
    if spec.hosted and spec.redis.limits is None:
        yield Problem("gateway.hosted", None, "its budget is counted in redis.limits, and there is none")


def _unknown(path: str, named: Iterable[str], names: Sequence[str]) -> Iterator[Problem]:
    for name in named:
        if name not in names:
            yield Problem(path, name, "is none of the models that are given", nearest(name, names))


def _model(spec: GatewaySpec, model: ModelEndpoint) -> dict[str, Any]:
    settings = spec.model(model.name)
    price = settings.price
    return {
        "name": model.name,
        "task": _TASKS[model.task],
        "serviceClass": model.service_class.value,
        "contextTokens": model.context_tokens,
        "maxRequests": settings.max_requests,
        "coldStartSeconds": model.cold_start_seconds,
        "weightedUrl": weighted_url(spec.namespace, model.name),
        "stableUrl": stable_url(spec.namespace, model.name),
        "fallbacks": list(settings.fallbacks),
        "usdPerMillionInputTokens": price.usd_per_million_input_tokens if price else 0.0,
        "usdPerMillionOutputTokens": price.usd_per_million_output_tokens if price else 0.0,
        "timeouts": _plain(spec.timeouts_of(model.name)),
    }


def _cache(cache: AnswerCacheSpec) -> dict[str, Any]:
    data = _plain(cache)
    similar = _only(data, "embeddingModel", "threshold", "maxEntries") if cache.kind == "semantic" else None
    return {**_only(data, "ttlSeconds", "staleSeconds", "scope"), "similar": similar}


def _hosted(provider: HostedProviderSpec, models: Sequence[ModelEndpoint]) -> dict[str, Any]:
    """A provider. How it is reached by network policies, and where its key is, is no part of it."""
    contexts = {model.name: model.context_tokens for model in models}
    return {
        **_only(_plain(provider), "name", "url", "teams", "budget"),
        "models": [
            {
                "model": each.model,
                "name": each.name,
                "contextTokens": each.context_tokens or contexts[each.model],
                **_plain(each.price),
            }
            for each in provider.models
        ],
    }


def _redis(spec: GatewaySpec) -> dict[str, Any] | None:
    stores = spec.redis
    if stores.limits is None and stores.cache is None:
        return None
    return {
        "limits": _redis_endpoint(stores.limits, REDIS_LIMITS, spec.namespace),
        "cache": _redis_endpoint(stores.cache, REDIS_CACHE, spec.namespace),
        "timeoutSeconds": stores.timeout_seconds,
    }


def _redis_endpoint(redis: RedisSpec | None, service: str, namespace: str) -> dict[str, Any] | None:
    if redis is None:
        return None
    if redis.host is None:
        authority = f"{authority_folder(service)}/ca.crt" if redis.tls else None
        return {
            "host": service_host(service, namespace),
            "port": REDIS_PORT,
            "tls": redis.tls,
            "authorityFile": authority,
            "authority": None,
        }
    return {
        "host": redis.host,
        "port": redis.port,
        "tls": redis.tls,
        "authorityFile": None,
        "authority": redis.certificate_authority,
    }


def _queue(queue: QueueSpec) -> dict[str, Any]:
    # Of its pods a worker need not know.
    document = {name: value for name, value in _plain(queue).items() if name not in ("workers", "cpu", "memoryMib")}
    return {**document, "backoffSeconds": BACKOFF_SECONDS, "memoryBytes": queue.memory_mib * 2**20}


def _plain(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)


def _only(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: data[key] for key in keys}
