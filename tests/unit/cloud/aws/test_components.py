"""What every component of AWS promises."""

from typing import Any

import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from pydantic import BaseModel

from llm_serving.cloud import aws as ours
from llm_serving.cloud.aws.cluster import AwsClusterInputs
from llm_serving.cloud.aws.gpu_pools import AwsGpuPoolInputs
from llm_serving.cloud.aws.identity import AwsWorkloadIdentityInputs
from llm_serving.cloud.aws.model_cache import AwsModelCacheInputs, AwsModelVolumeInputs
from llm_serving.cloud.aws.network import AwsNetworkInputs
from llm_serving.cloud.aws.node_provisioner import AwsNodeProvisionerInputs
from llm_serving.cloud.aws.registry import AwsRegistryInputs
from local.providers.schema import Sdk, check
from tests.unit.cloud.aws import environment, nodes
from tests.unit.cloud.public_arguments import compare

EVERY_COMPONENT = {**environment.EVERY_COMPONENT, **nodes.EVERY_COMPONENT}

MODELS: list[tuple[Any, type[BaseModel]]] = [
    (ours.AwsClusterArgs, AwsClusterInputs),
    (ours.AwsModelCacheArgs, AwsModelCacheInputs),
    (ours.AwsModelVolumeArgs, AwsModelVolumeInputs),
    (ours.AwsNetworkArgs, AwsNetworkInputs),
    (ours.AwsGpuPoolArgs, AwsGpuPoolInputs),
    (ours.AwsNodeProvisionerArgs, AwsNodeProvisionerInputs),
    (ours.AwsRegistryArgs, AwsRegistryInputs),
    (ours.AwsWorkloadIdentityArgs, AwsWorkloadIdentityInputs),
]
every_component = pytest.mark.parametrize("name", EVERY_COMPONENT)


@pytest.mark.parametrize(("public", "inner"), MODELS, ids=[public.__name__ for public, _ in MODELS])
def test_public_arguments_and_inner_model_have_the_same_fields(public: Any, inner: type[BaseModel]) -> None:
    compare(public, inner, public.__name__)


@every_component
def test_aws_sdk_knows_every_input_at_any_depth(name: str) -> None:
    sdk = Sdk("pulumi_aws")
    for resource in EVERY_COMPONENT[name](False):
        if resource.type.startswith("aws:"):
            known = sdk.resource(resource.type)
            assert known is not None, resource.type
            mistakes, warnings = check(known.inputs, resource.inputs)
            assert (list(mistakes), list(warnings)) == ([], []), resource.urn


def test_other_languages_can_call_every_component() -> None:
    components = [getattr(ours, name) for name in EVERY_COMPONENT]
    assert set(Analyzer("llm-serving").analyze(components)["component_definitions"]) == set(EVERY_COMPONENT)


@every_component
def test_every_child_belongs_to_its_component(name: str) -> None:
    recording = EVERY_COMPONENT[name](False)
    component = recording.one(f"llm-serving:index:{name}")
    others = [r for r in recording if r is not component and not r.type.startswith("pulumi:providers:")]
    assert others
    assert {r.parent for r in others} == {component.urn}


@every_component
def test_every_declared_output_is_registered(name: str) -> None:
    recording = EVERY_COMPONENT[name](False)
    declared = Analyzer("llm-serving").analyze([getattr(ours, name)])["component_definitions"][name].outputs
    registered = recording.outputs[recording.one(f"llm-serving:index:{name}").urn]
    assert set(registered) == set(declared)
    assert all(value not in (None, "", [], {}) for value in registered.values())


@every_component
def test_nothing_that_a_component_tells_is_secret(name: str) -> None:
    recording = EVERY_COMPONENT[name](False)
    assert not recording.secret_paths
    assert not any(recording.secret_outputs.values())


@every_component
def test_a_preview_comes_through_although_nothing_exists_yet(name: str) -> None:
    assert EVERY_COMPONENT[name](True).descendants()


@every_component
def test_whatever_can_have_tags_has_them(name: str) -> None:
    sdk = Sdk("pulumi_aws")
    for resource in EVERY_COMPONENT[name](False):
        known = sdk.resource(resource.type) if resource.type.startswith("aws:") else None
        if known is not None and "tags" in known.inputs:
            assert resource["tags"]["owner"] == "platform", resource.urn
