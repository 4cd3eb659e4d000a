import inspect
import subprocess
import sys
import typing

import pulumi
import pytest
from pulumi_gcp.storage import BucketArgs

from local.providers.properties import UNKNOWN, Secret
from local.providers.schema import ListOf, MapOf, ObjectOf, Scalar, Sdk, check

GCP = Sdk("pulumi_gcp")
KUBERNETES = Sdk("pulumi_kubernetes")
POOL = "gcp:container/nodePool:NodePool"


def problems(token: str, inputs: dict[str, typing.Any], sdk: Sdk = GCP) -> list[str]:
    resource = sdk.resource(token)
    assert resource is not None
    return [str(problem) for problem in check(resource.inputs, inputs)[0]]


def test_every_mistake_is_named_with_its_path_at_once() -> None:
    messages = problems(
        POOL,
        {
            "clustr": "demo",
            "initialNodeCount": 1.5,
            "nodeConfig": {
                "machineTyp": "e2-standard-4",
                "diskSizeGb": "100",
                "labels": {"team": 3},
                "taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}, {"key": "c", "value": "d"}],
            },
        },
    )
    assert messages == [
        "clustr = 'demo': unknown property (try: cluster)",
        "cluster: required, but not given",
        "initialNodeCount = 1.5: expected an integer, not a number",
        "nodeConfig.machineTyp = 'e2-standard-4': unknown property (try: machineType, imageType)",
        "nodeConfig.diskSizeGb = '100': expected an integer, not a string",
        "nodeConfig.labels.team = 3: expected a string, not a number",
        "nodeConfig.taints[1].effect: required, but not given",
    ]


def test_a_key_in_pythons_spelling_is_refused_with_the_right_one() -> None:
    assert problems(POOL, {"cluster": "c", "node_config": {}}) == ["node_config: unknown property (try: nodeConfig)"]


def test_values_of_an_enumeration_are_read_from_the_sdks_documentation() -> None:
    assert problems("gcp:compute/network:Network", {"routingMode": "REGIONL"}) == [
        "routingMode = 'REGIONL': not one of the values that are known (try: REGIONAL)"
    ]


def test_enumerations_of_the_sdk_are_checked() -> None:
    messages = problems("kubernetes:core/v1:Service", {"spec": {"type": "LoadBalancr"}}, KUBERNETES)
    assert messages == ["spec.type = 'LoadBalancr': not one of the values that are known (try: LoadBalancer)"]


def test_a_union_takes_any_of_its_types() -> None:
    for port in (8000, "http"):
        ports = [{"port": 80, "targetPort": port}]
        assert problems("kubernetes:core/v1:Service", {"spec": {"ports": ports}}, KUBERNETES) == []
    assert problems("kubernetes:core/v1:Service", {"spec": {"ports": [{"port": 80, "targetPort": True}]}}, KUBERNETES)


def test_what_is_not_known_yet_passes_anywhere() -> None:
    assert problems(POOL, {"cluster": UNKNOWN, "nodeConfig": UNKNOWN, "nodeLocations": [UNKNOWN]}) == []
    assert problems(POOL, {"cluster": Secret(UNKNOWN), "autoscaling": {"maxNodeCount": UNKNOWN}}) == []


def test_secrets_are_checked_and_not_shown() -> None:
    assert problems(POOL, {"cluster": "c", "nodeConfig": {"diskSizeGb": Secret("hunter2")}}) == [
        "nodeConfig.diskSizeGb: expected an integer, not a string"
    ]
    assert problems("gcp:compute/network:Network", {"routingMode": Secret("hunter2")}) == [
        "routingMode: not one of the values that are known (try: GLOBAL, REGIONAL)"
    ]


def test_deprecated_properties_warn_with_the_sdks_own_words() -> None:
    resource = GCP.resource("gcp:container/cluster:Cluster")
    assert resource is not None
    mistakes, warnings = check(resource.inputs, {"binaryAuthorization": {"enabled": True}})
    assert not mistakes
    assert warnings == ["binaryAuthorization.enabled is deprecated: Deprecated in favor of evaluation_mode."]


def test_reading_the_source_agrees_with_importing_it() -> None:
    """The properties of one class, by both ways."""
    read = GCP.resource("gcp:storage/bucket:Bucket")
    assert read is not None
    parameters = inspect.signature(BucketArgs.__init__).parameters
    imported = {
        pulumi_name: parameters[name].default is inspect.Parameter.empty
        for name, pulumi_name in pulumi._types.input_type_py_to_pulumi_names(BucketArgs).items()
    }
    assert {name: item.required for name, item in read.inputs.items()} == imported
    assert read.inputs["labels"].type == MapOf(Scalar("string"))
    assert isinstance(read.inputs["versioning"].type, ObjectOf)
    assert isinstance(read.inputs["lifecycleRules"].type, ListOf)
    assert read.secret_outputs == {"effectiveLabels", "pulumiLabels"}
    assert "url" in read.computed


@pytest.mark.parametrize("sdk", [GCP, KUBERNETES], ids=lambda sdk: sdk.package)
def test_every_resource_of_the_sdk_can_be_read(sdk: Sdk) -> None:
    """One of thirty: all of them take a while."""
    for token in sdk.tokens()[::30]:
        resource = sdk.resource(token)
        assert resource is not None
        assert resource.outputs, token


def test_functions_know_their_arguments_and_results() -> None:
    function = GCP.function("gcp:container/getEngineVersions:getEngineVersions")
    assert function is not None
    assert set(function.inputs) == {"location", "project", "versionPrefix"}
    assert "validMasterVersions" in function.outputs
    assert GCP.function("gcp:compute/getNothing:getNothing") is None
    assert GCP.resource("gcp:compute/nothing:Nothing") is None


def test_the_sdk_is_never_imported_for_a_check() -> None:
    script = (
        "import sys; from local.providers.schema import Sdk; "
        "Sdk('pulumi_gcp').resource('gcp:compute/subnetwork:Subnetwork'); "
        "assert not [m for m in sys.modules if m.startswith('pulumi_gcp.')], sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
