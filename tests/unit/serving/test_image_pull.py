import base64
import json
from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.addons.cluster_addons import ClusterAddons
from llm_serving.serving import CompileCache, ModelLoader, ModelService, TeamNamespace
from tests.unit.recording import Recording, record
from tests.unit.serving.manifests import assert_valid
from tests.unit.serving.served import CACHE, IDENTITY, MODEL, NODE, RELEASE, SCHEDULING, arguments, serve

MADE = {"registry": "registry.example.com", "username": "robot"}
PASSWORD = "pa:ss"
EXISTING = {"secret_names": ["regcred", "mirror.example.com"]}
WRITABLE = {**CACHE, "loaderVolume": {"persistentVolumeClaim": {"claimName": "weights"}}}
LAUNCHED = {**RELEASE, "image": {"repository": "registry.example.com/vllm", "tag": "0.32.0", "launcher": True}}
ADAPTER = {"name": "sql", "repository": "a/sql", "revision": "1" * 40, "rank": 16}
LOADER = {"image": {"repository": "registry.example.com/loader", "tag": "1.0.0"}}
GROUP = {**MODEL, "name": "wide", "tensor_parallelism": 2, "engine": {"nodes": 2, "pipeline_parallelism": 2}}


def everything(image_pull: dict[str, Any], **password: Any) -> Recording:
    """Every kind of pod that this package makes, and every chart."""
    scheduling, common = SCHEDULING, {"namespace": "chat", "image_pull": image_pull}

    def program() -> None:
        credentials: dict[str, Any] = {"image_pull": image_pull, **password}
        addons: Any = {"keda": True, "monitoring": True, "leader_worker_set": True, **credentials}
        addons |= {"dcgm_exporter": True, "gpu_nodes": [{"node_selector": {"gpu": "l4"}}]}
        team: Any = {"team": {"name": "chat"}, "gpu_quota": 4, **credentials}
        ClusterAddons("addons", addons)
        TeamNamespace("chat", team)
        ModelLoader(
            "load",
            {
                "release": {**RELEASE, "adapters": [ADAPTER]},
                "team": "chat",
                "loader": LOADER,
                "cache": WRITABLE,
                "scheduling": scheduling,
                **common,
            },  # type: ignore[typeddict-item]
        )
        CompileCache(
            "compile",
            {
                "model": {**MODEL, "compile_cache": True},
                "release": LAUNCHED,
                "node": NODE,
                "cache": WRITABLE,
                "scheduling": scheduling,
                "identity": IDENTITY,
                **common,
            },  # type: ignore[typeddict-item]
        )
        based = {"replicas": 2, "on_demand_base": 1, "warm_pool": {"placeholders": 1}}
        model: Any = arguments(model=based, loader=LOADER, image_pull=image_pull)
        wide: Any = arguments(release={"name": "wide"}, model=GROUP, image_pull=image_pull)
        ModelService("qwen3-8b", model)
        ModelService("wide", wide)

    return record(program)


def pod_specs(value: Any) -> list[dict[str, Any]]:
    """Every pod template of an object, wherever it is."""
    if isinstance(value, list):
        return [spec for item in value for spec in pod_specs(item)]
    if not isinstance(value, dict):
        return []
    if "containers" in value:
        return [value]
    return [spec for item in value.values() for spec in pod_specs(item)]


@pytest.mark.parametrize(
    ("image_pull", "password", "names"),
    [
        (MADE, {"image_pull_password": PASSWORD}, ["llm-serving-image-pull"]),
        (EXISTING, {}, ["regcred", "mirror.example.com"]),
    ],
)
def test_no_pod_and_no_chart_is_left_without_credentials(image_pull, password, names):
    recording = everything(image_pull, **password)
    references = [{"name": name} for name in names]
    specs = {resource.urn: pod_specs(resource.inputs) for resource in recording if pod_specs(resource.inputs)}
    kinds = {recording.by_urn(urn).type.rpartition(":")[2] for urn in specs}
    assert kinds == {"Deployment", "Job", "LeaderWorkerSet"}
    assert max(len(pods) for pods in specs.values()) == 2, "leader and worker"
    for name, pods in specs.items():
        assert all(spec.get("imagePullSecrets") == references for spec in pods), name
    charts = {release.name: release["values"] for release in recording.all("helm.sh/v3:Release")}
    assert charts["addons-keda"]["imagePullSecrets"] == charts["addons-lws"]["imagePullSecrets"] == references
    assert charts["addons-monitoring"]["global"] == {"imagePullSecrets": references}


def test_nodes_that_need_no_credentials_are_shown_none():
    recording = serve()
    assert all("imagePullSecrets" not in spec for resource in recording for spec in pod_specs(resource.inputs))


def test_the_secret_is_made_in_each_namespace_before_its_pods_and_never_in_the_clear():
    recording = everything(MADE, image_pull_password=PASSWORD)
    secrets = recording.all("kubernetes:core/v1:Secret")
    namespaces = {namespace["metadata.name"] for namespace in recording.all("kubernetes:core/v1:Namespace")}
    assert (
        {secret["metadata.namespace"] for secret in secrets}
        == namespaces
        == {"chat", "monitoring", "keda"} | {"lws-system", "dcgm-exporter"}
    )
    for secret in secrets:
        assert secret["type"] == "kubernetes.io/dockerconfigjson"
        assert secret.secret_paths == {"stringData"}
        credentials = json.loads(secret["stringData"][".dockerconfigjson"])["auths"]["registry.example.com"]
        assert credentials["username"] == "robot"
        assert base64.b64decode(credentials["auth"]).decode() == f"robot:{PASSWORD}"
    for release in recording.all("helm.sh/v3:Release"):
        (secret,) = [secret for secret in secrets if secret["metadata.namespace"] == release["namespace"]]
        assert recording.depends_on(release, secret)
    others = [resource for resource in recording if resource not in secrets]
    assert PASSWORD not in str([resource.inputs for resource in others if not resource.type.startswith("llm-serving")])


def test_secrets_that_are_there_are_not_made():
    assert not everything(EXISTING).all("kubernetes:core/v1:Secret")


def test_the_secret_is_valid_for_kubernetes():
    arguments = {"team": {"name": "chat"}, "gpu_quota": 4, "image_pull": MADE, "image_pull_password": PASSWORD}
    assert_valid(record(lambda: TeamNamespace("chat", arguments)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image_pull", "password", "path", "reason"),
    [
        ({**MADE, **EXISTING}, PASSWORD, "imagePull.registry", "beside secretNames"),
        ({}, None, "imagePull.registry", "required where no secretNames are given"),
        ({"registry": "registry.example.com"}, PASSWORD, "imagePull.username", "required"),
        ({**EXISTING, "username": "robot"}, None, "imagePull.username", "without meaning"),
        ({"secret_names": ["Reg_Cred"]}, None, "imagePull.secretNames[0]", "not a name that Kubernetes accepts"),
        ({**MADE, "registry": "https://registry.example.com"}, PASSWORD, "imagePull.registry", "no scheme"),
        ({**MADE, "username": "a:b"}, PASSWORD, "imagePull.username", "no colon"),
        (MADE, None, "imagePullPassword", "required"),
        (EXISTING, PASSWORD, "imagePullPassword", "without meaning"),
        (None, PASSWORD, "imagePullPassword", "without meaning"),
    ],
)
def test_what_cannot_work_is_refused(image_pull, password, path, reason):
    inputs = {"image_pull": image_pull, "image_pull_password": password}
    inputs = {key: value for key, value in inputs.items() if value is not None}
    for make, more in ((TeamNamespace, {"team": {"name": "chat"}, "gpu_quota": 4}), (ClusterAddons, {})):
        with pytest.raises(InputPropertiesError) as caught:
            record(lambda make=make, more=more: make("it", {**more, **inputs}))  # type: ignore[arg-type]
        reasons = {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}
        assert reason in reasons[path]
        assert PASSWORD not in str(caught.value)
