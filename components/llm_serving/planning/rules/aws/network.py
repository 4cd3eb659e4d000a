"""Zones and address ranges of a VPC: usable, disjoint, and large enough to be cut."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.clouds.aws import AWS
from llm_serving.planning.clouds.aws_subnets import (
    FEWEST_ZONES,
    LARGEST_PREFIX,
    RESERVED_ADDRESSES,
    RFC_1918,
    SERVICES_PREFIXES,
    SHARED_SPACE,
    SMALLEST_PREFIX,
    ZONE_LETTERS,
    may_be_second_range,
    pod_addresses,
    subnet_capacity,
    zone_letter,
    zone_subnets,
)
from llm_serving.planning.ranges import DOCKER_BRIDGE, SUGGESTED_SPACE, free_range, overlaps
from llm_serving.planning.rules.aws.endpoints import check_endpoints
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.zones import zones_of_entry
from llm_serving.spec.aws import AwsNetworkSpec

SURGE_NODES = 1
"""Of the system pool: an upgrade adds a node before it removes one."""

_SECOND_RANGE = IPv4Network("100.64.0.0/16")


def check_network(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``network``, and what a network says about ``cluster.zones``."""
    network = stack.aws.network
    if stack.zones and stack.aws.cluster is not None:
        yield from (problem.under("cluster") for problem in _check_subnets(stack.region, stack.zones))
    if network is None:
        return
    problems = [*check_ranges(network.vpc, network.services, network.pods)]
    yield from (problem.under("network") for problem in problems)
    yield from (problem.under("network") for problem in check_endpoints(network.endpoints, reaches_internet=True))
    yield from _internet(network)
    if not problems:
        yield from _sizes(stack, network)


def check_zones(region: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Everything about the zones of a VPC; paths begin with ``zones``."""
    for index, zone in enumerate(zones):
        if not AWS.in_region(region, zone):
            yield Problem(f"zones[{index}]", zone, f"not a zone of region {region}", Suggestion(values=[f"{region}a"]))
    for zone, count in Counter(zones).items():
        if count > 1:
            yield Problem("zones", zone, f"is there {count} times")
    yield from _check_subnets(region, zones)


def _check_subnets(region: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Zones in which the network has no subnets, and too few of them."""
    example = f"{region}b"
    if len(set(zones)) < FEWEST_ZONES:
        reason = f"an EKS cluster has subnets in {FEWEST_ZONES} zones at least"
        known = (zone for zone in zones if AWS.in_region(region, zone) and zone_letter(zone))
        first = next(known, f"{region}a")
        other = example if first != example else f"{region}a"
        yield Problem("zones", list(zones), reason, Suggestion(values=[[first, other]]))
    for index, zone in enumerate(zones):
        if AWS.in_region(region, zone) and not zone_letter(zone):
            reason = f"ranges are cut into blocks for zones {ZONE_LETTERS[0]} to {ZONE_LETTERS[-1]}"
            yield Problem(f"zones[{index}]", zone, reason, Suggestion(values=[f"{region}{ZONE_LETTERS[-1]}"]))


def check_ranges(vpc: IPv4Network, services: IPv4Network, pods: IPv4Network | None = None) -> Iterator[Problem]:
    """Everything about the ranges of a VPC and of the cluster's Services; paths begin with ``vpc``, ``services`` and
    ``pods``."""
    ranges: dict[str, IPv4Network] = {"vpc": vpc, **({} if pods is None else {"pods": pods}), "services": services}
    for name, network in ranges.items():
        if name == "services":
            smallest, largest = SERVICES_PREFIXES[1], SERVICES_PREFIXES[0]
            allowed = RFC_1918
        else:
            smallest, largest = SMALLEST_PREFIX, LARGEST_PREFIX
            allowed = (*RFC_1918, SHARED_SPACE)
        if network.prefixlen > smallest:
            yield _problem(name, ranges, f"too small: at least a /{smallest}", smallest)
        elif network.prefixlen < largest:
            yield _problem(name, ranges, f"too large: at most a /{largest}", largest)
        if not any(network.subnet_of(private) for private in allowed):
            reason = f"not a private range that AWS takes there: {', '.join(map(str, allowed))}"
            yield _problem(name, ranges, reason, max(largest, min(network.prefixlen, smallest)))
        elif network.overlaps(DOCKER_BRIDGE):
            reason = f"overlaps {DOCKER_BRIDGE}, the Docker bridge of machines and CI runners that would reach it"
            yield _problem(name, ranges, reason, max(largest, min(network.prefixlen, smallest)))
    for first, second in overlaps(ranges):
        yield _problem(second, ranges, f"overlaps {first} ({ranges[first]})", ranges[second].prefixlen)
    is_private = pods is not None and any(pods.subnet_of(private) for private in (*RFC_1918, SHARED_SPACE))
    if pods is not None and is_private and not pods.overlaps(vpc) and not may_be_second_range(vpc, pods):
        reason = f"AWS lets no VPC of {vpc} have a second range there"
        yield _problem("pods", ranges, reason, max(LARGEST_PREFIX, min(pods.prefixlen, SMALLEST_PREFIX)))


def _internet(network: AwsNetworkSpec) -> Iterator[Problem]:
    """What needs the internet, to which a network without NAT has no way, whatever the models are."""
    if network.nat == "none":
        reason = (
            "nodes pull the images of Karpenter, of NVIDIA's device plugin and of the add-ons from registries on the "
            "internet, to which no endpoint leads"
        )
        yield Problem("network.nat", network.nat, reason, Suggestion(values=["per-zone", "one"]))


def _sizes(stack: StackShape, network: AwsNetworkSpec) -> Iterator[Problem]:
    """In every zone there are addresses for the nodes that may all start there, and for their pods."""
    cluster = stack.aws.cluster
    zones = [zone for zone in stack.zones if AWS.in_region(stack.region, zone) and zone_letter(zone)]
    if cluster is None or not zones:
        return
    gpu = max(nodes_in_zone(stack, zone) for zone in zones)
    nodes = gpu + cluster.system_pool.max + SURGE_NODES
    summands = f"{gpu} of GPU pools, {cluster.system_pool.max} of the system pool, {SURGE_NODES} for upgrades"
    of_pods = nodes * pod_addresses(cluster.max_pods_per_node)
    needs = {"vpc": nodes, "pods": of_pods} if network.pods else {"vpc": nodes + of_pods}
    ranges = {"vpc": network.vpc, **({"pods": network.pods} if network.pods else {}), "services": network.services}
    for name, needed in needs.items():
        (subnets,) = zone_subnets(zones[:1], network.vpc, network.pods)
        subnet = subnets.nodes if name == "vpc" else subnets.pods
        holds = 0 if subnet is None else subnet_capacity(subnet)
        if holds >= needed:
            continue
        reason = (
            f"too small: a zone's subnet has {holds} addresses, and {nodes} nodes ({summands}) with "
            f"{cluster.max_pods_per_node} pods each need {needed}"
        )
        missing = (needed + RESERVED_ADDRESSES - 1).bit_length() - (32 - (subnet.prefixlen if subnet else 32))
        prefix = ranges[name].prefixlen - missing
        if prefix >= LARGEST_PREFIX:
            yield _problem(name, ranges, reason, prefix).under("network")
        elif network.pods is None:
            hint = Suggestion(values=[str(_SECOND_RANGE)])
            yield Problem("network.pods", None, f"network.vpc ({network.vpc}) is {reason}", hint)
        else:
            text = "fewer nodes in a zone (pools[].capacity[].zones), or fewer pods a node (cluster.maxPodsPerNode)"
            hint = Suggestion(text, needs=Needs.CHOICE)
            yield Problem(f"network.{name}", str(ranges[name]), reason, hint)


def nodes_in_zone(stack: StackShape, zone: str) -> int:
    """Nodes of GPU pools that may all start in one zone."""
    machines = [(entry, stack.cloud.machine(entry)) for pool in stack.aws.pools for entry in pool.capacity]
    return sum(
        entry.max
        for entry, machine in machines
        if machine is not None and zone in zones_of_entry(entry, machine, stack.zones)
    )


def _problem(name: str, ranges: Mapping[str, IPv4Network], reason: str, prefix: int) -> Problem:
    """A refused range, with a free one of a size that would do."""
    # A second range may always be of the shared space; which private one it may be of depends on the first.
    space = SHARED_SPACE if name == "pods" else SUGGESTED_SPACE
    free = free_range(prefix, {other: network for other, network in ranges.items() if other != name}, space)
    return Problem(name, str(ranges[name]), reason, Suggestion(values=[str(free)] if free else []))
