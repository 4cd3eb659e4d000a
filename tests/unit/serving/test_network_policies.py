"""Who reaches whom under the rendered policies, as an evaluator says that knows nothing of how they were made."""

import pytest
from pulumi_kubernetes import meta, networking

from llm_serving.cloud.gcp.network import network_reach
from llm_serving.contract import NetworkReach
from llm_serving.serving.gateway_access import GatewayAccess
from llm_serving.serving.network_policies import group_policy, network_policies, service_policy
from llm_serving.spec.gcp import GcpNetworkSpec
from tests.unit.local.network_policy.builders import namespace, pod
from tests.unit.local.network_policy.evaluator import Connection, allowed
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid, manifests

SERVING, HEALTH = 8000, 8080
GATEWAY, PROBE, STRANGER, HUB = "10.0.16.7", "35.191.3.4", "10.0.0.9", "192.0.2.7"
METADATA, STORAGE, CLOUD_DNS = "169.254.169.254", "199.36.153.9", "169.254.169.254"
NAMESPACES = [namespace(name) for name in ("chat", "search", "monitoring", "kube-system", "keda")]


def component(name, **more):
    return {"app.kubernetes.io/component": name, **more}


def release(version):
    return component("engine", **{"llm-serving.dev/model": "qwen", "llm-serving.dev/release": version})


PODS = {
    "engine": pod("engine", "10.64.0.1", labels=release("1.0.0")),
    "peer": pod("peer", "10.64.0.2", labels=release("1.0.0")),
    "canary": pod("canary", "10.64.0.3", labels=release("1.1.0")),
    "loader": pod("loader", "10.64.0.4", labels=component("loader")),
    "compiler": pod("compiler", "10.64.0.5", labels=component("compile-cache")),
    "placeholder": pod("placeholder", "10.64.0.6", labels=component("placeholder")),
    "client": pod("client", "10.64.0.7", labels={"app": "shop"}),
    "other-engine": pod("other-engine", "10.64.1.1", "search", release("1.0.0")),
    "other-client": pod("other-client", "10.64.1.2", "search"),
    "prometheus": pod("prometheus", "10.64.2.1", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "grafana": pod("grafana", "10.64.2.2", "monitoring"),
    "dns": pod("dns", "10.64.3.1", "kube-system", {"k8s-app": "kube-dns"}),
    "node-dns": pod("node-dns", "10.64.3.2", "kube-system", {"k8s-app": "node-local-dns"}),
    "system": pod("system", "10.64.3.3", "kube-system", {"k8s-app": "metrics"}),
    "keda": pod("keda", "10.64.4.1", "keda"),
}


def render(policies, in_namespace):
    """Specs as Kubernetes gets them, checked by its schemas."""

    def program():
        for name, spec in policies.items():
            networking.v1.NetworkPolicy(
                name, metadata=meta.v1.ObjectMetaArgs(name=name, namespace=in_namespace), spec=spec
            )

    recording = record(program)
    assert_valid(recording)
    return manifests(recording)


def team_policies(name="chat", reach=None, *, from_internet=True, more=None, gateway=None, clients=()):
    policies = network_policies(
        network_reach(GcpNetworkSpec()) if reach is None else reach,
        serving_ports=[SERVING],
        metrics_ports=[SERVING, HEALTH],
        monitoring={"kubernetes.io/metadata.name": "monitoring"},
        from_internet=from_internet,
        gateway=gateway,
        client_namespaces=clients,
    )
    return render({**policies, **(more or {})}, name)


@pytest.fixture(scope="module")
def policies():
    """Both teams have theirs."""
    return [*team_policies("chat"), *team_policies("search")]


def can_connect(policies, source, target, port, protocol="TCP"):
    def address(name):
        return PODS[name]["status"]["podIP"] if name in PODS else name

    connection = Connection(address(source), address(target), protocol, port)
    return allowed(connection, policies, list(PODS.values()), NAMESPACES)


@pytest.mark.parametrize("source", ["client", GATEWAY, PROBE])
def test_clients_of_the_namespace_and_gateways_reach_engines(policies, source):
    assert can_connect(policies, source, "engine", SERVING)


def test_pods_of_a_namespace_that_the_team_names_reach_engines_and_nothing_else_of_it(policies):
    open_to_grafana = team_policies("chat", clients=["monitoring"])
    assert can_connect(open_to_grafana, "grafana", "engine", SERVING)
    assert not can_connect(open_to_grafana, "grafana", "client", SERVING)
    assert not can_connect(open_to_grafana, "system", "engine", SERVING)


@pytest.mark.parametrize("source", ["client", GATEWAY, "loader", "other-client", STRANGER])
def test_only_prometheus_reads_the_launchers_figures(policies, source):
    assert not can_connect(policies, source, "engine", HEALTH)


@pytest.mark.parametrize("port", [SERVING, HEALTH])
def test_prometheus_reads_metrics_of_every_team(policies, port):
    assert can_connect(policies, "prometheus", "engine", port)
    assert can_connect(policies, "prometheus", "other-engine", port)


@pytest.mark.parametrize("source", ["other-client", "other-engine", "system", "keda", STRANGER, HUB])
def test_nobody_else_reaches_engines(policies, source):
    assert not can_connect(policies, source, "engine", SERVING)


@pytest.mark.parametrize("target", ["client", "loader", "compiler", "placeholder"])
@pytest.mark.parametrize("source", ["client", "engine", "prometheus", "other-client", GATEWAY])
def test_pods_that_serve_nothing_are_reached_by_nobody(policies, source, target):
    if source != target:
        assert not can_connect(policies, source, target, SERVING)


@pytest.mark.parametrize("source", ["engine", "loader", "compiler", "client"])
@pytest.mark.parametrize("server", ["dns", "node-dns", "169.254.20.10", CLOUD_DNS])
@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_every_pod_resolves_names(policies, source, server, protocol):
    assert can_connect(policies, source, server, 53, protocol)


def test_a_name_service_is_asked_for_names_only(policies):
    assert not can_connect(policies, "engine", "dns", 9153)
    assert not can_connect(policies, "engine", "system", 53, "UDP")


@pytest.mark.parametrize("source", ["engine", "loader", "compiler"])
def test_what_reads_and_fills_the_cache_has_an_identity_and_reaches_the_object_store(policies, source):
    assert can_connect(policies, source, METADATA, 80)
    assert can_connect(policies, source, "169.254.169.252", 988)
    assert can_connect(policies, source, STORAGE, 443)


@pytest.mark.parametrize("source", ["client", "placeholder"])
def test_other_pods_get_neither_identity_nor_storage(policies, source):
    assert not can_connect(policies, source, METADATA, 80)
    assert not can_connect(policies, source, STORAGE, 443)


def test_only_loaders_reach_the_internet_and_only_by_https(policies):
    assert can_connect(policies, "loader", HUB, 443)
    assert not can_connect(policies, "loader", HUB, 80)
    assert not any(
        can_connect(policies, source, HUB, 443) for source in ("engine", "compiler", "client", "placeholder")
    )


@pytest.mark.parametrize("inside", ["10.0.0.9", "172.16.3.4", "192.168.1.1", "100.64.0.8", "169.254.169.253"])
def test_a_way_to_the_internet_is_none_into_the_network(policies, inside):
    assert not can_connect(policies, "loader", inside, 443)


def test_weights_from_a_mirror_need_no_internet():
    assert not can_connect(team_policies(from_internet=False), "loader", HUB, 443)


def test_engines_of_one_node_do_not_speak_with_each_other(policies):
    for port in (SERVING, 6379, 29500):
        assert not can_connect(policies, "engine", "peer", port)


def test_pods_of_a_multi_node_release_speak_on_every_port_with_their_own_release_only():
    policies = team_policies(more={"group": group_policy(release("1.0.0"))})
    for port in (6379, 29500, 41234):
        assert can_connect(policies, "engine", "peer", port)
        assert not can_connect(policies, "engine", "canary", port)
        assert not can_connect(policies, "client", "peer", port)


def test_without_a_cloud_nothing_but_names_and_engines_is_reached():
    """An empty list of ranges must never become a rule for every address."""
    policies = team_policies(reach=NetworkReach(), from_internet=False)
    for source in ("engine", "loader", "client"):
        for target in (METADATA, STORAGE, HUB, STRANGER):
            assert not any(can_connect(policies, source, target, port) for port in (80, 443))
    assert can_connect(policies, "client", "engine", SERVING)
    assert not can_connect(policies, GATEWAY, "engine", SERVING)


def test_a_store_of_our_own_is_reached_on_its_port_and_opens_nothing_else():
    policies = team_policies(
        reach=NetworkReach(storage_egress=("10.9.0.4/32",), storage_ports=(9000,)), from_internet=False
    )
    assert can_connect(policies, "loader", "10.9.0.4", 9000)
    assert not can_connect(policies, "loader", "10.9.0.4", 443)
    assert not any(can_connect(policies, "loader", target, 80) for target in ("10.9.0.4", METADATA, HUB))


def test_keda_asks_prometheus_and_its_own_namespace_reaches_it_as_before():
    keda = {"kubernetes.io/metadata.name": "keda"}
    policies = render({"queries": service_policy({"app.kubernetes.io/name": "prometheus"}, [keda], 9090)}, "monitoring")
    assert can_connect(policies, "keda", "prometheus", 9090)
    assert can_connect(policies, "grafana", "prometheus", 9090)
    assert not can_connect(policies, "keda", "prometheus", 8080)
    assert not can_connect(policies, "client", "prometheus", 9090)


BEHIND = {
    "proxy": pod("proxy", "10.64.5.1", "llm-gateway", component("gateway-proxy")),
    "litellm": pod("litellm", "10.64.5.2", "llm-gateway", component("gateway")),
    "router": pod("router", "10.64.0.8", labels=component("router")),
    "other-router": pod("other-router", "10.64.1.3", "search", component("router")),
    "impostor": pod("impostor", "10.64.0.9", labels=component("gateway-proxy")),
}
ROUTED = {("proxy", "router"), ("router", "engine"), ("router", "peer"), ("router", "canary")}
HOPS_BEHIND = [
    ((), ROUTED),
    (("phi",), ROUTED),
    (("qwen",), {("proxy", "router"), ("proxy", "engine"), ("proxy", "peer"), ("proxy", "canary")}),
]
"""Models whose engines the proxy asks itself, and who then asks whom."""


@pytest.mark.parametrize(("direct", "hops"), HOPS_BEHIND, ids=["none", "another", "this one"])
def test_behind_a_gateway_each_hop_accepts_its_predecessor_alone(direct, hops):
    rendered = [
        policy
        for name in ("chat", "search")
        for policy in team_policies(name, gateway=GatewayAccess("llm-gateway", direct))
    ]
    pods = {**PODS, **BEHIND}
    namespaces = [*NAMESPACES, namespace("llm-gateway")]

    def connects(source, target, port):
        start, end = (pods[name]["status"]["podIP"] if name in pods else name for name in (source, target))
        return allowed(Connection(start, end, "TCP", port), rendered, list(pods.values()), namespaces)

    sources = {*pods, GATEWAY, PROBE, STRANGER}
    reached = {
        (source, target)
        for target in ("engine", "peer", "canary", "router")
        for source in sources - {target}
        if connects(source, target, SERVING)
    }
    # Metrics are read by the engines' own port.
    assert {(source, target) for source, target in reached if source not in ("prometheus", "grafana")} == hops
    assert connects("client", "proxy", 8080)
    assert not connects("client", "litellm", 4000)
    assert not connects("engine", "proxy", 8080)
    assert connects("prometheus", "router", 29000)
