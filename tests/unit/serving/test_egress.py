from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.serving import CompileCache, ModelLoader, TeamNamespace
from llm_serving.serving.egress import ALWAYS_DIRECT, CA_FILE, CA_FOLDER
from llm_serving.spec.egress import EgressSpec
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid
from tests.unit.serving.served import CACHE, IDENTITY, MODEL, NODE, RELEASE, SCHEDULING, serve

SITE: dict[str, Any] = {
    "hub_endpoint": "https://hub.example.com",
    "https_proxy": "http://proxy.example.com:3128",
    "http_proxy": "http://10.9.9.9",
    "no_proxy": [".corp.example.com"],
    "addresses": ["10.1.2.0/28"],
    "ca_config_map": "corporate-ca",
}
PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
WRITABLE = {**CACHE, "loaderVolume": {"persistentVolumeClaim": {"claimName": "weights"}}}
ADAPTER = {"name": "sql", "repository": "a/sql", "revision": "1" * 40, "rank": 16}
LOADER = {"image": {"repository": "registry.example/loader", "tag": "1.0.0"}}
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


def team(egress: Any):
    arguments: Any = {"team": {"name": "chat"}, "gpu_quota": 4, "egress": egress}
    return record(lambda: TeamNamespace("chat", arguments))


def engine_pod(egress: Any) -> dict[str, Any]:
    recording = serve(egress=egress)
    assert_valid(recording)
    return recording.one("Deployment")["spec.template.spec"]


def pods(egress: Any) -> dict[str, Any]:
    """The pods of loader, compile cache and engine, of leader and worker."""
    common = {"namespace": "chat", "cache": WRITABLE, "scheduling": SCHEDULING, "egress": egress}
    load: Any = {"release": {**RELEASE, "adapters": [ADAPTER]}, "team": "chat", "loader": LOADER, **common}
    image = {**RELEASE["image"], "launcher": True}
    release = {**RELEASE, "image": image}
    compiled: Any = {"model": MODEL, "release": release, "node": NODE, "identity": IDENTITY, **common}
    wide = {"tensor_parallelism": 2, "engine": {"nodes": 2, "pipeline_parallelism": 2}}
    group = serve(model=wide, egress=egress).one("LeaderWorkerSet")["spec.leaderWorkerTemplate"]
    loader = record(lambda: ModelLoader("l", load))
    assert_valid(loader)
    return {
        "loader": loader.one("Job")["spec.template.spec"],
        "compile": record(lambda: CompileCache("c", compiled)).one("Job")["spec.template.spec"],
        "engine": engine_pod(egress),
        "leader": group["leaderTemplate"]["spec"],
        "worker": group["workerTemplate"]["spec"],
    }


def test_every_loader_and_engine_is_told_mirror_proxy_and_certificates():
    for name, pod in pods(SITE).items():
        containers = [*pod["containers"], *(pod.get("initContainers") or [])]
        assert len(containers) == (2 if name == "loader" else 1)
        (volume,) = [volume for volume in pod["volumes"] if volume.get("configMap") == {"name": "corporate-ca"}]
        for container in containers:
            variables = {variable["name"]: variable["value"] for variable in container["env"]}
            assert set(variables.pop("NO_PROXY").split(",")) == {*ALWAYS_DIRECT, ".corp.example.com"}, name
            assert variables.items() >= {
                ("HF_ENDPOINT", "https://hub.example.com"),
                ("HTTPS_PROXY", "http://proxy.example.com:3128"),
                ("HTTP_PROXY", "http://10.9.9.9"),
                ("SSL_CERT_FILE", CA_FILE),
                ("REQUESTS_CA_BUNDLE", CA_FILE),
            }
            mount = {"name": volume["name"], "mountPath": CA_FOLDER, "readOnly": True}
            assert mount in container["volumeMounts"], name


PROXY, MIRROR = "http://proxy.example.com:3128", "https://hub.corp.example.com"


@pytest.mark.parametrize(
    ("site", "ports"),
    [
        ({"https_proxy": PROXY}, (3128,)),
        ({"https_proxy": PROXY, "no_proxy": [".corp.example.com"]}, (443, 3128)),
        ({"http_proxy": PROXY}, (443, 3128)),
        ({"http_proxy": PROXY, "hub_endpoint": "http://hub.corp.example.com:8080"}, (3128,)),
    ],
    ids=["proxied", "an exception", "a proxy of the other scheme", "all in the clear"],
)
def test_a_mirror_that_no_proxy_stands_before_is_let_through_at_its_own_port(site, ports):
    egress = EgressSpec(**{"hub_endpoint": MIRROR, "addresses": ["10.1.2.0/28"], **site})
    assert egress.ports == ports


def test_the_cluster_the_api_server_and_the_metadata_server_are_never_asked_by_way_of_the_proxy():
    direct = {"169.254.169.254", "metadata.google.internal", "$(KUBERNETES_SERVICE_HOST)", ".svc", ".cluster.local"}
    assert direct <= set(ALWAYS_DIRECT)


def test_a_site_that_prescribes_nothing_changes_no_pod():
    (container,) = engine_pod(None)["containers"]
    assert not {"HF_ENDPOINT", "NO_PROXY", "SSL_CERT_FILE"} & {variable["name"] for variable in container["env"]}


def test_variables_of_the_site_are_not_the_users_to_set():
    mine = {"engine": {"environment": {"HTTPS_PROXY": "http://other:1"}}}
    with pytest.raises(InputPropertiesError, match=r"model.engine.environment.HTTPS_PROXY"):
        serve(egress=SITE, model=mine)
    serve(model=mine)


def test_network_policies_let_pods_through_to_the_site_alone():
    recording = team(SITE)
    assert_valid(recording)
    policy = recording.one(POLICY, "chat-way-out")
    (rule,) = policy["spec.egress"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == ["10.1.2.0/28", "10.9.9.9/32"]
    assert [port["port"] for port in rule["ports"]] == [80, 3128]
    (selected,) = policy["spec.podSelector.matchExpressions"]
    assert set(selected["values"]) == {"engine", "loader", "compile-cache", "quantization"}
    assert not team({"hub_endpoint": "https://hub.example.com"}).all(POLICY, "chat-way-out")


def test_certificates_are_a_config_map_whose_name_changes_with_them():
    made = team({"ca_certificates": PEM}).one("kubernetes:core/v1:ConfigMap")
    assert made["data"] == {"ca.crt": PEM}
    volumes = engine_pod({"ca_certificates": PEM})["volumes"]
    assert made["metadata.name"] in [volume.get("configMap", {}).get("name") for volume in volumes]
    other = team({"ca_certificates": PEM + PEM}).one("kubernetes:core/v1:ConfigMap")
    assert other["metadata.name"] != made["metadata.name"]
    assert not team(SITE).all("kubernetes:core/v1:ConfigMap")


@pytest.mark.parametrize(
    ("egress", "path", "reason"),
    [
        ({"https_proxy": "http://me:hunter2@10.0.0.1:3128"}, "egress.httpsProxy", "holds credentials"),
        ({"https_proxy": "proxy.example.com:3128"}, "egress.httpsProxy", "not a URL"),
        ({"https_proxy": "http://proxy.example.com:3128"}, "egress.addresses", "required for proxy.example.com"),
        ({"hub_endpoint": "https://hub.example.com:8443"}, "egress.addresses", "required for hub.example.com"),
        ({"no_proxy": ["a.example.com"]}, "egress.noProxy", "no proxy"),
        ({"ca_config_map": "a", "ca_certificates": PEM}, "egress.caConfigMap", "second source"),
        ({"ca_config_map": "A_B"}, "egress.caConfigMap", "not a name"),
        ({"ca_certificates": "hunter2"}, "egress.caCertificates", "no certificate"),
        ({"ca_certificates": f"{PEM}-----BEGIN PRIVATE KEY-----hunter2"}, "egress.caCertificates", "private key"),
    ],
)
def test_a_way_out_that_cannot_work_is_refused_and_no_secret_is_shown(egress, path, reason):
    with pytest.raises(InputPropertiesError) as caught:
        team(egress)
    reasons = {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}
    assert reason in reasons[path]
    assert "hunter2" not in str(caught.value)
