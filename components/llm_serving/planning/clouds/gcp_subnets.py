"""Address arithmetic of a VPC network on Google Cloud: how many nodes, pods and Services a range holds.

Knows the reservations of Google Cloud and GKE; whether a range is large enough for a stack is decided in
``rules.network``.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network

from llm_serving.planning.ranges import DOCKER_BRIDGE

RESERVED_ADDRESSES = 4
"""Addresses of a primary range that Google Cloud keeps: network, gateway, second to last, broadcast (VPC
documentation, "Unusable addresses in IPv4 subnet ranges")."""

SMALLEST_PROXY_PREFIX = 26
"""A proxy-only subnet has at least 64 addresses (load balancing documentation, "Proxy-only subnets")."""

SMALLEST_SERVICES_PREFIX = 27
"""Smallest range of Services that is accepted: 32 addresses, of which GKE's own Services take several (GKE
documentation, "VPC-native clusters": range sizes)."""

PRIVATE_RANGES = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "240.0.0.0/4"),
    )
)
"""Ranges that nobody on the internet owns and that Google Cloud accepts for subnets: RFC 1918, RFC 6598, RFC
2544, class E. It also accepts public addresses; their owners could then not be reached, so they are refused
here."""

PROHIBITED_RANGES: Mapping[IPv4Network, str] = {
    IPv4Network("0.0.0.0/8"): "the current network",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local addresses with the metadata server",
    IPv4Network("199.36.153.4/30"): "restricted.googleapis.com",
    IPv4Network("199.36.153.8/30"): "private.googleapis.com",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("255.255.255.255/32"): "broadcast",
    DOCKER_BRIDGE: "the Docker bridge of machines and CI runners that would reach this network",
}
"""What must not be part of a subnet: VPC documentation, "Prohibited IPv4 subnet ranges", and the Docker
bridge, which GKE's documentation on IP address planning says to leave out."""

MANAGED_SERVICES = IPv4Network("34.118.224.0/20")
"""GKE's own range, which a cluster without a range for Services of its own takes: the same in every cluster, and no
range of the subnet (GKE documentation, "VPC-native clusters", "GKE-managed" Services ranges; Standard clusters since
1.29)."""


def node_capacity(nodes: IPv4Network) -> int:
    """Nodes that a primary range has addresses for."""
    return max(0, nodes.num_addresses - RESERVED_ADDRESSES)


def pod_block_prefix(max_pods: int) -> int:
    """Prefix of the block of pod addresses that GKE gives each node: the next power of two that is at least
    twice the most pods, so that an address is not used again at once (GKE documentation, "Configure maximum
    Pods per Node")."""
    return 32 - (2 * max_pods - 1).bit_length()


def pod_node_capacity(pods: IPv4Network, max_pods: int) -> int:
    """Nodes that a range of pod addresses has whole blocks for."""
    spare_bits = pod_block_prefix(max_pods) - pods.prefixlen
    return 2**spare_bits if spare_bits >= 0 else 0


def prefix_for_nodes(nodes: int) -> int:
    """Longest prefix of a primary range that has addresses for this many nodes."""
    return 32 - (nodes + RESERVED_ADDRESSES - 1).bit_length()


def prefix_for_pods(nodes: int, max_pods: int) -> int:
    """Longest prefix of a range of pod addresses that has blocks for this many nodes."""
    return pod_block_prefix(max_pods) - (max(1, nodes) - 1).bit_length()


def unusable(network: IPv4Network) -> str:
    """Why Google Cloud, or this project, cannot use the range for a subnet; an empty string where it can."""
    for prohibited, owner in PROHIBITED_RANGES.items():
        if network.overlaps(prohibited):
            return f"it overlaps {prohibited}, which is {owner}"
    if not any(network.subnet_of(private) for private in PRIVATE_RANGES):
        return "it is not a private range: " + ", ".join(map(str, PRIVATE_RANGES))
    return ""
