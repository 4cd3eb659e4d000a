import json
import re
from functools import cache

import grpc
import pytest
from pulumi.output import Unknown
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType

from llm_serving.plugin import SCHEMA, Host, public_components, schema
from tests.unit.plugin.engine import UNKNOWN, RefusedError, output, secret
from tests.unit.plugin.wire import EVERY_COMPONENT, POOL_URN, camel
from tests.unit.serving.served import RELEASE, SCHEDULING


@cache
def declared_resources():
    """Reading the types of all components takes some tenths of a second, and they do not change."""
    return json.loads(schema())["resources"]


def declared_outputs(component):
    return declared_resources()[f"llm-serving:index:{component}"]["properties"]


UNKNOWN_QUANTIZATION = {**camel(RELEASE), "quantization": "fp7"}


def with_changes(component, **changes):
    return {**EVERY_COMPONENT[component], **changes}


def with_nested_changes(component, key, **changes):
    return with_changes(component, **{key: {**EVERY_COMPONENT[component][key], **changes}})


def refusal(plugin, component, inputs, **options):
    with pytest.raises(RefusedError) as caught:
        plugin.construct(component, inputs, **options)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT, caught.value.message
    return caught.value


def test_the_committed_schema_is_the_one_that_is_served(plugin):
    assert SCHEMA.read_text() == schema(), "run: python -m llm_serving.plugin schema"
    assert json.loads(plugin.schema()) == json.loads(SCHEMA.read_text())


def test_the_readme_lists_every_component_with_its_inputs_and_outputs():
    rows = [line for line in (SCHEMA.parent / "README.md").read_text().splitlines() if line.startswith("| `")]
    listed = {}
    for row in rows:
        component, inputs, outputs = [re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:4]]
        listed[component[0]] = (set(inputs), set(outputs))
    resources = json.loads(SCHEMA.read_text())["resources"]
    assert listed == {
        token.rsplit(":")[-1]: (
            {
                key if key in definition.get("requiredInputs", []) else f"{key}?"
                for key in definition["inputProperties"]
            },
            set(definition["properties"]),
        )
        for token, definition in resources.items()
    }


def test_every_public_component_is_tried_here():
    assert set(EVERY_COMPONENT) == {component.__name__ for component in public_components()}


@pytest.mark.parametrize("component", EVERY_COMPONENT)
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_every_component_can_be_constructed_with_outputs_of_others(plugin, component, preview):
    constructed = plugin.construct(component, EVERY_COMPONENT[component], preview=preview)
    assert constructed.urn == f"urn:pulumi:test::consumer::llm-serving:index:{component}::it"
    assert set(constructed.state) == set(declared_outputs(component))
    if not preview:
        assert UNKNOWN not in json.dumps(constructed.state)
    own = [resource for resource in constructed.recording if resource.urn != constructed.urn]
    assert all(constructed.urn.rsplit("::", 1)[0] in resource.parent for resource in own)


@pytest.mark.parametrize("component", EVERY_COMPONENT)
def test_every_component_can_be_previewed_before_anything_that_it_needs_exists(plugin, component):
    inputs = {
        key: output(known=False, dependencies=(POOL_URN,)) if is_output(value) else value
        for key, value in EVERY_COMPONENT[component].items()
    }
    constructed = plugin.construct(component, inputs, preview=True)
    assert set(constructed.state) <= set(declared_outputs(component))


def is_output(value):
    return isinstance(value, dict) and any(len(key) == 32 for key in value)


@pytest.mark.parametrize("component", EVERY_COMPONENT)
def test_an_unknown_key_is_refused_with_the_nearest_name(plugin, component):
    key = max(EVERY_COMPONENT[component], key=len)
    misspelt = key[:-1]
    error = refusal(plugin, component, with_changes(component, **{misspelt: "x"}))
    assert "unknown key" in error.reasons[misspelt]
    assert key in error.reasons[misspelt]


@pytest.mark.parametrize("component", EVERY_COMPONENT)
def test_a_missing_key_is_refused(plugin, component):
    required = declared_resources()[f"llm-serving:index:{component}"].get("requiredInputs", [])
    for key in required[:1]:
        inputs = {name: value for name, value in EVERY_COMPONENT[component].items() if name != key}
        assert refusal(plugin, component, inputs).reasons == {key: "required, but not given"}


CREDENTIALS = [
    ("TeamNamespace", {"imagePull": {"registry": "r.example.com", "password": "madeUp1"}}, "imagePull.password"),
    ("TeamNamespace", {"labels": {"owner": "glpat-madeUpMadeUpMadeUpMade"}}, "labels.owner"),
    ("TeamNamespace", {"hubTokn": "hf_madeUpMadeUpMadeUpMadeUp"}, "hubTokn"),
    ("ClusterAddons", {"prometheusUrl": "http://me:madeUp@prometheus.example.com"}, "prometheusUrl"),
    ("ModelService", {"egress": {"httpsProxy": "http://me:madeUp@10.0.0.1:3128"}}, "egress.httpsProxy"),
    ("ModelLoader", {"loader": {"tokenSecret": "hf_madeUpMadeUpMadeUpMadeUp"}}, "loader.tokenSecret"),
    ("Gateway", {"labels": {"owner": "glpat-madeUpMadeUpMadeUpMade"}}, "labels.owner"),
    ("ExistingCluster", {"context": "clusters: []\nusers: [{user: {token: madeUp}}]"}, "context"),
]  # fmt: skip


@pytest.mark.parametrize(("component", "arguments", "path"), CREDENTIALS)
def test_a_credential_in_plain_text_is_refused_and_not_repeated(plugin, component, arguments, path):
    error = refusal(plugin, component, {**EVERY_COMPONENT[component], **arguments})
    assert set(error.reasons) == {path}
    assert "in plain text" in error.reasons[path]
    assert "madeUp" not in error.message + str(error.reasons)


def test_a_credential_may_be_an_input_that_pulumi_keeps_secret(plugin):
    for token in (secret("hf_madeUpMadeUpMadeUpMadeUp"), "hf_madeUpMadeUpMadeUpMadeUp"):
        assert plugin.construct("TeamNamespace", with_changes("TeamNamespace", hubToken=token)).state["namespace"]


WRONG = [
    ("GcpNetwork", with_changes("GcpNetwork", name=7), "name"),
    ("GcpNetwork", with_nested_changes("GcpNetwork", "ranges", nodes="10.0.0.1/22"), "ranges.nodes"),
    ("GcpNetwork", with_nested_changes("GcpNetwork", "ranges", node="10.0.0.0/22"), "ranges.node"),
    ("GcpCluster", with_nested_changes("GcpCluster", "cluster", zones="us-central1-a"), "cluster.zones"),
    ("GcpCluster", with_nested_changes("GcpCluster", "cluster", systemPool={"min": 1.5}), "cluster.systemPool.min"),
    ("GcpCluster", with_nested_changes("GcpCluster", "cluster", regional="yes"), "cluster.regional"),
    (
        "GcpGpuPool",
        with_nested_changes("GcpGpuPool", "pool", capacity=[{"market": "spot"}]),
        "pool.capacity[0].machineType",
    ),
    (
        "GcpGpuPool",
        with_nested_changes(
            "GcpGpuPool", "pool", capacity=[{"market": "cheap", "machineType": "g2-standard-12", "max": 1}]
        ),
        "pool.capacity[0].market",
    ),
    ("GcpModelCache", with_nested_changes("GcpModelCache", "cache", softDeleteDays="7"), "cache.softDeleteDays"),
    ("GcpRegistry", with_changes("GcpRegistry", readers=[4]), "readers[0]"),
    ("GcpWorkloadIdentity", with_changes("GcpWorkloadIdentity", role="owner"), "role"),
    ("ExistingCluster", with_changes("ExistingCluster", context="elsewhere"), "context"),
    ("ExistingModelCache", {"claim": "Not A Claim"}, "claim"),
    ("ExistingPool", with_nested_changes("ExistingPool", "pool", cpu=0), "pool.cpu"),
    (
        "ExistingPool",
        with_nested_changes("ExistingPool", "pool", tolerations=[{"keys": "gpu"}]),
        "pool.tolerations[0].keys",
    ),
    ("ExistingWorkloadIdentity", with_changes("ExistingWorkloadIdentity", namespace=True), "namespace"),
    ("ExistingModelCache", with_nested_changes("ExistingModelCache", "storage", sizeGib=0), "storage.sizeGib"),
    ("ExistingCluster", with_changes("ExistingCluster", clients=["10.0.0.1/8"]), "clients[0]"),
    ("ModelLoader", with_nested_changes("ModelLoader", "loader", source="ftp://x"), "loader.source"),
    ("ModelLoader", with_changes("ModelLoader", cache=output({"volume": {}})), "cache.loaderVolume"),
    ("Gateway", with_nested_changes("Gateway", "gateway", replicas={"min": 0}), "gateway.replicas.min"),
    ("Gateway", with_nested_changes("Gateway", "gateway", keyz=[]), "gateway.keyz"),
    ("Gateway", with_changes("Gateway", reach=output({"gatewaySource": []})), "reach.gatewaySource"),
    ("TeamNamespace", with_changes("TeamNamespace", gpuQuota=-1), "gpuQuota"),
    ("TeamNamespace", with_changes("TeamNamespace", team="chat"), "team"),
    ("TeamNamespace", with_changes("TeamNamespace", labels={"a": 1}), "labels.a"),
    ("ModelService", with_nested_changes("ModelService", "model", tensorParallelism=64), "model.tensorParallelism"),
    ("ModelService", with_nested_changes("ModelService", "model", replicas="two"), "model.replicas"),
    ("ModelService", with_nested_changes("ModelService", "model", drain={"preStop": 4}), "model.drain.preStop"),
    (
        "ModelService",
        with_changes("ModelService", releases=[{**camel(RELEASE), "quantization": "fp7"}]),
        "releases[0].quantization",
    ),
    ("ModelService", with_changes("ModelService", scheduling=output({**SCHEDULING, "pool": "l4"})), "scheduling.pool"),
    (
        "ModelService",
        with_changes("ModelService", scheduling={**SCHEDULING, "gpusPerNode": "x"}),
        "scheduling.gpusPerNode",
    ),
]


@pytest.mark.parametrize(("component", "inputs", "path"), WRONG, ids=[f"{c}-{p}" for c, _, p in WRONG])
def test_what_is_wrong_is_refused_with_its_path(plugin, component, inputs, path):
    assert path in refusal(plugin, component, inputs).reasons


def test_everything_that_is_wrong_is_said_at_once(plugin):
    inputs = {"teams": {}, "gpuQuota": "four", "gpuResource": 1}
    assert set(refusal(plugin, "TeamNamespace", inputs).reasons) == {"teams", "team", "gpuQuota", "gpuResource"}


NOT_PLAIN = [
    ("ModelService", with_changes("ModelService", model=output(EVERY_COMPONENT["ModelService"]["model"])), "model"),
    ("ModelService", with_changes("ModelService", model=UNKNOWN), "model"),
    ("ModelService", with_nested_changes("ModelService", "model", replicas=output(2)), "model.replicas"),
    ("ModelService", with_nested_changes("ModelService", "node", accelerator=output(known=False)), "node.accelerator"),
    ("ModelService", with_changes("ModelService", labels={"a": output("b")}), "labels.a"),
    ("TeamNamespace", with_changes("TeamNamespace", gpuQuota=output(4)), "gpuQuota"),
    ("TeamNamespace", with_changes("TeamNamespace", gpuQuota=UNKNOWN), "gpuQuota"),
    ("TeamNamespace", with_changes("TeamNamespace", team=secret({"name": "chat"})), "team"),
    ("GcpCluster", with_changes("GcpCluster", cluster=output(EVERY_COMPONENT["GcpCluster"]["cluster"])), "cluster"),
    ("GcpGpuPool", with_changes("GcpGpuPool", zones=output(["us-central1-a"])), "zones"),
    ("GcpNetwork", with_changes("GcpNetwork", name=output("serving")), "name"),
]


@pytest.mark.parametrize(("component", "inputs", "path"), NOT_PLAIN, ids=[f"{c}-{p}" for c, _, p in NOT_PLAIN])
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_an_output_where_only_a_plain_value_works_is_refused_instead_of_lost(plugin, component, inputs, path, preview):
    assert "plain value" in refusal(plugin, component, inputs, preview=preview).reasons[path]


def test_an_output_that_the_sdk_would_take_apart_is_refused_even_where_outputs_are_allowed():
    integer = PropertyDefinition(type=PropertyType.INTEGER)
    nested = PropertyDefinition(ref="#/types/llm-serving:index:TeamArgs")
    text = PropertyDefinition(type=PropertyType.STRING)
    problems = Host().problems(dict.fromkeys(("a", "b", "c"), Unknown()), {"a": integer, "b": nested, "c": text})
    assert [problem.path for problem in problems] == ["a", "b"]


def test_an_older_engine_that_sends_values_and_dependencies_apart_is_refused_alike(plugin):
    inputs = with_changes("TeamNamespace", gpuQuota=4)
    error = refusal(plugin, "TeamNamespace", inputs, dependencies={"gpuQuota": [POOL_URN]})
    assert "plain value" in error.reasons["gpuQuota"]


def test_an_output_keeps_its_dependencies_on_the_way_through(plugin):
    constructed = plugin.construct("ModelService", EVERY_COMPONENT["ModelService"])
    deployment = constructed.recording.one("kubernetes:apps/v1:Deployment")
    assert POOL_URN in deployment.dependencies
    assert deployment["spec.template.spec.nodeSelector"] == SCHEDULING["nodeSelector"]


def test_free_keys_of_maps_are_left_as_they_are(plugin):
    constructed = plugin.construct("ModelService", EVERY_COMPONENT["ModelService"])
    account = constructed.recording.one("kubernetes:core/v1:ServiceAccount")
    assert account["metadata.labels"]["llm-serving.example/environment"] == "test"


def test_secrets_stay_secret_on_the_way_through(plugin):
    constructed = plugin.construct("ExistingCluster", EVERY_COMPONENT["ExistingCluster"])
    assert "hunter2" in constructed.state["kubeconfig"]
    assert constructed.secrets == {"kubeconfig"}


def test_a_secret_never_stands_in_a_refusal(plugin):
    kubeconfig = output("token: hunter2", secret=True)
    error = refusal(plugin, "ExistingCluster", {"kubeconfig": kubeconfig, "contextt": secret("hunter2")})
    assert "hunter2" not in error.message + str(error.reasons)
    error = refusal(plugin, "ExistingCluster", {"kubeconfig": kubeconfig})
    assert "hunter2" not in error.message + str(error.reasons)


def test_a_refusal_leaves_the_plugin_able_to_serve(plugin):
    inputs = with_changes("ModelService", scheduling=output({**SCHEDULING, "pool": "l4"}))
    refusal(plugin, "ModelService", inputs)
    plugin.construct("ModelService", EVERY_COMPONENT["ModelService"])


def test_a_component_that_does_not_exist_is_refused_with_the_nearest_name(plugin):
    assert "TeamNamespace" in refusal(plugin, "TeamNamespaces", {}).message
