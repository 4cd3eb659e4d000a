"""Who may speak with whom in a team's namespace: nobody, and then the few connections that serving needs.

Each function renders policies; two policies for the same pods allow what either allows. Kubernetes always lets a node
speak with its own pods, so probes need no rule.

Leaves alone: what pods may do once they are connected (the gateway's keys), and namespaces that are not ours.
"""

from collections.abc import Mapping, Sequence

from pulumi_kubernetes import meta, networking

from llm_serving.contract import NetworkReach
from llm_serving.serving.labels import (
    COMPONENT_COMPILE_CACHE,
    COMPONENT_ENGINE,
    COMPONENT_LOADER,
    COMPONENT_QUANTIZATION,
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
) -> dict[str, Policy]:
    """The policies of a team's namespace, by name.

    Args:
        reach: addresses of the cloud's services, and those that gateways come from.
        serving_ports: TCP ports on which engines answer.
        metrics_ports: TCP ports from which Prometheus reads an engine's pod.
        monitoring: labels of the namespaces that Prometheus runs in.
        from_internet: weights come from the internet.
        way_out: address ranges and TCP ports of the proxy or mirror that the site prescribes.
    """
    policies = {
        "default-deny": Policy(pod_selector=_every_pod(), policy_types=["Ingress", "Egress"]),
        "dns": _egress_to_dns(reach),
        "serving": _ingress_to_engines(reach, serving_ports),
        "clients": _egress_to_engines(serving_ports),
        "metrics": _ingress_of_scrapes(metrics_ports, monitoring),
    }
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
            networking.v1.NetworkPolicyIngressRuleArgs(from_=[Peer(pod_selector=_every_pod())]),
            # A rule without sources would allow every one.
            *(
                networking.v1.NetworkPolicyIngressRuleArgs(from_=[_namespaces(labels)], ports=_tcp([port]))
                for labels in clients
            ),
        ],
    )


def _egress_to_dns(reach: NetworkReach) -> Policy:
    pods = Peer(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels={NAMESPACE_NAME: DNS_NAMESPACE}),
        pod_selector=meta.v1.LabelSelectorArgs(
            match_expressions=[
                meta.v1.LabelSelectorRequirementArgs(key="k8s-app", operator="In", values=list(DNS_PODS))
            ]
        ),
    )
    ports = [Port(protocol=protocol, port=53) for protocol in ("UDP", "TCP")]
    to = [pods, *_ranges([NODE_LOCAL_DNS, *reach.dns_egress])]
    return Policy(
        pod_selector=_every_pod(),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=to, ports=ports)],
    )


def _ingress_to_engines(reach: NetworkReach, ports: Sequence[int]) -> Policy:
    """Clients of the namespace and gateways reach engines."""
    sources = [Peer(pod_selector=_every_pod()), *_ranges(reach.gateway_sources)]
    return Policy(
        pod_selector=_component(COMPONENT_ENGINE),
        policy_types=["Ingress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=sources, ports=_tcp(ports))],
    )


def _egress_to_engines(ports: Sequence[int]) -> Policy:
    """Pods of the namespace, except those of ours that ask no engine, may ask its engines."""
    not_clients = [COMPONENT_ENGINE, *_FILL_CACHES]
    clients = meta.v1.LabelSelectorRequirementArgs(key=LABEL_COMPONENT, operator="NotIn", values=not_clients)
    engines = [Peer(pod_selector=_component(COMPONENT_ENGINE))]
    return Policy(
        pod_selector=meta.v1.LabelSelectorArgs(match_expressions=[clients]),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=engines, ports=_tcp(ports))],
    )


def _ingress_of_scrapes(ports: Sequence[int], monitoring: Mapping[str, str]) -> Policy:
    return Policy(
        pod_selector=_component(COMPONENT_ENGINE),
        policy_types=["Ingress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=[_namespaces(monitoring)], ports=_tcp(ports))],
    )


def _egress_to_identity_and_storage(reach: NetworkReach) -> Policy:
    """Engines and what fills their caches prove who they are, and reach the object store."""
    services = ((reach.identity_egress, reach.identity_ports), (reach.storage_egress, reach.storage_ports))
    return Policy(
        pod_selector=_component(COMPONENT_ENGINE, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[
            networking.v1.NetworkPolicyEgressRuleArgs(to=_ranges(ranges), ports=_tcp(ports))
            # A rule without ranges would allow every address.
            for ranges, ports in services
            if ranges
        ],
    )


def _egress_to_site(ranges: Sequence[str], ports: Sequence[int]) -> Policy:
    """Engines and what fills their caches reach the site's proxy, or its mirror."""
    return Policy(
        pod_selector=_component(COMPONENT_ENGINE, *_FILL_CACHES),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=_ranges(ranges), ports=_tcp(ports))],
    )


def _egress_to_internet() -> Policy:
    internet = Peer(ip_block=networking.v1.IPBlockArgs(cidr=INTERNET, except_=list(NOT_INTERNET)))
    return Policy(
        pod_selector=_component(COMPONENT_LOADER),
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=[internet], ports=_tcp([443]))],
    )


def _every_pod() -> meta.v1.LabelSelectorArgs:
    return meta.v1.LabelSelectorArgs()


def _component(*names: str) -> meta.v1.LabelSelectorArgs:
    if len(names) == 1:
        return meta.v1.LabelSelectorArgs(match_labels={LABEL_COMPONENT: names[0]})
    return meta.v1.LabelSelectorArgs(
        match_expressions=[meta.v1.LabelSelectorRequirementArgs(key=LABEL_COMPONENT, operator="In", values=list(names))]
    )


def _namespaces(labels: Mapping[str, str]) -> Peer:
    return Peer(namespace_selector=meta.v1.LabelSelectorArgs(match_labels=dict(labels)))


def _ranges(ranges: Sequence[str]) -> list[Peer]:
    return [Peer(ip_block=networking.v1.IPBlockArgs(cidr=cidr)) for cidr in ranges]


def _tcp(ports: Sequence[int]) -> list[Port]:
    return [Port(protocol="TCP", port=port) for port in ports]
