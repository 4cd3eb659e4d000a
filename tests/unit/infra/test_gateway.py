"""The gateway in the whole program: nothing of it where the settings have none, and all of it wired where they do."""

import json
from typing import Any

import pulumi
import pytest

from stacks.outputs import read_outputs
from tests.unit.infra.test_program import LOADER, Run, existing_settings, run
from tests.unit.stacks.settings_files import settings_data

IMAGES = {
    f"{name}{'Image' if name else 'image'}": {"repository": f"registry.example/{name or 'gateway'}", "tag": "1.0.0"}
    for name in ("", "proxy", "router", "redis")
}
KEY = {"name": "search", "sha256": "4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a", "team": "chat"}
GATEWAY = {**IMAGES, "keys": [KEY], "redis": {"limits": {}, "cache": {}}, "cache": {}}


def settings(**changes: Any) -> dict[str, Any]:
    data = settings_data("dev")
    data["models"][0]["releases"] = {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 20}}
    data["pools"][0]["capacity"][0]["max"] = 6
    return {**data, "loader": LOADER, "gateway": {**GATEWAY, **changes}}


@pytest.fixture(scope="module")
def gateway_run() -> Run:
    return run(settings())


def test_a_stack_without_a_gateway_has_nothing_of_one() -> None:
    data = settings()
    del data["gateway"]
    made = run(data)
    assert "gateway" not in made.outputs
    names = "".join(f"{resource.type} {resource.inputs}" for resource in made.recording)
    assert not [word for word in ("HTTPRoute", "llm-gateway", "litellm", "redis-") if word in names]


def test_requests_of_a_model_go_to_the_routers_of_its_releases_by_their_weights(gateway_run: Run) -> None:
    routes = {route["metadata.name"]: route for route in gateway_run.recording.all("HTTPRoute")}
    weighted = routes["qwen3-0-6b"]["spec.rules"][-1]["backendRefs"]
    assert {backend["name"]: (backend["port"], backend["weight"]) for backend in weighted} == {
        "qwen3-0-6b-1-1-0-router": (8000, 80),
        "qwen3-0-6b-1-0-0-router": (8000, 20),
    }
    (stable,) = routes["qwen3-0-6b-stable"]["spec.rules"][0]["backendRefs"]
    assert stable["name"] == "qwen3-0-6b-1-1-0-router"
    assert routes["qwen3-0-6b"]["metadata.namespace"] == "chat"


def test_a_model_without_routers_is_reached_by_the_services_of_its_releases() -> None:
    recording = run(settings(routing="service")).recording
    routes = {route["metadata.name"]: route for route in recording.all("HTTPRoute")}
    backends = [backend["name"] for backend in routes["qwen3-0-6b"]["spec.rules"][-1]["backendRefs"]]
    assert sorted(backends) == ["qwen3-0-6b-1-0-0", "qwen3-0-6b-1-1-0"]
    assert not [each for each in recording.all("Deployment") if each["metadata.name"].endswith("-router")]
    (team,) = recording.all("TeamNamespace")
    policy = recording.one("NetworkPolicy", f"{team.name}-serving-direct")
    assert "qwen3-0-6b" in json.dumps(policy["spec.podSelector"])
    assert "gateway-proxy" in json.dumps(policy["spec.ingress"])


def test_what_the_gateway_serves_names_models_and_never_releases_or_keys(gateway_run: Run) -> None:
    (document,) = [
        json.loads(each["data"]["gateway.json"])
        for each in gateway_run.recording.all("ConfigMap")
        if "gateway.json" in (each.get("data") or {})
    ]
    (model,) = document["models"]
    assert (model["name"], model["task"], model["contextTokens"]) == ("qwen3-0-6b", "chat", 8192)
    assert "1.1.0" not in json.dumps(document)
    assert KEY["sha256"] not in json.dumps(document)


def test_a_password_of_redis_is_made_once_and_is_the_one_of_both_sides(gateway_run: Run) -> None:
    passwords = gateway_run.outputs["redisPasswords"]
    assert set(passwords) == {"limits", "cache"}
    assert len(set(passwords.values())) == 2
    again = run(settings(), before=gateway_run.outputs)
    assert again.outputs["redisPasswords"] == passwords
    clients = again.recording.one("Secret", "gateway-redis")
    assert clients["stringData"] == passwords
    assert clients.secret_paths


def test_where_the_gateway_answers_is_put_out(gateway_run: Run) -> None:
    gateway = read_outputs(gateway_run.outputs).gateway
    assert gateway is not None
    assert (gateway.namespace, gateway.url) == ("llm-gateway", "http://gateway.llm-gateway.svc/v1")


def test_a_public_gateway_has_a_load_balancer_and_passwords_that_are_given_are_not_put_out() -> None:
    given = {"redisLimitsPassword": "hunter2", "redisCachePassword": "hunter3"}
    made = run(settings(host="llm.example.com", tls={"secretName": "llm"}, loadBalancer={"public": True}), given)
    gateway = read_outputs(made.outputs).gateway
    assert gateway is not None
    assert gateway.url == "https://llm.example.com/v1"
    services = made.recording.all("Service")
    (edge,) = [each for each in services if each.get("metadata.name") == "gateway"]
    assert edge["spec.type"] == "LoadBalancer"
    clients = made.recording.one("Secret", "gateway-redis")
    assert clients["stringData"] == {"limits": "hunter2", "cache": "hunter3"}
    assert "hunter" not in json.dumps(made.outputs)
    assert "redisPasswords" not in made.outputs


def test_a_load_balancer_is_private_and_without_a_host_name_its_address_is_where_the_gateway_answers() -> None:
    made = run(settings(loadBalancer={"sourceRanges": ["10.2.0.0/16"], "annotations": {"example.com/a": "b"}}))
    (edge,) = [each for each in made.recording.all("Service") if each.get("metadata.name") == "gateway"]
    assert edge["metadata.annotations"] == {
        "networking.gke.io/load-balancer-type": "Internal",
        "example.com/a": "b",
    }
    assert edge["spec.loadBalancerSourceRanges"] == ["10.2.0.0/16"]
    assert "10.2.0.0/16" in json.dumps(made.recording.one("NetworkPolicy", "gateway-clients")["spec.ingress"])


def test_an_edge_that_is_there_takes_the_route_of_the_allowed_paths_and_no_service_is_made() -> None:
    edge = {"name": "shared", "namespace": "infra", "listener": "https", "proxyNamespace": "envoy"}
    made = run(settings(host="llm.example.com", existingEdge=edge))
    routes = {route["metadata.name"]: route for route in made.recording.all("HTTPRoute")}
    assert routes["edge"]["spec.parentRefs"] == [{"name": "shared", "namespace": "infra", "sectionName": "https"}]
    assert routes["edge"]["spec.hostnames"] == ["llm.example.com"]
    assert not [each for each in made.recording.all("Service") if each.get("metadata.name") == "gateway"]
    gateway = read_outputs(made.outputs).gateway
    assert gateway is not None
    assert gateway.url == "https://llm.example.com/v1"


def test_nobody_but_the_gateway_reaches_engines_and_routers(gateway_run: Run) -> None:
    recording = gateway_run.recording
    (team,) = recording.all("TeamNamespace")
    sources = {
        name: json.dumps(recording.one("NetworkPolicy", f"{team.name}-{name}")["spec.ingress"])
        for name in ("serving-behind-routers", "routers")
    }
    assert "ipBlock" not in "".join(sources.values())
    assert "router" in sources["serving-behind-routers"]
    assert "llm-gateway" in sources["routers"]


def test_policies_that_close_a_namespace_are_others_than_those_that_leave_it_open(gateway_run: Run) -> None:
    """Policies add up: those that are there go last, so an update that adds a gateway shuts nobody out meanwhile."""
    data = settings()
    del data["gateway"]
    closed, opened = (
        {each["metadata.name"] for each in made.recording.all("NetworkPolicy") if each["metadata.namespace"] == "chat"}
        for made in (gateway_run, run(data))
    )
    assert opened - closed == {"serving", "clients"}
    assert {"serving-behind-routers", "clients-of-gateway"} <= closed - opened


def test_a_queue_has_workers_its_paths_at_the_edge_and_a_secret_for_webhooks_that_is_made_once() -> None:
    queue = {"workers": 2, "webhooks": {"hosts": ["hooks.example.com"]}}
    made = run(settings(queue=queue))
    worker = made.recording.one("Deployment", "gateway-worker")
    assert worker["spec.replicas"] == 2
    (route,) = [each for each in made.recording.all("HTTPRoute") if each.name.endswith("allowed-paths")]
    assert "/v1/batches" in json.dumps(route["spec"])
    secret = made.outputs["webhookSecret"]
    assert made.recording.one("Secret", "gateway-webhooks")["stringData"] == {"secret": secret}
    assert run(settings(queue=queue), before=made.outputs).outputs["webhookSecret"] == secret
    given = run(settings(queue=queue), {"webhookSecret": "hunter4"})
    assert given.recording.one("Secret", "gateway-webhooks")["stringData"] == {"secret": "hunter4"}
    assert "webhookSecret" not in given.outputs


PROVIDER = {
    "name": "together",
    "url": "https://api.together.example/v1",
    "teams": ["chat"],
    "models": [
        {
            "model": "qwen3-0-6b",
            "name": "Qwen/Qwen3-0.6B",
            "price": {"usdPerMillionInputTokens": 0.1, "usdPerMillionOutputTokens": 0.1},
        }
    ],
    "budget": {"usd": 100},
}


def test_the_key_of_a_hosted_provider_comes_from_the_stack_and_is_in_no_output() -> None:
    made = run(settings(hosted=[PROVIDER]), {"hostedKeys": json.dumps({"together": "hunter4"})})
    secret = made.recording.one("Secret", "gateway-hosted")
    assert secret["stringData"] == {"together": "hunter4"}
    assert secret.secret_paths
    assert "hunter" not in json.dumps(made.outputs)
    egress = made.recording.one("NetworkPolicy", "gateway-litellm-egress")["spec.egress"]
    assert "0.0.0.0/0" in json.dumps(egress)


def test_keys_of_hosted_providers_that_cannot_be_read_are_refused_without_being_repeated() -> None:
    with pytest.raises(Exception, match="not a JSON object of keys by provider") as caught:
        run(settings(hosted=[PROVIDER]), {"hostedKeys": "hunter4"})
    assert "hunter" not in str(caught.value)


def test_a_certificate_of_an_authority_comes_with_its_issuer_and_after_cert_manager() -> None:
    tls = {"acme": {"email": "platform@example.com"}}
    recording = run(settings(host="llm.example.com", tls=tls, loadBalancer={"public": True})).recording
    certificate, issuer = recording.one("Certificate"), recording.one("Issuer")
    cert_manager = recording.one("Release", "addons-cert-manager")
    assert recording.depends_on(certificate, issuer)
    assert recording.depends_on(recording.one("Gateway", "gateway"), cert_manager)
    (listener, _) = next(
        each["spec.listeners"] for each in recording.all("Gateway") if each.get("metadata.name") == "edge"
    )
    assert listener["tls"]["certificateRefs"] == [{"name": certificate["spec.secretName"]}]


def test_pods_of_namespaces_that_a_team_names_ask_the_gateway() -> None:
    data = settings()
    data["teams"][0]["clientNamespaces"] = ["shop"]
    clients = run(data).recording.one("NetworkPolicy", "gateway-clients")
    selectors = [each["namespaceSelector"] for each in clients["spec.ingress"][0]["from"] if "ipBlock" not in each]
    names = [selector["matchLabels"]["kubernetes.io/metadata.name"] for selector in selectors]
    assert names == [data["teams"][0]["name"], "shop"]


def test_a_redis_with_tls_has_the_certificate_that_the_gateways_pods_trust() -> None:
    recording = run(settings(redis={"limits": {"tls": True}, "cache": {}})).recording
    (secret,) = {each["spec.secretName"] for each in recording.all("Certificate")}
    pods = [each["spec.template.spec"] for each in (*recording.all("Deployment"), *recording.all("StatefulSet"))]
    mounting = [
        pod["containers"][0]["name"]
        for pod in pods
        for volume in pod["volumes"]
        if (volume.get("secret") or {}).get("secretName") == secret
    ]
    assert sorted(mounting) == ["litellm", "redis"]


def test_gateways_of_two_stacks_on_one_cluster_share_no_object() -> None:
    def objects(stack: str, team: str, **gateway: Any) -> set[tuple[str, str, str]]:
        data = existing_settings()
        data["models"][0]["autoscaling"] = {"max": 2}
        data["teams"] = [{"name": team}]
        data["models"][0]["team"] = team
        others: dict[str, str] = dict.fromkeys(("keda", "monitoring", "priorityClasses", "gatewayApi"), "existing")
        others["prometheusUrl"] = "http://prometheus.monitoring.svc:9090"
        data |= {"addons": others, "gateway": {**GATEWAY, "keys": [{**KEY, "team": team}], **gateway}}
        made = run(data, before={"namespaces": [team]}, stack=stack).recording
        own = [each for each in made if each.type.startswith("kubernetes:")]
        # What has no name gets one of its own.
        return {
            (each.type, each["metadata"].get("namespace", ""), name)
            for each in own
            if (name := each["metadata"].get("name"))
        }

    one, other = objects("dev", "chat"), objects("Dev_2", "search", namespace="llm-gateway-2")
    assert {"GatewayClass", "ClusterRole", "ClusterRoleBinding", "PrometheusRule"} <= {
        kind.rpartition(":")[2] for kind, _, _ in one
    }
    assert one & other == set()
    # Prometheus is somebody else's, and so is its namespace.
    assert {namespace for kind, namespace, _ in one if kind.endswith("PrometheusRule")} == {"chat"}


def test_prometheus_reads_every_part_that_has_metrics() -> None:
    data = settings(queue={})
    data["models"][0]["autoscaling"] = {"max": 2}
    recording = run(data, before={"namespaces": ["chat"]}).recording

    def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
        chosen = selector.get("matchExpressions", [])
        return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
            labels.get(each["key"]) in each["values"] for each in chosen
        )

    read = {
        (each["metadata.namespace"], name, endpoint["port"])
        for monitor in recording.all("PodMonitor")
        for each in recording.all("Deployment")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        if each["metadata.namespace"] == monitor["metadata.namespace"]
        and selects(monitor["spec"]["selector"], each["spec.template.metadata.labels"])
        for name in [each["metadata.name"]]
    }
    has_metrics = {
        (each["metadata.namespace"], each["metadata.name"], "metrics")
        for each in recording.all("Deployment")
        for container in each["spec.template.spec.containers"]
        if any(port.get("name") == "metrics" for port in container.get("ports", []))
    }
    assert {"litellm", "worker", "proxy", "qwen3-0-6b-1-1-0-router"} <= {name for _, name, _ in has_metrics}
    assert has_metrics <= read


def test_secrets_of_somebody_elses_with_which_images_are_pulled_come_before_the_gateways_pods() -> None:
    data = {**settings(), "imagePull": {"secretNames": ["registry"]}}
    teams = {"namespaces": ["chat"]}
    with pytest.raises(pulumi.RunError, match=r"imagePull\.secretNames\[0\] = 'registry'.*namespace llm-gateway and"):
        run(data, before=teams)
    first = run({**data, "models": []})
    assert {each["metadata.name"] for each in first.recording.all("Namespace")} >= {"chat", "llm-gateway"}
    assert first.recording.all("Deployment") == []
    litellm = run(data, before=first.outputs).recording.one("kubernetes:apps/v1:Deployment", "gateway")
    assert litellm["spec.template.spec.imagePullSecrets"] == [{"name": "registry"}]


def test_a_changed_key_changes_its_secret_in_place(gateway_run: Run) -> None:
    provider = gateway_run.recording.one("pulumi:providers:kubernetes")
    assert provider["enableSecretMutable"] in (True, "true")
    keys = gateway_run.recording.one("kubernetes:core/v1:Secret", "gateway-keys")
    assert "immutable" not in keys.inputs


def test_a_model_that_may_sleep_is_woken_by_the_gateway_which_waits_for_it() -> None:
    data = settings(timeouts={"wakeSeconds": 800, "totalSeconds": 300})
    data["models"][0]["autoscaling"] = {"min": 0, "max": 2}
    recording = run(data).recording
    for scaled in recording.all("ScaledObject"):
        (asked,) = [each for each in scaled["spec.triggers"] if each["name"] == "asked"]
        assert 'llm_gateway_demand{namespace="llm-gateway",model="qwen3-0-6b"}' in asked["metadata"]["query"]
    (configuration,) = (each for each in recording.all("ConfigMap") if "gateway.json" in (each.get("data") or {}))
    (model,) = json.loads(configuration["data"]["gateway.json"])["models"]
    assert model["coldStartSeconds"] % 60 == 0 < model["coldStartSeconds"]
    assert model["timeouts"]["wakeSeconds"] == 800
    (monitor,) = (each for each in recording.all("PodMonitor") if each["metadata.namespace"] == "llm-gateway")
    assert monitor["spec.podMetricsEndpoints"]
    routers = [each for each in recording.all("Deployment") if each["metadata.name"].endswith("-router")]
    assert {each["metadata.annotations"]["pulumi.com/skipAwait"] for each in routers} == {"true"}
    for name in ("litellm", "proxy"):
        (pods,) = (each for each in recording.all("Deployment") if each["metadata.name"] == name)
        assert pods["spec.template.spec.terminationGracePeriodSeconds"] > 1100
