"""What the component writes into files is what the program of the image reads, and all of it."""

import json
from math import inf
from typing import Any

import pytest
from llm_serving_gateway import configuration, key_file
from llm_serving_gateway.configuration import Configuration
from llm_serving_gateway.key_file import KeyFile
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from llm_serving.arguments import parse
from llm_serving.gateway.configuration import file_content, gateway_document, keys_document
from llm_serving.spec import (
    AnswerCacheSpec,
    BreakerSpec,
    BudgetSpec,
    GatewayLimitsSpec,
    GatewaySpec,
    GatewayTimeoutsSpec,
    GuardrailEntity,
    GuardrailsSpec,
    HostedModelSpec,
    HostedProviderSpec,
    KeySpec,
    ModelEndpoint,
    OverloadSpec,
    PostgresSpec,
    QueueSpec,
    RedisSpec,
    RedisStoresSpec,
    RetriesSpec,
    WebhooksSpec,
)
from tests.unit.gateway.offered import HOSTED, IMAGES, MODELS, SETTINGS


def spec(**changes: Any) -> GatewaySpec:
    return parse(GatewaySpec, {**SETTINGS, **changes})


def models(*changed: dict[str, Any]) -> list[ModelEndpoint]:
    return [parse(ModelEndpoint, each) for each in (changed or MODELS)]


def read(document: dict[str, Any]) -> Configuration:
    return Configuration.model_validate_json(file_content(document))


BARE = {"keys": [], "models": [], "redis": {}, "cache": None, "guardrails": None, "postgres": None, "queue": None}


@pytest.mark.parametrize("changes", [{"hosted": HOSTED}, BARE], ids=["everything", "nothing"])
def test_the_program_of_the_image_reads_every_field_and_there_is_none_that_is_not_written(changes: Any) -> None:
    document = gateway_document(spec(**changes), models())
    assert read(document).model_dump(mode="json", by_alias=True) == document


def test_keys_are_read_as_they_were_set() -> None:
    document = keys_document(spec())
    read_keys = KeyFile.model_validate_json(file_content(document))
    assert read_keys.model_dump(mode="json", by_alias=True, exclude_none=True) == document
    assert KeyFile.model_validate_json(file_content(keys_document(spec(keys=[])))).keys == ()


def test_no_key_is_written_and_only_its_hash_is() -> None:
    (key,) = keys_document(spec())["keys"]
    assert key["sha256"] == SETTINGS["keys"][0]["sha256"]
    assert "sk-llm-" not in json.dumps(keys_document(spec()))


SAME = [
    (GatewayTimeoutsSpec, configuration.Timeouts),
    (GatewayLimitsSpec, configuration.RequestLimits),
    (RetriesSpec, configuration.Retries),
    (BreakerSpec, configuration.Breaker),
    (HostedProviderSpec, configuration.HostedProvider),
    (HostedModelSpec, configuration.HostedModel),
    (OverloadSpec, configuration.Overload),
    (RedisSpec, configuration.RedisEndpoint),
    (RedisStoresSpec, configuration.RedisEndpoints),
    (PostgresSpec, configuration.PostgresEndpoint),
    (AnswerCacheSpec, configuration.Cache),
    (AnswerCacheSpec, configuration.Similar),
    (GuardrailsSpec, configuration.Guardrails),
    (QueueSpec, configuration.Queue),
    (WebhooksSpec, configuration.Webhooks),
    (GatewaySpec, configuration.Configuration),
    (KeySpec, key_file.Key),
    (BudgetSpec, configuration.Budget),
]
"""Models of settings, and what the program has for the same."""


def bounds(model: type[BaseModel], field: str) -> tuple[float, float] | None:
    """Least and largest number of a field, both still allowed as far as that can be said; ``None`` for no number."""
    schema = model.model_json_schema()["properties"][to_camel(field)]
    numbers = [each for each in schema.get("anyOf", [schema]) if each.get("type") in ("integer", "number")]
    if not numbers:
        return None
    (number,) = numbers
    step = 1 if number["type"] == "integer" else 1e-9
    least = number.get("minimum", number.get("exclusiveMinimum", -inf) + step)
    return least, number.get("maximum", number.get("exclusiveMaximum", inf) - step)


@pytest.mark.parametrize(("settings", "program"), SAME, ids=[each.__name__ for each, _ in SAME])
def test_settings_allow_no_number_that_the_program_refuses(settings: Any, program: Any) -> None:
    shared = {*settings.model_fields} & {*program.model_fields}
    assert shared
    for field in sorted(shared):
        allowed, accepted = bounds(settings, field), bounds(program, field)
        if allowed is not None and accepted is not None:
            assert accepted[0] <= allowed[0], field
            assert allowed[1] <= accepted[1], field


def test_a_cache_by_meaning_has_its_model_and_no_other_cache_has_one() -> None:
    semantic = {"kind": "semantic", "embedding_model": "bge", "threshold": 0.9, "max_entries": 50}
    document = gateway_document(spec(cache=semantic), models())
    assert document["cache"]["similar"] == {"embeddingModel": "bge", "threshold": 0.9, "maxEntries": 50}
    assert read(document).model_dump(mode="json", by_alias=True) == document
    assert gateway_document(spec(cache={}), models())["cache"]["similar"] is None
    with pytest.raises(ValidationError, match="no model of embeddings"):
        read(gateway_document(spec(cache={**semantic, "embedding_model": "qwen"}), models()))


def test_settings_look_for_what_the_program_knows() -> None:
    kinds = [kind.value for kind in GuardrailEntity]
    guardrails = read(gateway_document(spec(guardrails={"input": kinds, "output": kinds}), models())).guardrails
    assert guardrails is not None
    assert [*guardrails.input] == [*guardrails.output] == kinds


def test_names_at_the_ends_of_what_settings_allow_are_accepted() -> None:
    key = {"name": f"a-{'b' * 60}1", "sha256": "0" * 64, "team": "t" * 40, "models": ["m" * 40]}
    KeyFile.model_validate_json(file_content(keys_document(spec(keys=[key]))))
    longest = {"name": "m" * 40, "context_tokens": 100_000_000}
    read(gateway_document(spec(models=[]), models(longest)))


def test_a_model_without_settings_of_its_own_has_those_of_the_gateway() -> None:
    gateway = parse(GatewaySpec, {**IMAGES, "timeouts": {"total_seconds": 60}})
    (model,) = read(gateway_document(gateway, models(MODELS[1]))).models
    assert (model.fallbacks, model.timeouts.total_seconds) == ((), 60)
    assert str(model.weighted_url) == "http://models.llm-gateway.svc:8081/phi/v1"
    assert str(model.stable_url) == "http://models.llm-gateway.svc:8081/phi/stable/v1"


def test_a_redis_of_the_stack_is_found_by_its_service_and_one_that_is_there_by_its_host() -> None:
    redis = read(
        gateway_document(spec(redis={"limits": {}, "cache": {"host": "r.example.com", "tls": True}}), models())
    )
    assert redis.redis is not None
    assert redis.redis.limits is not None
    assert redis.redis.cache is not None
    assert (redis.redis.limits.host, redis.redis.limits.tls) == ("redis-limits.llm-gateway.svc", False)
    assert (redis.redis.cache.host, redis.redis.cache.tls) == ("r.example.com", True)


def test_a_hosted_model_takes_as_many_tokens_as_the_one_that_it_stands_in_for_unless_settings_say_how_many() -> None:
    first, second = read(gateway_document(spec(hosted=HOSTED), models())).hosted
    assert (first.models[0].context_tokens, second.models[0].context_tokens) == (4096, 8192)
    assert "secret" not in file_content(gateway_document(spec(hosted=HOSTED), models()))
