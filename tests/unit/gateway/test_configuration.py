"""What the component writes into files is what the program of the image reads, and all of it."""

import json
from typing import Any

import pytest
from llm_serving_gateway.configuration import Configuration
from llm_serving_gateway.keys import KeyFile

from llm_serving.arguments import parse
from llm_serving.gateway.configuration import file_content, gateway_document, keys_document
from llm_serving.spec import GatewaySpec, ModelEndpoint
from tests.unit.gateway.offered import IMAGES, MODELS, SETTINGS


def spec(**changes: Any) -> GatewaySpec:
    return parse(GatewaySpec, {**SETTINGS, **changes})


def models(*changed: dict[str, Any]) -> list[ModelEndpoint]:
    return [parse(ModelEndpoint, each) for each in (changed or MODELS)]


def read(document: dict[str, Any]) -> Configuration:
    return Configuration.model_validate_json(file_content(document))


BARE = {"keys": [], "models": [], "redis": {}, "cache": None, "guardrails": None}


@pytest.mark.parametrize("changes", [{}, BARE], ids=["everything", "nothing"])
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


EXTREMES = [
    {"redis": {"limits": {"host": "redis.example.com", "port": 65535, "tls": True}, "timeout_seconds": 0.001}},
    {"redis": {"cache": {}, "timeout_seconds": 0.3}},
    {"retries": {"attempts": 0}},
    {"retries": {"attempts": 5}},
    {"limits": {"body_bytes": 1024, "max_output_tokens": 1}},
    {"limits": {"body_bytes": 100_000_000, "max_output_tokens": 100_000_000}},
    {"replicas": {"min": 1, "max": 1}},
    {"replicas": {"min": 150_000, "max": 150_000}},
    {"cache": {"ttl_seconds": 100_000_000}},
    {"fail_closed_seconds": 150_000},
    {"guardrails": {}},
    {"timeouts": {"connect_seconds": 0.1, "first_token_seconds": 86_400, "total_seconds": 86_400}},
]


@pytest.mark.parametrize("changes", EXTREMES, ids=[next(iter(each)) for each in EXTREMES])
def test_what_settings_allow_at_most_and_at_least_the_program_accepts(changes: Any) -> None:
    read(gateway_document(spec(**changes), models()))


KEYS = [
    {"name": "a" * 63},
    {"expires": "2015-01-01T00:00:00Z"},
    {"requests_per_minute": 150_000, "tokens_per_minute": 100_000_000, "parallel_requests": 150_000},
    {"budget": {"usd": 1_000_000, "tokens": 100_000_000, "days": 366}},
]


@pytest.mark.parametrize("changes", KEYS, ids=[next(iter(each)) for each in KEYS])
def test_keys_at_the_ends_of_what_settings_allow_are_accepted(changes: Any) -> None:
    key = {"name": "search", "sha256": "0" * 64, "team": "chat", **changes}
    KeyFile.model_validate_json(file_content(keys_document(spec(keys=[key]))))


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
    assert (redis.redis.limits.host, redis.redis.limits.tls) == ("redis-limits.llm-gateway.svc", False)
    assert (redis.redis.cache.host, redis.redis.cache.tls) == ("r.example.com", True)
