"""The data files say nothing that the SDK does not know."""

import re
from collections.abc import Iterator
from importlib import import_module

import pytest

from local.providers.aws import eks, regions
from local.providers.aws.cloud import SDK
from local.providers.aws.kinds import _MODULES
from local.providers.aws.types import described, entries
from local.providers.schema import ListOf, MapOf, ObjectOf, Property, ResourceType, Sdk

AWS = Sdk(SDK)
TOKENS = sorted(entries())


def exists(resource: ResourceType, pattern: str) -> bool:
    """Whether a pattern such as ``rules[*].status`` names an input of the SDK's."""
    properties: dict[str, Property] = dict(resource.inputs)
    kind = None
    for step in re.findall(r"[^.\[\]*]+|\[\*\]", pattern):
        if step == "[*]":
            if not isinstance(kind, ListOf):
                return False
            kind = kind.item
            continue
        if isinstance(kind, MapOf):
            return True
        if kind is not None:
            if not isinstance(kind, ObjectOf):
                return False
            properties = dict(kind.properties)
        if step not in properties:
            return False
        kind = properties[step].type
    return True


def patterns(token: str) -> Iterator[str]:
    known, resource = described(token), AWS.resource(token)
    assert resource is not None
    yield from known.replaces - (set() if "region" in resource.inputs else {"region"})
    yield from known.unordered
    yield from known.cidr
    yield from known.values
    yield from known.needs
    yield from known.unknown


@pytest.mark.parametrize("token", TOKENS)
def test_every_path_is_an_input_of_the_sdk(token: str) -> None:
    resource = AWS.resource(token)
    assert resource is not None
    computed = {"vpcConfig.clusterSecurityGroupId", "vpcConfig.vpcId"}
    assert [path for path in patterns(token) if path not in computed and not exists(resource, path)] == []


@pytest.mark.parametrize("token", TOKENS)
def test_every_default_is_an_output_of_the_sdk(token: str) -> None:
    resource, known = AWS.resource(token), described(token)
    assert resource is not None
    assert {*known.defaults, *known.computed} <= resource.outputs | set(resource.inputs)


@pytest.mark.parametrize("token", TOKENS)
def test_what_identifies_a_resource_cannot_change_in_place(token: str) -> None:
    resource, known = AWS.resource(token), described(token)
    assert resource is not None
    identity = {name for name in re.findall(r"\{(\w+)(?::\w+)?\}", known.id) if name in resource.inputs}
    assert identity <= known.replaces


def test_every_described_type_has_a_kind() -> None:
    assert set(_MODULES) == set(TOKENS)
    for place in _MODULES.values():
        module, name = place.split(":")
        assert hasattr(import_module(f"local.providers.aws.{module}"), name)


def test_values_say_where_they_come_from() -> None:
    for token, entry in entries().items():
        assert entry["source"], token
        for path, rule in entry.get("values", {}).items():
            assert rule["source"], (token, path)
            assert rule["allowed"], (token, path)


def test_zones_of_a_region() -> None:
    assert regions.zones("us-east-1") == [f"us-east-1{letter}" for letter in "abcdef"]
    assert len(regions.zones("eu-central-1")) == 3
    assert regions.zones("us-middle-1") == []
    assert all(len(regions.zones(region)) == len(regions.zone_ids(region)) for region in regions.regions())


def test_versions_of_eks_are_newest_first() -> None:
    versions = eks.facts()["versions"]
    assert versions == sorted(versions, key=eks.release, reverse=True)
