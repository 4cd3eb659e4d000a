"""Who may speak with whom in the gateway's namespace: each hop of a request accepts its predecessor alone.

Client, edge of the proxy, LiteLLM, internal listener of the proxy, router or engine of a team; LiteLLM and Redis. A
team's side of the last hop is in ``serving.network_policies``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulumi_kubernetes import meta, networking

from llm_serving.contract import LABEL_TEAM, NetworkReach
from llm_serving.gateway.certificates import SOLVER_PODS, SOLVER_PORT
from llm_serving.gateway.names import (
    LITELLM_METRICS_PORT,
    LITELLM_PORT,
    MODELS_PORT,
    PROXY_METRICS_PORT,
    REDIS_PORT,
)
from llm_serving.serving.gateway_access import EDGE_HTTP_PORT, EDGE_HTTPS_PORT, ROUTER_PORT
from llm_serving.serving.labels import (
    COMPONENT_ENGINE,
    COMPONENT_GATEWAY,
    COMPONENT_GATEWAY_PROXY,
    COMPONENT_GATEWAY_WORKER,
    COMPONENT_ROUTER,
)
from llm_serving.serving.network_policies import (
    INTERNET,
    NAMESPACE_NAME,
    Peer,
    Policy,
    addresses,
    default_deny,
    egress_to_dns,
    ingress,
    ingress_of_scrapes,
    internet,
    pods_in,
    pods_of,
    tcp,
)
from llm_serving.spec import GatewaySpec, LoadBalancerSpec, PostgresSpec

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
"""Ranges of private networks (RFC 1918, 6598), in one of which a Redis or Postgres that is there has its address, and
most API servers."""


@dataclass(frozen=True)
class Hops:
    """What differs between gateways.

    Attributes:
        client_namespaces: namespaces whose pods are clients.
        client_ranges: addresses of clients.
        routers: routers stand before the engines of some model.
        direct: the proxy asks the engines of some model itself.
        serving_ports: TCP ports on which engines answer.
        redis: components of the Redis that run in the namespace.
        hosted: addresses and TCP port of each hosted provider; no addresses: it is on the internet.
        redis_elsewhere: host and TCP port of each Redis that runs elsewhere.
        postgres: the database of keys and budgets; ``None`` where there is none.
        monitoring: labels of the namespaces that Prometheus runs in.
        challenged_by: namespace of cert-manager, which asks the edge over HTTP as an authority does; ``None`` where no
            authority does.
        edge_namespace: namespace of the pods of somebody else's edge; ``None`` where the proxy is the edge.
        queue: workers work off requests without a connection.
        webhook_ports: TCP ports on which they send webhooks to the internet.
    """

    client_namespaces: Sequence[str]
    client_ranges: Sequence[str]
    routers: bool
    direct: bool
    serving_ports: Sequence[int]
    redis: Sequence[str]
    redis_elsewhere: Sequence[tuple[str, int]]
    hosted: Sequence[tuple[Sequence[str], int]]
    postgres: PostgresSpec | None
    monitoring: Mapping[str, str]
    challenged_by: str | None
    edge_namespace: str | None
    queue: bool
    webhook_ports: Sequence[int]


def client_ranges(gateway: GatewaySpec) -> list[str]:
    """Addresses from which clients come through the load balancer, as its pods see them."""
    balancer = gateway.load_balancer
    if balancer is None:
        return []
    allowed = allowed_sources(balancer)
    # Nodes pass connections on by addresses of their own.
    return allowed if balancer.external_traffic_policy == "Local" else list(dict.fromkeys([*allowed, *PRIVATE]))


def allowed_sources(balancer: LoadBalancerSpec) -> list[str]:
    """Addresses of clients that a load balancer lets in."""
    return [*map(str, balancer.source_ranges)] or ([INTERNET] if balancer.public else [*PRIVATE])


def api_server(reach: NetworkReach) -> list[Peer]:
    """The API server, which is no pod."""
    return addresses(reach.api_server_egress or PRIVATE)


def gateway_policies(hops: Hops, reach: NetworkReach) -> dict[str, Policy]:
    """The policies of the gateway's namespace, by name; which there are does not depend on ``reach``."""
    proxy = Peer(pod_selector=pods_of(COMPONENT_GATEWAY_PROXY))
    litellm = Peer(pod_selector=pods_of(COMPONENT_GATEWAY))
    # A worker is LiteLLM without clients.
    asking = [litellm, *([Peer(pod_selector=pods_of(COMPONENT_GATEWAY_WORKER))] if hops.queue else [])]
    edge = proxy if hops.edge_namespace is None else pods_in({NAMESPACE_NAME: hops.edge_namespace})
    policies = {
        "default-deny": default_deny(),
        "dns": egress_to_dns(reach),
        "clients": _ingress_of_clients(hops, reach),
        "litellm": ingress(COMPONENT_GATEWAY, [edge], [LITELLM_PORT]),
        "models": ingress(COMPONENT_GATEWAY_PROXY, asking, [MODELS_PORT]),
        "litellm-metrics": ingress_of_scrapes(COMPONENT_GATEWAY, [LITELLM_METRICS_PORT], hops.monitoring),
        "proxy-metrics": ingress_of_scrapes(COMPONENT_GATEWAY_PROXY, [PROXY_METRICS_PORT], hops.monitoring),
        "litellm-egress": Policy(
            pod_selector=pods_of(COMPONENT_GATEWAY), policy_types=["Egress"], egress=_egress_of_litellm(hops, proxy)
        ),
        "proxy-egress": _egress_of_proxy(hops, litellm, reach),
    }
    if hops.challenged_by is not None:
        solver = meta.v1.LabelSelectorArgs(match_labels=SOLVER_PODS)
        rule = networking.v1.NetworkPolicyIngressRuleArgs(from_=[proxy], ports=tcp([SOLVER_PORT]))
        policies["acme-solver"] = Policy(pod_selector=solver, policy_types=["Ingress"], ingress=[rule])
    for component in hops.redis:
        policies[component] = ingress(component, asking, [REDIS_PORT])
    if hops.queue:
        policies["worker-metrics"] = ingress_of_scrapes(
            COMPONENT_GATEWAY_WORKER, [LITELLM_METRICS_PORT], hops.monitoring
        )
        policies["worker-egress"] = _egress_of_workers(hops, proxy)
    return policies


def _ingress_of_clients(hops: Hops, reach: NetworkReach) -> Policy:
    sources = list[Peer]()
    if hops.edge_namespace is None:
        sources += [pods_in({NAMESPACE_NAME: name}) for name in hops.client_namespaces]
        sources += addresses([*hops.client_ranges, *reach.gateway_sources])
    if hops.challenged_by is not None:
        sources.append(pods_in({NAMESPACE_NAME: hops.challenged_by}))
    ports = [EDGE_HTTP_PORT, EDGE_HTTPS_PORT]
    if sources:
        return ingress(COMPONENT_GATEWAY_PROXY, sources, ports)
    # A rule without sources would allow every one.
    return Policy(pod_selector=pods_of(COMPONENT_GATEWAY_PROXY), policy_types=["Ingress"], ingress=[])


def _egress_of_litellm(hops: Hops, proxy: Peer) -> list[networking.v1.NetworkPolicyEgressRuleArgs]:
    rules = [_to([proxy], [MODELS_PORT])]
    if hops.redis:
        rules.append(_to([Peer(pod_selector=pods_of(*hops.redis))], [REDIS_PORT]))
    for host, port in hops.redis_elsewhere:
        rules.append(_to([*_pods_of_service(host), *addresses(PRIVATE)], [port]))
    for ranges, port in dict.fromkeys(hops.hosted):
        rules.append(_to(addresses(ranges) if ranges else [internet()], [port]))
    if hops.postgres is not None:
        rules.append(_to(_postgres(hops.postgres), [hops.postgres.port]))
    return rules


def _egress_of_workers(hops: Hops, proxy: Peer) -> Policy:
    rules = _egress_of_litellm(hops, proxy)
    if hops.webhook_ports:
        rules.append(_to([internet()], hops.webhook_ports))
    return Policy(pod_selector=pods_of(COMPONENT_GATEWAY_WORKER), policy_types=["Egress"], egress=rules)


def _postgres(postgres: PostgresSpec) -> list[Peer]:
    """Where a database is: its ranges, else the pods that its name says, else private addresses."""
    if postgres.addresses:
        return addresses([str(each) for each in postgres.addresses])
    return _pods_of_service(postgres.host) or addresses(PRIVATE)


def _pods_of_service(host: str) -> list[Peer]:
    """The pods of the namespace that the name of a Service says; none of another name. Where Cilium enforces policies,
    as on GKE, ranges of addresses are never pods (its documentation, "Layer 3 Examples", "IP/CIDR based")."""
    _, *rest = host.split(".")
    return [pods_in({NAMESPACE_NAME: rest[0]})] if rest[1:2] == ["svc"] else []


def _egress_of_proxy(hops: Hops, litellm: Peer, reach: NetworkReach) -> Policy:
    rules = [_to(api_server(reach), reach.api_server_ports)]
    if hops.edge_namespace is None:
        rules.insert(0, _to([litellm], [LITELLM_PORT]))
    if hops.challenged_by is not None:
        solver = Peer(pod_selector=meta.v1.LabelSelectorArgs(match_labels=SOLVER_PODS))
        rules.append(_to([solver], [SOLVER_PORT]))
    if hops.routers:
        rules.append(_to([_of_teams(COMPONENT_ROUTER)], [ROUTER_PORT]))
    if hops.direct:
        rules.append(_to([_of_teams(COMPONENT_ENGINE)], hops.serving_ports))
    return Policy(pod_selector=pods_of(COMPONENT_GATEWAY_PROXY), policy_types=["Egress"], egress=rules)


def _of_teams(component: str) -> Peer:
    """Pods of a component in the namespaces of all teams."""
    teams = meta.v1.LabelSelectorArgs(
        match_expressions=[meta.v1.LabelSelectorRequirementArgs(key=LABEL_TEAM, operator="Exists")]
    )
    return Peer(namespace_selector=teams, pod_selector=pods_of(component))


def _to(targets: Sequence[Peer], ports: Sequence[int]) -> networking.v1.NetworkPolicyEgressRuleArgs:
    return networking.v1.NetworkPolicyEgressRuleArgs(to=list(targets), ports=tcp(ports))
