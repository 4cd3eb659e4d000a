"""The data files say nothing that the SDK does not know."""

import re
from collections.abc import Iterator
from importlib import import_module

import pytest
import yaml

from local.providers.gcp import locations
from local.providers.gcp.cloud import SDK
from local.providers.gcp.kinds import _MODULES
from local.providers.gcp.types import _entries, described
from local.providers.schema import ListOf, MapOf, ObjectOf, Property, ResourceType, Sdk

GCP = Sdk(SDK)
TOKENS = sorted(_entries())


def exists(resource: ResourceType, pattern: str) -> bool:
    """Whether a pattern such as ``rules[*].range`` names an input of the SDK's."""
    properties: dict[str, Property] = dict(resource.inputs)
    steps = re.findall(r"[^.\[\]*]+|\[\*\]", pattern)
    kind = None
    for step in steps:
        if step == "[*]":
            if not isinstance(kind, ListOf):
                return False
            kind = kind.item
        else:
            if kind is not None:
                if isinstance(kind, MapOf):
                    return True
                if not isinstance(kind, ObjectOf):
                    return False
                properties = dict(kind.properties)
            if step not in properties:
                return False
            kind = properties[step].type
    return True


def patterns(token: str) -> Iterator[str]:
    known = described(token)
    yield from known.replaces
    yield from known.replaces_when_disabled
    yield from known.unordered
    yield from known.rfc1035
    yield from known.cidr
    yield from known.upper
    yield from known.values
    yield from known.needs


@pytest.mark.parametrize("token", TOKENS)
def test_every_path_is_an_input_of_the_sdk(token: str) -> None:
    resource = GCP.resource(token)
    assert resource is not None
    assert [pattern for pattern in patterns(token) if not exists(resource, pattern)] == []


@pytest.mark.parametrize("token", TOKENS)
def test_every_output_that_is_computed_exists_in_the_sdk(token: str) -> None:
    resource, known = GCP.resource(token), described(token)
    assert resource is not None
    named = {*known.defaults, *known.computed, *known.numbers, *(path.split(".")[0] for path in known.unknown)}
    assert named <= resource.outputs | set(resource.inputs)
    if known.name_property in resource.inputs and not resource.inputs[known.name_property].required:
        assert known.name_limit >= 30


@pytest.mark.parametrize("token", TOKENS)
def test_types_that_others_refer_to_are_described(token: str) -> None:
    known = described(token)
    for user in known.used_by:
        other = GCP.resource(user.type)
        assert other is not None
        assert exists(other, user.property), user
    assert set(known.needs.values()) <= set(TOKENS)


@pytest.mark.parametrize("token", TOKENS)
def test_what_identifies_a_resource_cannot_change_in_place(token: str) -> None:
    resource, known = GCP.resource(token), described(token)
    assert resource is not None
    identity = {name for name in re.findall(r"\{(\w+)(?::\w+)?\}", known.id) if name in resource.inputs}
    # A record set is addressed by its type, which the API can change: the provider deletes and adds in one call.
    assert identity - {"type"} <= known.replaces


def test_kinds_exist_for_described_types_only() -> None:
    for token, place in _MODULES.items():
        assert token in TOKENS
        module, name = place.split(":")
        assert hasattr(import_module(f"local.providers.gcp.{module}"), name)


def test_values_say_where_they_come_from() -> None:
    for token, entry in _entries().items():
        assert entry["source"], token
        for path, rule in entry.get("values", {}).items():
            assert rule["source"], (token, path)
            assert rule["allowed"], (token, path)


def test_definitions_of_custom_resources_are_closed() -> None:
    """A definition that lets unknown fields through would hide misspelt ones."""
    for file in (locations.DATA.parent / "crds").glob("*.yaml"):
        for crd in yaml.safe_load_all(file.read_text()):
            assert crd["kind"] == "CustomResourceDefinition"
            spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            assert "x-kubernetes-preserve-unknown-fields" not in spec
            assert spec["properties"]


def test_zones_and_regions_are_told_apart() -> None:
    assert locations.zones("us-central1") == [f"us-central1-{letter}" for letter in "abcf"]
    assert locations.region_of("europe-west4-a") == locations.region_of("europe-west4") == "europe-west4"
    assert locations.is_zone("us-east1-b")
    assert not locations.is_zone("us-east1")
    assert locations.exists("us-east1-b")
    assert not locations.exists("us-east1-a")
    assert not locations.exists("us-middle1")
