import json
from typing import Any

import kubernetes_validate
import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.gateway.proxy import GatewayProxy
from llm_serving.gateway.traefik import CLUSTER_PERMISSIONS, NAMESPACE_PERMISSIONS
from tests.unit.recording import record
from tests.unit.serving import crds
from tests.unit.serving.manifests import breaks_restricted, manifests

TLS = {"tls_secret_name": "edge-certificate", "host": "llm.example.com"}
EDGE = {"existing_edge": {"name": "shared", "namespace": "infra", "listener": "https"}}
NOTHING_OF_OURS = {**EDGE, "existing_models": {"name": "internal", "namespace": "infra"}, "image": None}


def arguments(**changes):
    return {
        "namespace": "llm-gateway",
        "team_namespaces": {"chat": "chat", "search": "search"},
        "image": "docker.io/library/traefik:v3.7.15",
        **changes,
    }


def proxy(**changes):
    given: Any = {key: value for key, value in arguments(**changes).items() if value is not None}
    return record(lambda: GatewayProxy("proxy", given))


def refusals(**changes):
    with pytest.raises(InputPropertiesError) as caught:
        proxy(**changes)
    return {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}


def custom(recording, kind, name=None):
    found = [one for one in recording if one.type.endswith(f":{kind}")]
    return [one for one in found if name in (None, one["metadata.name"])]


def pod(recording):
    return recording.one("Deployment")["spec.template.spec"]


def flags(recording):
    (container,) = pod(recording)["containers"]
    return dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])


@pytest.mark.parametrize("changes", [{}, TLS, {**TLS, "answers_challenges": True}, EDGE, NOTHING_OF_OURS])
def test_every_object_is_valid(changes):
    recording = proxy(**changes)
    for kind, file in (("GatewayClass", "gatewayclasses"), ("Gateway", "gateways"), ("HTTPRoute", "httproutes")):
        for one in custom(recording, kind):
            crds.assert_valid(one.inputs, f"gateway-api/gateway.networking.k8s.io_{file}.yaml")
    for one in manifests(recording):
        if not one["apiVersion"].startswith("gateway.networking.k8s.io/"):
            kubernetes_validate.validate(one, "1.34", strict=True)


def test_everything_is_a_child_of_the_component():
    recording = proxy()
    owner = recording.one("llm-serving:index:GatewayProxy")
    assert len(recording.children(owner)) == len(recording.resources) - 1


def test_pods_may_do_nothing_that_pod_security_restricted_forbids_and_write_nowhere():
    spec = pod(proxy())
    assert not breaks_restricted(spec)
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_it_gives_way_to_nothing():
    assert pod(proxy())["priorityClassName"] == "llm-serving-critical"


def test_one_pod_can_always_go():
    recording = proxy()
    assert recording.one("Deployment")["spec.replicas"] == 2
    assert recording.one("Deployment")["spec.strategy.rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert recording.one("PodDisruptionBudget")["spec.maxUnavailable"] == 1
    assert list(refusals(replicas=1)) == ["replicas"]


def test_a_pod_is_ready_when_it_serves_routes_and_lives_when_it_answers():
    recording = proxy()
    (container,) = pod(recording)["containers"]
    (route,) = custom(recording, "HTTPRoute", "ping")
    (rule,) = route["spec.rules"]
    assert route["spec.parentRefs"] == [{"name": "models"}]
    assert rule["matches"] == [{"path": {"type": "Exact", "value": container["readinessProbe"]["httpGet"]["path"]}}]
    assert rule["backendRefs"][0]["name"] == "ping@internal"
    (listener,) = custom(recording, "Gateway", "models")[0]["spec.listeners"]
    assert container["readinessProbe"]["httpGet"]["port"] == listener["port"]
    assert container["livenessProbe"]["httpGet"]["port"] != listener["port"]


def test_it_is_told_of_its_gateways_before_it_has_to_be_ready():
    recording = proxy()
    deployment = recording.one("Deployment")
    for kind in ("GatewayClass", "Gateway", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        for one in custom(recording, kind):
            assert recording.depends_on(deployment, one)
    assert recording.depends_on(deployment, custom(recording, "HTTPRoute", "ping")[0])


def test_it_reads_its_own_namespace_and_the_teams_and_no_other():
    recording = proxy()
    assert {role["metadata.namespace"] for role in custom(recording, "Role")} == {"llm-gateway", "chat", "search"}
    assert flags(recording)["providers.kubernetesgateway.namespaces"] == "llm-gateway,chat,search"
    everywhere = {name for permission in CLUSTER_PERMISSIONS for name in permission.resources}
    assert everywhere == {"namespaces", "gatewayclasses", "gatewayclasses/status"}


def test_it_changes_nothing_but_what_it_says_of_gateways_and_routes():
    for permission in (*CLUSTER_PERMISSIONS, *NAMESPACE_PERMISSIONS):
        if not set(permission.verbs) <= {"list", "watch"}:
            assert all(name.endswith("/status") for name in permission.resources)


def test_clients_reach_a_few_paths_and_by_their_methods_only():
    (route,) = custom(proxy(), "HTTPRoute", "edge")
    (rule,) = route["spec.rules"]
    allowed = [(match["method"], match["path"]["type"], match["path"]["value"]) for match in rule["matches"]]
    assert sorted(allowed) == [
        ("GET", "PathPrefix", "/v1/models"),
        ("POST", "Exact", "/v1/chat/completions"),
        ("POST", "Exact", "/v1/completions"),
        ("POST", "Exact", "/v1/embeddings"),
        ("POST", "Exact", "/v1/rerank"),
    ]
    assert rule["backendRefs"] == [{"name": "litellm", "port": 4000}]


def test_routes_of_models_come_from_the_teams_and_never_to_the_edge():
    recording = proxy()
    (models,), (edge,) = (custom(recording, "Gateway", name)[0]["spec.listeners"] for name in ("models", "edge"))
    (expression,) = models["allowedRoutes"]["namespaces"]["selector"]["matchExpressions"]
    assert expression["values"] == ["llm-gateway", "chat", "search"]
    assert edge["allowedRoutes"] == {"namespaces": {"from": "Same"}}


def test_models_are_never_behind_a_load_balancer():
    recording = proxy(
        service_type="LoadBalancer", service_annotations={"internal": "true"}, source_ranges=["10.0.0.0/8"]
    )
    services = {one["metadata.name"]: one for one in recording.all("kubernetes:core/v1:Service")}
    assert services["gateway"]["spec.type"] == "LoadBalancer"
    assert services["gateway"]["metadata.annotations"] == {"internal": "true"}
    assert services["gateway"]["spec.loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    # Its network policy knows clients by their own addresses.
    assert services["gateway"]["spec.externalTrafficPolicy"] == "Local"
    assert services["models"]["spec.type"] == "ClusterIP"
    assert services["models"].get("metadata.annotations") is None


def test_with_a_certificate_nothing_listens_without_tls():
    recording = proxy(**TLS)
    (edge,) = custom(recording, "Gateway", "edge")[0]["spec.listeners"]
    assert (edge["protocol"], edge["port"], edge["hostname"]) == ("HTTPS", 8443, "llm.example.com")
    assert edge["tls"]["certificateRefs"] == [{"name": "edge-certificate"}]
    (port,) = recording.one("kubernetes:core/v1:Service", "proxy-edge")["spec.ports"]
    assert (port["port"], port["targetPort"]) == (443, 8443)
    assert flags(recording)["entrypoints.edge.address"] == ":8443"
    assert recording.output("url") == "https://gateway.llm-gateway.svc"
    assert proxy().output("url") == "http://gateway.llm-gateway.svc"


def test_challenges_have_a_listener_without_tls_to_which_no_path_of_clients_leads():
    recording = proxy(**TLS, answers_challenges=True)
    https, http = custom(recording, "Gateway", "edge")[0]["spec.listeners"]
    assert (http["name"], http["protocol"], http["port"], http["hostname"]) == ("http", "HTTP", 8080, TLS["host"])
    assert http["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    (route,) = custom(recording, "HTTPRoute", "edge")
    assert route["spec.parentRefs"] == [{"name": "edge", "sectionName": https["name"]}]
    ports = recording.one("kubernetes:core/v1:Service", "proxy-edge")["spec.ports"]
    assert [(each["name"], each["port"], each["targetPort"]) for each in ports] == [
        ("https", 443, 8443),
        ("http", 80, 8080),
    ]
    assert flags(recording)["entrypoints.challenges.address"] == ":8080"
    assert {each["name"] for each in pod(recording)["containers"][0]["ports"]} >= {"edge", "challenges"}


def test_a_load_balancer_that_ends_tls_passes_http_on():
    recording = proxy(service_type="LoadBalancer", tls_at_load_balancer=True)
    (port,) = recording.one("kubernetes:core/v1:Service", "proxy-edge")["spec.ports"]
    assert (port["port"], port["targetPort"]) == (443, 8080)


def test_streams_are_not_cut_and_a_pod_that_ends_waits_for_them():
    recording = proxy(longest_request_seconds=900)
    for entry_point in ("edge", "models"):
        transport = f"entrypoints.{entry_point}.transport"
        assert flags(recording)[f"{transport}.respondingtimeouts.writetimeout"] == "0s"
        assert flags(recording)[f"{transport}.lifecycle.gracetimeout"] == "900s"
    accepts = int(flags(recording)["entrypoints.edge.transport.lifecycle.requestacceptgracetimeout"].removesuffix("s"))
    assert pod(recording)["terminationGracePeriodSeconds"] > 900 + accepts


def middlewares(**changes):
    text = proxy(**changes).one("ConfigMap")["data"]["middlewares.yaml"]
    return json.loads(text)["http"]["middlewares"]


def test_a_request_that_a_pod_did_not_answer_goes_to_another_whatever_its_method():
    retry = middlewares()["another-pod"]["retry"]
    assert retry["attempts"] > 1
    assert retry["retryNonIdempotentMethod"] is True
    # A status is an answer.
    assert "status" not in retry


def test_answers_of_the_edge_have_security_headers_and_others_are_other_pods():
    def headers(**changes):
        return middlewares(**changes)["security-headers"]["headers"]

    assert flags(proxy())["entrypoints.edge.http.middlewares"] == "security-headers@file,another-pod@file"
    assert "stsSeconds" in headers(**TLS)
    assert "stsSeconds" not in headers()
    # Immutable, and named by Pulumi: other data is another object.
    assert proxy().one("ConfigMap")["immutable"] is True
    assert "name" not in proxy().one("ConfigMap")["metadata"]


def test_another_gateway_takes_clients_and_models_stay_with_ours():
    recording = proxy(**EDGE)
    (route,) = custom(recording, "HTTPRoute", "edge")
    assert route["spec.parentRefs"] == [{"name": "shared", "namespace": "infra", "sectionName": "https"}]
    assert [one["metadata.name"] for one in custom(recording, "Gateway")] == ["models"]
    assert [one["metadata.name"] for one in recording.all("kubernetes:core/v1:Service")] == ["models"]
    assert not [flag for flag in flags(recording) if flag.startswith("entrypoints.edge")]
    assert recording.output("modelsParents") == [{"name": "models", "namespace": "llm-gateway"}]
    assert recording.output("url") == ""


def test_with_two_gateways_of_somebody_else_nothing_runs_here():
    recording = proxy(**NOTHING_OF_OURS)
    assert [one.type.rpartition(":")[2] for one in recording] == ["GatewayProxy", "HTTPRoute"]
    assert recording.output("modelsParents") == [{"name": "internal", "namespace": "infra"}]


def test_what_cannot_work_is_refused():
    assert "existingModels" in refusals(existing_models={"name": "internal", "namespace": "infra"})
    assert "image" in refusals(image=None)
    assert "serviceType" in refusals(service_type="NodePort")
    assert "teamNamespaces" in next(iter(refusals(team_namespaces={"No Name": "x"})))
