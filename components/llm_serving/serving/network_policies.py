"""Who may speak with whom in a team's namespace: nobody, and then the few connections that serving needs.

Each function renders policies; two policies for the same pods allow what either allows. Kubernetes always lets a node
speak with its own pods, so probes need no rule.

Leaves alone: what pods may do once they are connected (the gateway's keys), and namespaces that are not ours.
"""

from collections.abc import Mapping, Sequence

from pulumi_kubernetes import meta, networking

from llm_serving.contract import LABEL_MODEL, NetworkReach
from llm_serving.serving.gateway_access import (
    EDGE_HTTP_PORT,
    EDGE_HTTPS_PORT,
    ROUTER_METRICS_PORT,
    ROUTER_PORT,
    GatewayAccess,
)
from llm_serving.serving.labels import (
    COMPONENT_COMPILE_CACHE,
    COMPONENT_ENGINE,
    COMPONENT_GATEWAY_PROXY,
    COMPONENT_LOADER,
    COMPONENT_QUANTIZATION,
    COMPONENT_ROUTER,
    LABEL_COMPONENT,
)

_FILL_CACHES = (COMPONENT_LOADER, COMPONENT_COMPILE_CACHE, COMPONENT_QUANTIZATION)
"""What writes into the model cache."""

Policy = networking.v1.NetworkPolicySpecArgs
Peer = networking.v1.NetworkPolicyPeerArgs
Port = networking.v1.NetworkPolicyPortArgs

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""On every namespace: its name (Kubernetes sets it)."""

DNS_NAMESPACE = "kube-system"
DNS_PODS = ("kube-dns", "node-local-dns")
"""Label ``k8s-app`` of name services: CoreDNS and kube-dns carry the first, NodeLocal DNSCache the second."""
NODE_LOCAL_DNS = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens on a node (Kubernetes documentation, "Using NodeLocal DNSCache")."""

INTERNET = "0.0.0.0/0"
NOT_INTERNET = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
"""Private, shared, local and link-local ranges (RFC 1918, 6598, 1122, 3927): nothing there is on the internet."""


def network_policies(
    reach: NetworkReach,
    *,
    serving_ports: Sequence[int],
    metrics_ports: Sequence[int],
    monitoring: Mapping[str, str],
    from_internet: bool,
    way_out: tuple[Sequence[str], Sequence[int]] | None = None,
    gateway: GatewayAccess | None = None,
    client_namespaces: Sequence[str] = (),
) -> dict[str, Policy]:
    """The policies of a team's namespace, by name.

    Args:
        reach: addresses of the cloud's services, and those that gateways come from.
        serving_ports: TCP ports on which engines answer.
        metrics_ports: TCP ports from which Prometheus reads an engine's pod.
        monitoring: labels of the namespaces that Prometheus runs in.
        from_internet: weights come from the internet.
        way_out: address ranges and TCP ports of the proxy or mirror that the site prescribes.
        gateway: what stands in front of the team's engines, and is then the only way to them; ``None`` where clients
            ask engines themselves.
        client_namespaces: other namespaces whose pods ask engines themselves.
    """
    policies = {
        "default-deny": default_deny(),
        "dns": egress_to_dns(reach),
        "metrics": ingress_of_scrapes(COMPONENT_ENGINE, metrics_ports, monitoring),
    }
    # Policies add up, so those with a gateway have names of their own: the others go when an update has made
    # everything else, and clients are answered meanwhile.
    if gateway is None:
        policies["serving"] = _ingress_to_engines(reach, serving_ports, client_namespaces)
        policies["clients"] = _egress_to_engines(serving_ports)
    else:
        policies |= _policies_behind(gateway, serving_ports, monitoring)
    if reach.identity_egress or reach.storage_egress:
        policies["cloud"] = _egress_to_identity_and_storage(reach)
    if way_out is not None and way_out[0]:
        policies["way-out"] = _egress_to_site(*way_out)
    if from_internet:
        policies["hub"] = _egress_to_internet()
    return policies


def group_policy(release: Mapping[str, str]) -> Policy:
    """Pods of a release whose instances have several nodes speak with each other on every port: collective operations
    choose theirs when they start. A policy cannot tell one group of a release from another.

    Args:
        release: labels of the release's pods.
    """
    peers = [Peer(pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(release)))]
    return Policy(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(release)),
        policy_types=["Ingress", "Egress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=peers)],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=peers)],
    )


def service_policy(pods: Mapping[str, str], clients: Sequence[Mapping[str, str]], port: int) -> Policy:
    """Who reaches a service that this stack installs: its own namespace, and its clients. For one that somebody else
    brings, the policy is theirs: one of ours would shut out whom we do not know.

    Args:
        pods: labels of the service's pods.
        clients: labels of the namespaces that its clients run in.
        port: TCP port that the clients use.
    """
    return Policy(
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)),
        policy_types=["Ingress"],
        ingress=[
            networking.v1.NetworkPolicyIngressRuleArgs(from_=[Peer(pod_selector=every_pod())]),
            # A rule without sources would allow every one.
            *(
                networking.v1.NetworkPolicyIngressRuleArgs(from_=[pods_in(labels)], ports=tcp([port]))
                for labels in clients
            ),
        ],
    )


def egress_to_dns(reach: NetworkReach) -> Policy:
    """Every pod of the namespace resolves names."""
    pods = Peer(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels={NAMESPACE_NAME: DNS_NAMESPACE}),
        pod_selector=meta.v1.LabelSelectorArgs(
            match_expressions=[
                meta.v1.LabelSelectorRequirementArgs(key="k8s-app", operator="In", values=list(DNS_PODS))
            ]
        ),
    )
    ports = [Port(protocol=protocol, port=53) for protocol in ("UDP", "TCP")]
    to = [pods, *addresses([NODE_LOCAL_DNS, *reach.dns_egress])]
    return Policy(
        pod_selector=every_pod(),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=to, ports=ports)],
    )


def _ingress_to_engines(reach: NetworkReach, ports: Sequence[int], client_namespaces: Sequence[str]) -> Policy:
    """Clients of the namespace and of those that are named, and gateways reach engines."""
    others = [pods_in({NAMESPACE_NAME: name}) for name in client_namespaces]
    sources = [Peer(pod_selector=every_pod()), *others, *addresses(reach.gateway_sources)]
    return ingress(COMPONENT_ENGINE, sources, ports)


def _egress_to_engines(ports: Sequence[int]) -> Policy:
    """Pods of the namespace, except those of ours that ask no engine, may ask its engines."""
    engines = [Peer(pod_selector=pods_of(COMPONENT_ENGINE))]
    return Policy(
        pod_selector=_no_part_of_ours(COMPONENT_ENGINE, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=engines, ports=tcp(ports))],
    )


def ingress_of_scrapes(component: str, ports: Sequence[int], monitoring: Mapping[str, str]) -> Policy:
    """Prometheus, in namespaces with the labels ``monitoring``, reads the metrics of pods of ours."""
    return ingress(component, [pods_in(monitoring)], ports)


def _policies_behind(
    gateway: GatewayAccess, serving_ports: Sequence[int], monitoring: Mapping[str, str]
) -> dict[str, Policy]:
    """Each hop takes its predecessor alone: pods of the namespace ask the gateway, as everybody does."""
    proxy = pods_in({NAMESPACE_NAME: gateway.namespace}, COMPONENT_GATEWAY_PROXY)
    routers, engines = (Peer(pod_selector=pods_of(component)) for component in (COMPONENT_ROUTER, COMPONENT_ENGINE))
    policies = {
        "clients-of-gateway": _egress_to_gateway(proxy),
        "serving-behind-routers": _ingress_of_models("NotIn", gateway.direct, routers, serving_ports),
        "routers": ingress(COMPONENT_ROUTER, [proxy], [ROUTER_PORT]),
        "routers-metrics": ingress_of_scrapes(COMPONENT_ROUTER, [ROUTER_METRICS_PORT], monitoring),
        "routers-engines": egress(COMPONENT_ROUTER, [engines], serving_ports),
    }
    if gateway.direct:
        policies["serving-direct"] = _ingress_of_models("In", gateway.direct, proxy, serving_ports)
    return policies


def _ingress_of_models(operator: str, models: Sequence[str], source: Peer, ports: Sequence[int]) -> Policy:
    # Kubernetes refuses a requirement without values.
    selected = [_requirement(operator, models, LABEL_MODEL)] if models else None
    return Policy(
        pod_selector=meta.v1.LabelSelectorArgs(
            match_labels={LABEL_COMPONENT: COMPONENT_ENGINE}, match_expressions=selected
        ),
        policy_types=["Ingress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=[source], ports=tcp(ports))],
    )


def _egress_to_gateway(proxy: Peer) -> Policy:
    return Policy(
        pod_selector=_no_part_of_ours(COMPONENT_ENGINE, COMPONENT_ROUTER, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=[proxy], ports=tcp([EDGE_HTTP_PORT, EDGE_HTTPS_PORT]))],
    )


def _egress_to_identity_and_storage(reach: NetworkReach) -> Policy:
    """Engines and what fills their caches prove who they are, and reach the object store."""
    services = ((reach.identity_egress, reach.identity_ports), (reach.storage_egress, reach.storage_ports))
    return Policy(
        pod_selector=pods_of(COMPONENT_ENGINE, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[
            networking.v1.NetworkPolicyEgressRuleArgs(to=addresses(ranges), ports=tcp(ports))
            # A rule without ranges would allow every address.
            for ranges, ports in services
            if ranges
        ],
    )


def _egress_to_site(ranges: Sequence[str], ports: Sequence[int]) -> Policy:
    """Engines and what fills their caches reach the site's proxy, or its mirror."""
    return Policy(
        pod_selector=pods_of(COMPONENT_ENGINE, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=addresses(ranges), ports=tcp(ports))],
    )


def internet() -> Peer:
    """Every address that is no private one."""
    return Peer(ip_block=networking.v1.IPBlockArgs(cidr=INTERNET, except_=list(NOT_INTERNET)))


def _egress_to_internet() -> Policy:
    return Policy(
        pod_selector=pods_of(COMPONENT_LOADER),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=[internet()], ports=tcp([443]))],
    )


def default_deny() -> Policy:
    """Nobody speaks with any pod of the namespace, and none of them with anybody."""
    return Policy(pod_selector=every_pod(), policy_types=["Ingress", "Egress"])


def ingress(component: str, sources: Sequence[Peer], ports: Sequence[int]) -> Policy:
    """Pods of a component are reached from ``sources``, of which there is at least one: a rule without any would allow
    every one."""
    return Policy(
        pod_selector=pods_of(component),
        policy_types=["Ingress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=list(sources), ports=tcp(ports))],
    )


def egress(component: str, targets: Sequence[Peer], ports: Sequence[int]) -> Policy:
    """Pods of a component reach ``targets``, of which there is at least one: a rule without any would allow every
    address."""
    return Policy(
        pod_selector=pods_of(component),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=list(targets), ports=tcp(ports))],
    )


def every_pod() -> meta.v1.LabelSelectorArgs:
    """A selector that matches all pods."""
    return meta.v1.LabelSelectorArgs()


def pods_of(*components: str) -> meta.v1.LabelSelectorArgs:
    """A selector of the pods of components, values of :data:`LABEL_COMPONENT`."""
    if len(components) == 1:
        return meta.v1.LabelSelectorArgs(match_labels={LABEL_COMPONENT: components[0]})
    return meta.v1.LabelSelectorArgs(match_expressions=[_requirement("In", components)])


def _no_part_of_ours(*components: str) -> meta.v1.LabelSelectorArgs:
    return meta.v1.LabelSelectorArgs(match_expressions=[_requirement("NotIn", components)])


def _requirement(
    operator: str, values: Sequence[str], key: str = LABEL_COMPONENT
) -> meta.v1.LabelSelectorRequirementArgs:
    return meta.v1.LabelSelectorRequirementArgs(key=key, operator=operator, values=list(values))


def pods_in(labels: Mapping[str, str], *components: str) -> Peer:
    """Pods of components, or all pods, in the namespaces with these labels."""
    namespaces = meta.v1.LabelSelectorArgs(match_labels=dict(labels))
    return Peer(namespace_selector=namespaces, pod_selector=pods_of(*components) if components else None)


def addresses(ranges: Sequence[str]) -> list[Peer]:
    """Addresses as peers."""
    return [Peer(ip_block=networking.v1.IPBlockArgs(cidr=cidr)) for cidr in ranges]


def tcp(ports: Sequence[int]) -> list[Port]:
    """TCP ports of a rule."""
    return [Port(protocol="TCP", port=port) for port in ports]
