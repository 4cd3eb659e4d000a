"""A release has routers of its own, which find its engines and no others, and are there before requests come."""

from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.gateway import ReleaseRouter
from llm_serving.serving import TeamNamespace
from llm_serving.serving.labels import selector
from llm_serving.spec import ModelSpec
from tests.unit.recording import Recording, record
from tests.unit.serving.manifests import assert_valid, breaks_restricted

IMAGE: dict[str, Any] = {"repository": "registry.example/router", "tag": "0.1.0"}
LISTS = {"list", "watch"}


def make(**changes: Any) -> Recording:
    arguments = {
        "model": "qwen3-8b",
        "release": "1.4.0",
        "team": "chat",
        "namespace": "chat",
        "image": IMAGE,
        "labels": {"environment": "test", "llm-serving.dev/model": "other"},
        **changes,
    }
    return record(lambda: ReleaseRouter("qwen3-8b-1-4-0-router", arguments))  # type: ignore[arg-type]


def deployment(recording: Recording) -> dict[str, Any]:
    return dict(recording.one("kubernetes:apps/v1:Deployment").inputs)


def command(recording: Recording) -> list[str]:
    (container,) = deployment(recording)["spec"]["template"]["spec"]["containers"]
    return container["command"]


def option(recording: Recording, name: str) -> str:
    (value,) = [word.partition("=")[2] for word in command(recording) if word.startswith(f"--{name}=")]
    return value


def selected(recording: Recording) -> dict[str, str]:
    words = command(recording)
    pairs = [word for word in words[words.index("--selector") + 1 :] if not word.startswith("--")]
    return dict(pair.split("=", 1) for pair in pairs)


def test_objects_are_those_that_kubernetes_knows_and_pods_are_restricted() -> None:
    recording = make(imagePull={"secretNames": ["pull"]})
    assert_valid(recording)
    assert breaks_restricted(deployment(recording)["spec"]["template"]["spec"]) == []


def test_it_looks_for_the_pods_of_its_release_and_no_others() -> None:
    model = ModelSpec.model_construct(name="qwen3-8b")
    recording = make()
    assert selected(recording) == selector(model, "1.4.0")
    own = deployment(recording)["spec"]["template"]["metadata"]["labels"]
    assert not selected(recording).items() <= own.items()
    assert option(recording, "service-discovery-namespace") == "chat"
    assert option(make(enginePort=9000), "service-discovery-port") == "9000"


def test_its_account_may_watch_pods_of_its_namespace_and_nothing_else() -> None:
    recording = make()
    (rule,) = recording.one("kubernetes:rbac.authorization.k8s.io/v1:Role")["rules"]
    assert (rule["apiGroups"], rule["resources"], set(rule["verbs"])) == ([""], ["pods"], LISTS)
    binding = recording.one("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding")
    account = recording.one("kubernetes:core/v1:ServiceAccount")["metadata"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["name"], "namespace": "chat"}]
    pod = deployment(recording)["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == (account["name"], True)


def test_it_reaches_the_api_server_where_it_is() -> None:
    reach = {"apiServerEgress": ["203.0.113.7/32"], "apiServerPorts": [443]}
    policy = make(reach=reach).one("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    (rule,) = policy["spec.egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "203.0.113.7/32"}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def test_a_request_is_tried_once_more_than_an_engine_may_fail() -> None:
    recording = make(router={"breakerFailures": 4})
    assert option(recording, "cb-failure-threshold") == "4"
    assert option(recording, "retry-max-retries") == "5"


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({}, "cache_aware"),
        ({"task": "embed"}, "round_robin"),
        ({"router": {"policy": "power_of_two"}}, "power_of_two"),
        ({"task": "embed", "router": {"policy": "consistent_hash"}}, "consistent_hash"),
    ],
)
def test_the_policy_suits_the_task_unless_it_is_named(changes: dict[str, Any], policy: str) -> None:
    assert option(make(**changes), "policy") == policy


def test_a_model_that_reranks_gets_no_router() -> None:
    with pytest.raises(InputPropertiesError, match="sends rerank requests on without their model"):
        make(task="classify")


def test_a_router_that_goes_finishes_its_requests() -> None:
    recording = make(requestSeconds=300)
    pod = deployment(recording)["spec"]["template"]["spec"]
    assert option(recording, "request-timeout-secs") == "300"
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > 300 + sleep


def test_a_model_that_nothing_waits_for_has_a_router_that_nothing_waits_for() -> None:
    recording = make(awaited=False)
    for kind in ("apps/v1:Deployment", "core/v1:Service"):
        assert recording.one(f"kubernetes:{kind}")["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    assert "annotations" not in make().one("kubernetes:apps/v1:Deployment")["metadata"]


def test_the_service_leads_to_the_routers_on_the_ports_that_policies_open() -> None:
    recording = make()
    service = recording.one("kubernetes:core/v1:Service")
    template = deployment(recording)["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    names = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    opened = {port["port"] for port in _opened_by_team()}
    assert {names[port["targetPort"]] for port in service["spec"]["ports"]} <= opened


def _opened_by_team() -> list[dict[str, Any]]:
    team = record(
        lambda: TeamNamespace("chat", {"team": {"name": "chat"}, "gpu_quota": 1, "gateway_namespace": "llm-gateway"})
    )
    policies = [each for each in team if each.type == "kubernetes:networking.k8s.io/v1:NetworkPolicy"]
    routers = [each for each in policies if "router" in str(each["spec"]["podSelector"].get("matchLabels"))]
    return [port for each in routers for rule in each["spec"].get("ingress", []) for port in rule["ports"]]
