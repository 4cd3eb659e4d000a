"""What every component of Google Cloud promises."""

from typing import Any

import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from pydantic import BaseModel

from llm_serving.cloud import gcp as ours
from llm_serving.cloud.gcp.cluster import GcpClusterInputs
from llm_serving.cloud.gcp.gpu_pools import GcpGpuPoolInputs
from llm_serving.cloud.gcp.identity import GcpWorkloadIdentityInputs
from llm_serving.cloud.gcp.model_cache import GcpModelCacheInputs
from llm_serving.cloud.gcp.network import GcpNetworkInputs
from llm_serving.cloud.gcp.registry import GcpRegistryInputs
from tests.unit.cloud.gcp.environment import EVERY_COMPONENT
from tests.unit.cloud.public_arguments import compare

MODELS: list[tuple[Any, type[BaseModel]]] = [
    (ours.GcpNetworkArgs, GcpNetworkInputs),
    (ours.GcpClusterArgs, GcpClusterInputs),
    (ours.GcpGpuPoolArgs, GcpGpuPoolInputs),
    (ours.GcpModelCacheArgs, GcpModelCacheInputs),
    (ours.GcpRegistryArgs, GcpRegistryInputs),
    (ours.GcpWorkloadIdentityArgs, GcpWorkloadIdentityInputs),
]

COMPONENTS = [getattr(ours, name) for name in EVERY_COMPONENT]


@pytest.mark.parametrize(("public", "inner"), MODELS, ids=[public.__name__ for public, _ in MODELS])
def test_public_arguments_and_inner_model_have_the_same_fields(public: Any, inner: type[BaseModel]) -> None:
    compare(public, inner, public.__name__)


def test_other_languages_can_call_every_component() -> None:
    analysis = Analyzer("llm-serving").analyze(COMPONENTS)
    assert set(analysis["component_definitions"]) == set(EVERY_COMPONENT)


@pytest.mark.parametrize("name", EVERY_COMPONENT)
def test_every_child_belongs_to_its_component(name: str) -> None:
    recording = EVERY_COMPONENT[name]()
    component = recording.one(f"llm-serving:index:{name}")
    others = [r for r in recording if r is not component and not r.type.startswith("pulumi:providers:")]
    assert others
    assert {r.parent for r in others} == {component.urn}


@pytest.mark.parametrize("name", EVERY_COMPONENT)
def test_every_declared_output_is_registered(name: str) -> None:
    recording = EVERY_COMPONENT[name]()
    declared = Analyzer("llm-serving").analyze([getattr(ours, name)])["component_definitions"][name].outputs
    registered = recording.outputs[recording.one(f"llm-serving:index:{name}").urn]
    assert set(registered) == set(declared)
    assert all(value not in (None, "", [], {}) for value in registered.values())


@pytest.mark.parametrize("name", EVERY_COMPONENT)
def test_nothing_that_a_component_tells_is_secret(name: str) -> None:
    recording = EVERY_COMPONENT[name]()
    assert not recording.secret_paths
    assert not any(recording.secret_outputs.values())


@pytest.mark.parametrize("name", ["GcpNetwork", "GcpCluster", "GcpGpuPool", "GcpModelCache"])
def test_a_preview_comes_through_although_nothing_exists_yet(name: str) -> None:
    recording = EVERY_COMPONENT[name](preview=True)  # type: ignore[call-arg]
    assert recording.descendants()
