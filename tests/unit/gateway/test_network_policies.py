"""Who reaches whom on the path of a request, computed from the objects as they are rendered for two teams' namespaces
and the gateway's, by an evaluator that knows nothing of how they were made."""

# pyright: reportArgumentType=false, reportCallIssue=false

from functools import cache, partial
from itertools import product
from typing import Any

import pytest

from llm_serving.arguments import parse
from llm_serving.gateway import Gateway, GatewayProxy, Redis, ReleaseRouter
from llm_serving.serving import TeamNamespace
from llm_serving.serving.labels import release_labels
from llm_serving.spec import ModelSpec, ReleaseSpec
from tests.unit.gateway.offered import arguments
from tests.unit.local.network_policy.builders import namespace, pod
from tests.unit.local.network_policy.evaluator import Connection, allowed
from tests.unit.recording import record
from tests.unit.serving.manifests import manifests
from tests.unit.serving.served import RELEASE

EDGE, EDGE_TLS, MODELS, PROXY_METRICS = 8080, 8443, 8081, 8082
LITELLM, LITELLM_METRICS, REDIS, API = 4000, 4001, 6379, 443
SERVING, ROUTER_METRICS = 8000, 29000
LAUNCHER = 8080
CLIENT, INTERNET, API_SERVER = "10.1.0.7", "192.0.2.7", "10.128.0.2"
DATABASE, POSTGRES = "10.9.7.5", 5432


API_SERVER_RANGE = {"reach": {"apiServerEgress": [f"{API_SERVER}/32"]}}


@cache
def objects() -> list[dict[str, Any]]:
    """All parts of a gateway. Model qwen of team chat and bge of search have routers, phi of chat has none."""
    image = {"repository": "registry.example/image", "tag": "1"}
    redis: Any = {"namespace": "llm-gateway", "image": image, "password": "hunter2"}

    def program() -> None:
        Gateway(
            "gateway",
            arguments(client_namespaces=["shop", "chat"], client_ranges=["10.1.0.0/24"], **API_SERVER_RANGE),
        )
        teams = {"chat": "chat", "search": "search"}
        proxy: Any = {"namespace": "llm-gateway", "team_namespaces": teams, "image": "registry.example/proxy:1"}
        GatewayProxy("proxy", proxy)
        for store in ("limits", "cache"):
            of_store: Any = {store: {}, **redis}
            Redis(store, of_store)
        for model, team in (("qwen", "chat"), ("bge", "search")):
            of_release: Any = {"model": model, "release": "1.0.0", "team": team, "namespace": team, "image": image}
            of_release |= API_SERVER_RANGE
            ReleaseRouter(model, of_release)
        behind: Any = {"gateway_namespace": "llm-gateway", "gateway_direct_models": ["phi"], "gpu_quota": 1}
        for team in teams:
            of_team: Any = {"team": {"name": team}, **behind}
            TeamNamespace(team, of_team)

    return manifests(record(program))


def part(address: str, kind: str, name: str) -> dict[str, Any]:
    """A pod of a workload, with the labels that the workload gives it."""
    (workload,) = (each for each in objects() if each["kind"] == kind and each["metadata"]["name"] == name)
    labels = workload["spec"]["template"]["metadata"]["labels"]
    return pod(name, address, workload["metadata"]["namespace"], labels)


def engine(name: str, address: str, team: str) -> dict[str, Any]:
    """A pod of an engine, with the labels that those of a model have."""
    model: Any = {"name": name, "team": team, "pool": "l4", "releases": {"stable": "1.0.0"}}
    release = parse(ReleaseSpec, {**RELEASE, "name": name})
    return pod(name, address, team, release_labels(parse(ModelSpec, model), release, {}))


PODS: dict[str, Any] = {
    "proxy": part("10.64.0.1", "Deployment", "proxy"),
    "litellm": part("10.64.0.2", "Deployment", "litellm"),
    "worker": part("10.64.0.5", "Deployment", "worker"),
    "limits": part("10.64.0.3", "StatefulSet", "redis-limits"),
    "cache": part("10.64.0.4", "Deployment", "redis-cache"),
    "qwen-router": part("10.64.1.1", "Deployment", "qwen-1-0-0-router"),
    "qwen": engine("qwen", "10.64.1.2", "chat"),
    "phi": engine("phi", "10.64.1.3", "chat"),
    "app": pod("app", "10.64.1.4", "chat", {"app": "shop"}),
    "bge-router": part("10.64.2.1", "Deployment", "bge-1-0-0-router"),
    "bge": engine("bge", "10.64.2.2", "search"),
    "shop": pod("shop", "10.64.3.1", "shop"),
    "stranger": pod("stranger", "10.64.4.1", "other", {"app.kubernetes.io/component": "gateway-proxy"}),
    "prometheus": pod("prometheus", "10.64.5.1", "monitoring"),
    "dns": pod("dns", "10.64.6.1", "kube-system", {"k8s-app": "kube-dns"}),
}
OUTSIDE = {CLIENT, INTERNET, API_SERVER, DATABASE}

HOPS = {
    *product(("shop", "app", CLIENT), ("proxy",), (EDGE, EDGE_TLS)),
    ("proxy", "litellm", LITELLM),
    ("litellm", "proxy", MODELS),
    ("worker", "proxy", MODELS),
    *product(("litellm", "worker"), ("limits", "cache"), (REDIS,)),
    *product(("worker",), (INTERNET,), (API, EDGE_TLS)),
    *product(("litellm", "worker"), (DATABASE,), (POSTGRES,)),
    ("proxy", "qwen-router", SERVING),
    ("proxy", "bge-router", SERVING),
    ("proxy", "phi", SERVING),
    ("qwen-router", "qwen", SERVING),
    ("bge-router", "bge", SERVING),
    *product(("proxy", "qwen-router", "bge-router"), (API_SERVER,), (API,)),
    *product(("prometheus",), ("litellm", "worker"), (LITELLM_METRICS,)),
    ("prometheus", "proxy", PROXY_METRICS),
    *product(("prometheus",), ("qwen-router", "bge-router"), (ROUTER_METRICS,)),
    *product(("prometheus",), ("qwen", "phi", "bge"), (SERVING, LAUNCHER)),
}
"""All that is allowed, by source, target and TCP port."""


def policies() -> list[dict[str, Any]]:
    return [each for each in objects() if each["kind"] == "NetworkPolicy"]


def namespaces() -> list[dict[str, Any]]:
    ours = [each for each in objects() if each["kind"] == "Namespace"]
    for each in ours:
        each["metadata"]["labels"]["kubernetes.io/metadata.name"] = each["metadata"]["name"]
    return [*ours, *map(namespace, ("shop", "other", "monitoring", "kube-system"))]


def can_connect(source: str, target: str, port: int, protocol: str = "TCP", only: str | None = None) -> bool:
    """Under all policies, or under one side of them: what is let in, or what is let out."""
    begin, end = (PODS[name]["status"]["podIP"] if name in PODS else name for name in (source, target))
    rendered = policies() if only is None else [each for each in map(partial(side, only), policies()) if each]
    return allowed(Connection(begin, end, protocol, port), rendered, list(PODS.values()), namespaces())


def side(only: str, policy: dict[str, Any]) -> dict[str, Any] | None:
    """One side of a policy; ``None`` where it has nothing to say of it."""
    types = [each for each in policy["spec"]["policyTypes"] if each == only]
    return {**policy, "spec": {**policy["spec"], "policyTypes": types}} if types else None


PORTS = (
    *(80, API, EDGE, EDGE_TLS, LITELLM, LITELLM_METRICS, MODELS, PROXY_METRICS, REDIS, POSTGRES, SERVING),
    ROUTER_METRICS,
)
OURS = {name for name, each in PODS.items() if each["metadata"]["namespace"] in ("llm-gateway", "chat", "search")}


ENDS = {*PODS, *OUTSIDE}


def test_each_hop_is_all_that_is_allowed() -> None:
    """Every pair of which one end is ours, on every port of the path."""
    tried = [(a, b, port) for a, b, port in product(ENDS, ENDS, PORTS) if a != b and OURS & {a, b}]
    assert {each for each in tried if can_connect(*each)} == HOPS


def test_each_hop_accepts_its_predecessor_alone_whatever_that_lets_out() -> None:
    """The edge knows clients by their namespace; engines in it let nothing out."""
    clients = {name for name, each in PODS.items() if each["metadata"]["namespace"] in ("chat", "shop")}
    tried = [(a, b, port) for a, b, port in product(ENDS, OURS, PORTS) if a != b]
    assert {each for each in tried if can_connect(*each, only="Ingress")} == {
        *(hop for hop in HOPS if hop[1] in OURS),
        *product(clients, ("proxy",), (EDGE, EDGE_TLS)),
    }


NOT_TOLD_APART = {*product(("proxy",), ("qwen", "bge"), (SERVING,)), ("qwen-router", "phi", SERVING)}
"""What a source may send and its target refuses: to a source, engines are engines."""


def test_nobody_sends_to_anybody_but_the_next_hop() -> None:
    tried = [(a, b, port) for a, b, port in product(OURS, ENDS, PORTS) if a != b]
    sent = {each for each in tried if can_connect(*each, only="Egress")}
    assert sent == {hop for hop in HOPS if hop[0] in OURS} | NOT_TOLD_APART


@pytest.mark.parametrize("source", ["proxy", "litellm", "worker", "limits", "qwen-router"])
@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_every_part_resolves_names(source: str, protocol: str) -> None:
    assert can_connect(source, "dns", 53, protocol)


def of_gateway(**changes: Any) -> list[dict[str, Any]]:
    rendered = manifests(record(lambda: Gateway("gateway", arguments(**changes))))
    return [each for each in rendered if each["kind"] == "NetworkPolicy"]


def reaches(rendered: list[dict[str, Any]], source: str, target: str, port: int) -> bool:
    begin, end = (PODS[name]["status"]["podIP"] if name in PODS else name for name in (source, target))
    return allowed(Connection(begin, end, "TCP", port), rendered, list(PODS.values()), namespaces())


def test_without_clients_nobody_comes_in_and_a_public_gateway_takes_all() -> None:
    assert not any(reaches(of_gateway(), source, "proxy", EDGE) for source in ("shop", "app", CLIENT, INTERNET))
    public = of_gateway(settings={"load_balancer": {"public": True}})
    assert reaches(public, INTERNET, "proxy", EDGE)
    assert not reaches(public, INTERNET, "proxy", MODELS)
    assert not reaches(public, INTERNET, "litellm", LITELLM)


@pytest.mark.parametrize(
    ("balancer", "sources"),
    [
        ({}, {CLIENT}),
        ({"source_ranges": ["10.2.0.0/16"]}, set()),
        ({"public": True, "source_ranges": ["192.0.2.0/24"]}, {INTERNET}),
        ({"public": True, "source_ranges": ["198.51.100.0/24"]}, set()),
        # Nodes pass connections on by their own addresses, and the load balancer keeps the ranges.
        ({"public": True, "source_ranges": ["198.51.100.0/24"], "external_traffic_policy": "Cluster"}, {CLIENT}),
    ],
)
def test_clients_of_a_load_balancer_come_from_where_it_lets_them_in(balancer: Any, sources: set[str]) -> None:
    rendered = of_gateway(settings={"load_balancer": balancer})
    assert {source for source in (CLIENT, INTERNET) if reaches(rendered, source, "proxy", EDGE)} == sources
    assert not any(reaches(rendered, source, "proxy", MODELS) for source in (CLIENT, INTERNET))


def test_behind_an_edge_that_is_there_its_pods_alone_reach_litellm() -> None:
    edge = {"name": "shared", "namespace": "infra", "proxy_namespace": "shop"}
    rendered = of_gateway(
        settings={"existing_edge": edge, "host": "llm.example.com"},
        client_namespaces=["shop"],
        client_ranges=["10.1.0.0/24"],
    )
    assert reaches(rendered, "shop", "litellm", LITELLM)
    assert not reaches(rendered, "app", "litellm", LITELLM)
    assert not reaches(rendered, "proxy", "litellm", LITELLM)
    assert not any(reaches(rendered, source, "proxy", EDGE) for source in ("shop", CLIENT))
    assert reaches(rendered, "litellm", "proxy", MODELS)


def test_gateways_of_the_cloud_are_clients() -> None:
    rendered = of_gateway(reach={"gatewaySources": ["10.1.0.0/24"]})
    assert reaches(rendered, CLIENT, "proxy", EDGE)
    assert not reaches(rendered, INTERNET, "proxy", EDGE)


def test_a_redis_that_is_there_is_reached_in_private_networks_on_its_port_alone() -> None:
    redis = {"limits": {"host": "redis.example.com", "port": 6380}}
    rendered = of_gateway(settings={"redis": redis, "cache": None})
    assert reaches(rendered, "litellm", "10.9.0.4", 6380)
    assert not reaches(rendered, "litellm", "10.9.0.4", REDIS)
    assert not reaches(rendered, "litellm", INTERNET, 6380)
    assert not reaches(of_gateway(), "litellm", "10.9.0.4", REDIS)


def test_a_redis_of_another_namespace_is_reached_where_ranges_of_addresses_are_no_pods() -> None:
    redis = {"limits": {"host": "redis.other.svc", "port": 6380}}
    (policy,) = (
        each
        for each in of_gateway(settings={"redis": redis, "cache": None})
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "litellm-egress"
    )
    (rule,) = (rule for rule in policy["spec"]["egress"] if rule["ports"][0]["port"] == 6380)
    namespaces_of_pods = [peer["namespaceSelector"]["matchLabels"] for peer in rule["to"] if "ipBlock" not in peer]
    assert namespaces_of_pods == [{"kubernetes.io/metadata.name": "other"}]


def test_a_postgres_is_reached_by_the_gateway_alone_where_it_is_said_or_its_name_says_it_is() -> None:
    def with_postgres(**settings: Any) -> list[dict[str, Any]]:
        return of_gateway(settings={"postgres": {"secret_name": "keys", **settings}})

    somewhere = with_postgres(host="keys.example.com", port=6432)
    assert reaches(somewhere, "litellm", DATABASE, 6432)
    assert not reaches(somewhere, "litellm", DATABASE, POSTGRES)
    assert not reaches(somewhere, "litellm", INTERNET, 6432)
    in_a_namespace = with_postgres(host="keys-rw.other.svc.cluster.local")
    assert reaches(in_a_namespace, "litellm", "stranger", POSTGRES)
    assert not reaches(in_a_namespace, "litellm", "shop", POSTGRES)
    for rendered in (somewhere, in_a_namespace):
        assert not any(reaches(rendered, source, DATABASE, 6432) for source in ("proxy", "limits", "cache"))
    assert not reaches(of_gateway(settings={"postgres": None}), "litellm", DATABASE, POSTGRES)


def test_the_proxy_asks_no_engine_itself_where_all_models_have_routers() -> None:
    routed = of_gateway(models=[{"name": "qwen", "context_tokens": 10}], settings={"models": []})
    assert reaches(routed, "proxy", "qwen-router", SERVING)
    assert not reaches(routed, "proxy", "qwen", SERVING)


def test_the_api_server_is_asked_where_it_is_said_to_be() -> None:
    rendered = of_gateway(reach={"apiServerEgress": ["192.0.2.7/32"], "apiServerPorts": [8443]})
    assert reaches(rendered, "proxy", INTERNET, 8443)
    assert not reaches(rendered, "proxy", API_SERVER, API)
    assert not reaches(rendered, "litellm", INTERNET, 8443)


def test_without_a_queue_there_are_no_workers_and_without_webhooks_they_reach_nobody_outside() -> None:
    without = of_gateway(settings={"queue": {}})
    assert reaches(without, "worker", "proxy", MODELS)
    assert not reaches(without, "worker", INTERNET, API)
    assert not any("worker" in each["metadata"]["name"] for each in of_gateway(settings={"queue": None}))
    # Not even those that send webhooks reach what is not on the internet.
    sending = of_gateway()
    assert reaches(sending, "worker", INTERNET, API)
    assert not any(reaches(sending, "worker", target, API) for target in (API_SERVER, CLIENT, "169.254.169.254"))
