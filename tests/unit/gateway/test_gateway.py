import json
from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.gateway import Gateway
from tests.unit.gateway.offered import HOSTED, HOSTED_KEY, IMAGES, MODELS, SETTINGS, arguments
from tests.unit.recording import Recorded, Recording, record
from tests.unit.serving import crds
from tests.unit.serving.manifests import assert_valid, breaks_restricted

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "kubernetes:core/v1:Secret"


def gateway(settings: dict[str, Any] | None = None, **changes: Any) -> Recording:
    return record(lambda: Gateway("gateway", arguments(settings, **changes)))


def template(recording: Recording) -> Any:
    return recording.one(DEPLOYMENT, "gateway")["spec.template"]


def container(recording: Recording) -> Any:
    (only,) = template(recording)["spec"]["containers"]
    return only


def file_of(resource: Recorded, key: str) -> Any:
    data = resource.get("data") or resource["stringData"]
    return json.loads(data[key])


def test_every_object_is_valid_for_kubernetes_and_a_child_of_the_component() -> None:
    recording = gateway(image_pull={"registry": "r.example", "username": "u"}, image_pull_password="p")
    assert_valid(recording)
    owner = recording.one("llm-serving:index:Gateway")
    assert len(recording.children(owner)) == len(recording.resources) - 1
    assert {recording.output(name) for name in ("namespace", "serviceName", "url")} == {
        "llm-gateway",
        "litellm",
        "https://llm.example.com/v1",
    }


def test_without_a_host_clients_use_the_service_and_without_a_certificate_http() -> None:
    assert gateway({"host": None, "tls": None}).output("url") == "http://gateway.llm-gateway.svc/v1"


def test_pods_run_under_pod_security_restricted_without_a_token_and_write_to_tmp_alone() -> None:
    recording = gateway()
    spec = template(recording)["spec"]
    assert breaks_restricted(spec) == []
    assert (
        recording.one("kubernetes:core/v1:Namespace")["metadata.labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    assert spec["automountServiceAccountToken"] is False
    assert container(recording)["securityContext"]["readOnlyRootFilesystem"] is True
    written = [mount["mountPath"] for mount in container(recording)["volumeMounts"] if not mount.get("readOnly")]
    assert written == ["/tmp"]


def test_probes_ask_no_model_and_a_start_may_take_minutes() -> None:
    probes = {kind: container(gateway())[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    assert {probe["httpGet"]["path"] for probe in probes.values()} == {"/health/readiness", "/health/liveliness"}
    assert probes["liveness"]["httpGet"]["path"] == "/health/liveliness"
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 240


@pytest.mark.parametrize(
    ("settings", "grace"),
    [({}, 15 + 901 + 2), ({"models": []}, 15 + 600 + 2), ({"timeouts": {"total_seconds": 86_400}, "models": []}, 3600)],
    ids=["longest of the models", "default", "an hour at most"],
)
def test_a_pod_that_ends_first_leaves_the_load_balancers_then_finishes_its_longest_request(
    settings: Any, grace: int
) -> None:
    recording = gateway(settings)
    assert template(recording)["spec"]["terminationGracePeriodSeconds"] == grace
    assert container(recording)["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}


def test_some_pods_are_always_there_spread_apart() -> None:
    recording = gateway()
    deployment = recording.one(DEPLOYMENT, "gateway")
    assert deployment["spec.replicas"] == 2
    assert deployment["spec.strategy.rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pods = deployment["spec.selector"]
    for constraint in template(recording)["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"] == pods
    assert recording.one("PodDisruptionBudget")["spec.selector"] == pods
    assert recording.one("PodDisruptionBudget")["spec.maxUnavailable"] == 1
    assert template(recording)["spec"]["priorityClassName"] == "llm-serving-critical"


def test_the_autoscaler_owns_the_number_of_pods_where_there_are_two_bounds() -> None:
    recording = gateway({"replicas": {"min": 3, "max": 9}})
    scaler = recording.one("HorizontalPodAutoscaler")
    assert (scaler["spec.minReplicas"], scaler["spec.maxReplicas"]) == (3, 9)
    assert scaler["spec.scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "litellm"}
    assert recording.one(DEPLOYMENT, "gateway").ignore_changes == ("spec.replicas",)
    fixed = gateway({"replicas": {"min": 3, "max": 3}})
    assert fixed.all("HorizontalPodAutoscaler") == []
    assert fixed.one(DEPLOYMENT, "gateway").ignore_changes == ()
    assert fixed.one(DEPLOYMENT, "gateway")["spec.replicas"] == 3


NEW_KEY = {"name": "new", "sha256": "1" * 64, "team": "chat"}
QUIET = {
    "a key": ({"keys": [*SETTINGS["keys"], NEW_KEY]}, {}),
    "no key": ({"keys": []}, {}),
    "another router": ({"router_image": {"repository": "registry.example/router", "tag": "2"}}, {}),
    "another proxy": ({"proxy_image": {"repository": "registry.example/proxy", "tag": "4"}}, {}),
    "clients": ({}, {"client_namespaces": ["shop"], "client_ranges": ["10.0.0.0/8"]}),
    "more pods": ({"replicas": {"min": 3, "max": 4}}, {}),
}


@pytest.mark.parametrize(("settings", "changes"), QUIET.values(), ids=QUIET)
def test_what_is_no_part_of_the_configuration_restarts_nothing(settings: Any, changes: Any) -> None:
    assert template(gateway(settings, **changes)) == template(gateway())


LOUD = {
    "a model": ({}, {"models": [*MODELS, {"name": "new", "context_tokens": 10}]}),
    "a limit": ({"limits": {"max_output_tokens": 5}}, {}),
    "an image": ({"image": {"repository": "registry.example/gateway", "tag": "0.2.0"}}, {}),
}


@pytest.mark.parametrize(("settings", "changes"), LOUD.values(), ids=LOUD)
def test_what_pods_read_at_their_start_replaces_them(settings: Any, changes: Any) -> None:
    assert template(gateway(settings, **changes)) != template(gateway())


def test_the_configuration_names_no_release_no_weight_and_no_key() -> None:
    recording = gateway()
    text = json.dumps(file_of(recording.one("kubernetes:core/v1:ConfigMap"), "gateway.json"))
    assert not [word for word in ("sha256", 'weight"', "release", "search", "1.0.0") if word in text]
    assert recording.one("kubernetes:core/v1:ConfigMap")["immutable"] is True


def test_keys_and_passwords_are_in_secrets_and_stay_secret() -> None:
    recording = gateway(limits_password="hunter2", cache_password="hunter3")
    keys, redis = recording.one(SECRET, "gateway-keys"), recording.one(SECRET, "gateway-redis")
    # Pods read it at their start: another password is another Secret.
    assert redis["immutable"] is True
    assert redis.get("metadata.name") is None
    assert [key["name"] for key in file_of(keys, "keys.json")["keys"]] == ["search"]
    assert redis["stringData"] == {"limits": "hunter2", "cache": "hunter3"}
    assert {path.split(".")[0] for each in (keys, redis) for path in each.secret_paths} == {"stringData"}
    mounts = {mount["mountPath"]: mount for mount in container(recording)["volumeMounts"]}
    assert {"/etc/llm-serving/gateway", "/etc/llm-serving/keys", "/etc/llm-serving/redis"} < set(mounts)
    # A file that is mounted by itself never changes.
    assert all("subPath" not in mount for mount in mounts.values())


def test_without_a_password_there_is_no_secret_and_pods_start_all_the_same() -> None:
    recording = gateway({"queue": None})
    assert [secret.name for secret in recording.all(SECRET)] == ["gateway-keys"]
    (volume,) = (each for each in template(recording)["spec"]["volumes"] if each["name"] == "redis")
    assert volume["secret"]["optional"] is True


def test_workers_of_the_queue_are_the_same_program_and_answer_no_client() -> None:
    recording = gateway()
    worker = recording.one(DEPLOYMENT, "gateway-worker")
    assert worker["spec.replicas"] == 3
    spec = worker["spec.template"]["spec"]
    assert breaks_restricted(spec) == []
    (its,) = spec["containers"]
    assert its["command"] == ["llm-serving-gateway", "worker"]
    assert its["image"] == container(recording)["image"]
    assert its["volumeMounts"] == container(recording)["volumeMounts"]
    # It gives way to what has clients who wait.
    assert spec["priorityClassName"] == "llm-serving-batch"
    labels = worker["spec.template"]["metadata"]["labels"]
    selects = recording.one("kubernetes:core/v1:Service")["spec.selector"]
    assert not selects.items() <= labels.items()
    assert worker["spec.selector"]["matchLabels"].items() <= labels.items()
    assert [each.name for each in gateway({"queue": None}).all(DEPLOYMENT)] == ["gateway"]


def test_what_webhooks_are_signed_with_is_a_secret_that_pods_read_and_another_one_replaces_them() -> None:
    recording = gateway()
    secret = recording.one(SECRET, "gateway-webhooks")
    assert (secret["stringData"], secret["immutable"]) == ({"secret": "hunter4"}, True)
    assert {path.split(".")[0] for path in secret.secret_paths} == {"stringData"}
    assert "/etc/llm-serving/webhooks" in {mount["mountPath"] for mount in container(recording)["volumeMounts"]}
    quiet = gateway({"queue": {}})
    assert not quiet.all(SECRET, "gateway-webhooks")
    assert "/etc/llm-serving/webhooks" not in {mount["mountPath"] for mount in container(quiet)["volumeMounts"]}


HOSTED_KEYS = {"together": HOSTED_KEY}


def test_keys_of_hosted_providers_come_as_files_from_secrets_and_are_nowhere_else() -> None:
    recording = gateway({"hosted": HOSTED}, hosted_keys=HOSTED_KEYS)
    assert_valid(recording)
    secret = recording.one(SECRET, "gateway-hosted")
    assert secret["stringData"] == HOSTED_KEYS
    assert {path.split(".")[0] for path in secret.secret_paths} == {"stringData"}
    assert HOSTED_KEY not in json.dumps([each.inputs for each in recording.all("ConfigMap")])
    (volume,) = (each for each in template(recording)["spec"]["volumes"] if each["name"] == "hosted")
    # A provider that is not asked must keep no pod from starting.
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "gateway-hosted", "optional": True, "items": [{"key": "together", "path": "together"}]}},
        {"secret": {"name": "other-stack", "optional": True, "items": [{"key": "api-key", "path": "elsewhere"}]}},
    ]
    assert "/etc/llm-serving/hosted" in {mount["mountPath"] for mount in container(recording)["volumeMounts"]}


def test_litellm_reaches_hosted_providers_on_the_internet_or_at_their_addresses_and_nothing_else_outside() -> None:
    def egress(**changes: Any) -> list[Any]:
        policy = gateway(**changes).one("NetworkPolicy", "gateway-litellm-egress")
        return [rule for rule in policy["spec.egress"] if any("ipBlock" in peer for peer in rule["to"])]

    before = egress()
    added = [each for each in egress(settings={"hosted": HOSTED}, hosted_keys=HOSTED_KEYS) if each not in before]
    internet, private = added
    assert internet["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0"
    assert "10.0.0.0/8" in internet["to"][0]["ipBlock"]["except"]
    assert [port["port"] for port in internet["ports"]] == [443]
    assert private["to"] == [{"ipBlock": {"cidr": "10.8.0.0/16"}}]
    assert [port["port"] for port in private["ports"]] == [8080]


def test_user_and_password_of_the_database_are_references_that_may_come_later() -> None:
    (volume,) = (each for each in template(gateway())["spec"]["volumes"] if each["name"] == "postgres")
    sources = [source["secret"] for source in volume["projected"]["sources"]]
    assert [(source["name"], source["items"][0]["key"]) for source in sources] == [
        ("keys-database", "username"),
        ("keys-database", "password"),
        ("keys-authority", "ca.crt"),
    ]
    assert all(source["optional"] for source in sources)
    mounts = {mount["name"]: mount["mountPath"] for mount in container(gateway())["volumeMounts"]}
    assert mounts["postgres"] == "/etc/llm-serving/postgres"
    without = gateway({"postgres": None})
    assert "postgres" not in json.dumps(template(without))


def test_prometheus_reads_litellm_and_the_proxy_where_it_is_asked_to() -> None:
    assert gateway().all("PodMonitor") == []
    monitor = gateway(monitored=True).one("kubernetes:monitoring.coreos.com/v1:PodMonitor")
    manifest = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", **monitor.inputs}
    crds.assert_valid(manifest, "prometheus-operator/monitoring.coreos.com_podmonitors.yaml")
    ports = {port["name"] for port in container(gateway())["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec.podMetricsEndpoints"]} <= ports


def test_without_a_model_there_is_the_namespace_and_nothing_that_runs_in_it() -> None:
    recording = gateway(models=[])
    kinds = {resource.type.rpartition(":")[2] for resource in recording}
    assert kinds == {"Gateway", "Namespace", "NetworkPolicy"}
    assert recording.output("namespace") == recording.one("Namespace")["metadata.name"]


WRONG = [
    (arguments(models=[*MODELS, MODELS[0]]), "models[3].name"),
    (arguments(models=MODELS[1:]), "gateway.models[0].name"),
    (arguments({"models": [{"name": "qwen", "fallbacks": ["gpt"]}]}), "gateway.models[0].fallbacks"),
    (arguments({"models": [{"name": "qwen", "fallbacks": ["qwen"]}]}), "gateway.models[0].fallbacks"),
    (arguments({"cache": {"kind": "semantic"}}), "gateway.cache.embeddingModel"),
    (arguments({"cache": {"kind": "semantic", "embedding_model": "minilm"}}), "gateway.cache.embeddingModel"),
    (arguments({"cache": {"kind": "semantic", "embedding_model": "qwen"}}), "gateway.cache.embeddingModel"),
    (arguments({"redis": {}, "cache": None, "queue": None}, cache_password="x"), "cachePassword"),
    (arguments({"redis": {}, "cache": None, "queue": {}}), "gateway.queue"),
    (arguments(webhook_secret=None), "webhookSecret"),
    (arguments({"queue": {}}, webhook_secret="x"), "webhookSecret"),
    (arguments(image_pull_password="x"), "imagePullPassword"),
    (arguments({"hosted": HOSTED}), "hostedKeys"),
    (arguments(hosted_keys=HOSTED_KEYS), "hostedKeys"),
    (arguments({"hosted": [*HOSTED, HOSTED[1]]}, hosted_keys=HOSTED_KEYS), "gateway.hosted[2].name"),
    (arguments({"hosted": HOSTED, "redis": {"cache": {}}, "queue": None}, hosted_keys=HOSTED_KEYS), "gateway.hosted"),
    (
        arguments({"hosted": [{**HOSTED[1], "models": [{**HOSTED[1]["models"][0], "model": "gpt"}]}]}),
        "gateway.hosted[0].models",
    ),
    (arguments(client_ranges=["10.0.0.1/8"]), "clientRanges[0]"),
    (arguments({"keys": [*SETTINGS["keys"], {**SETTINGS["keys"][0], "name": "b"}]}), "gateway.keys[1].sha256"),
    ({"gateway": IMAGES}, "models"),
]


@pytest.mark.parametrize(("wrong", "path"), WRONG, ids=[path for _, path in WRONG])
def test_what_cannot_be_served_is_refused_with_its_path(wrong: Any, path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        record(lambda: Gateway("gateway", wrong))
    assert [detail["property_path"] for detail in caught.value.errors or []] == [path]
