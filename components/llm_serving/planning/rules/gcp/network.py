"""Address ranges of the VPC network: usable, disjoint, and large enough for the stack at its maximum."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from llm_serving.errors import Problem, Suggestion
from llm_serving.planning.clouds.gcp_subnets import (
    MANAGED_SERVICES,
    SMALLEST_PROXY_PREFIX,
    SMALLEST_SERVICES_PREFIX,
    node_capacity,
    pod_block_prefix,
    pod_node_capacity,
    prefix_for_nodes,
    prefix_for_pods,
    unusable,
)
from llm_serving.planning.ranges import free_range, overlaps
from llm_serving.planning.rules.stack import StackShape

SURGE_NODES = 1
"""Addresses kept free for each node pool: an upgrade of the system pool adds a node before it removes one, and a GPU
pool that is replaced by another machine starts before the old one ends. Each capacity entry is a node pool."""


def check_network(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``network``."""
    network_spec = stack.gcp.network
    if network_spec is None:
        return
    ranges: dict[str, IPv4Network] = {
        "nodes": network_spec.nodes,
        "pods": network_spec.pods,
        "services": network_spec.services,
        "proxies": network_spec.proxies,
    }
    for name, network in ranges.items():
        if name == "services" and network == MANAGED_SERVICES:
            continue
        if name == "services" and network.overlaps(MANAGED_SERVICES):
            reason = f"overlaps GKE's own range of Services, which a cluster takes as a whole: {MANAGED_SERVICES}"
            yield Problem(f"network.{name}", str(network), reason, Suggestion(values=[str(MANAGED_SERVICES)]))
        elif reason := unusable(network):
            yield _problem(name, ranges, reason, network.prefixlen)
    for first, second in overlaps(ranges):
        yield _problem(second, ranges, f"overlaps network.{first} ({ranges[first]})", ranges[second].prefixlen)
    if network_spec.proxies.prefixlen > SMALLEST_PROXY_PREFIX:
        reason = f"too small: a proxy-only subnet has at least a /{SMALLEST_PROXY_PREFIX}"
        yield _problem("proxies", ranges, reason, SMALLEST_PROXY_PREFIX)
    if network_spec.services.prefixlen > SMALLEST_SERVICES_PREFIX:
        reason = f"too small: a range of Services has at least a /{SMALLEST_SERVICES_PREFIX}"
        yield _problem("services", ranges, reason, SMALLEST_SERVICES_PREFIX)
    yield from _sizes(stack, ranges)


def max_cluster_nodes(stack: StackShape) -> tuple[int, str]:
    """Nodes of the cluster at its maximum with every node pool being upgraded at once, and the sum in
    words."""
    cluster = stack.gcp.cluster
    gpu = sum(pool.max_nodes for pool in stack.pools)
    node_pools = sum(len(pool.capacity) for pool in stack.pools)
    system = cluster.system_pool.max * len(cluster.zones) if cluster else 0
    node_pools += 1 if cluster else 0
    surge = node_pools * SURGE_NODES
    return gpu + system + surge, f"{gpu} of GPU pools, {system} of the system pool, {surge} for upgrades"


def _sizes(stack: StackShape, ranges: Mapping[str, IPv4Network]) -> Iterator[Problem]:
    needed, summands = max_cluster_nodes(stack)
    holds = node_capacity(ranges["nodes"])
    if holds < needed:
        reason = f"too small: holds {holds} nodes, the stack has up to {needed} ({summands})"
        yield _problem("nodes", ranges, reason, prefix_for_nodes(needed))
    if stack.gcp.cluster is None:
        return
    max_pods = stack.gcp.cluster.max_pods_per_node
    holds = pod_node_capacity(ranges["pods"], max_pods)
    if holds < needed:
        reason = (
            f"too small: holds the /{pod_block_prefix(max_pods)} blocks of {holds} nodes, the stack has up to "
            f"{needed} ({summands})"
        )
        yield _problem("pods", ranges, reason, prefix_for_pods(needed, max_pods))


def _problem(name: str, ranges: Mapping[str, IPv4Network], reason: str, prefix: int) -> Problem:
    """A refused range, with a free one of the size that is needed."""
    others = {other: network for other, network in ranges.items() if other != name}
    free = free_range(prefix, others)
    return Problem(f"network.{name}", str(ranges[name]), reason, Suggestion(values=[str(free)] if free else []))
