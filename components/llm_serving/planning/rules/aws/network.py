"""Zones and address ranges of a VPC: usable, disjoint, and large enough to be cut."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from llm_serving.errors import Problem
from llm_serving.planning.clouds.aws import AWS
from llm_serving.planning.clouds.aws_subnets import (
    FEWEST_ZONES,
    LARGEST_PREFIX,
    RFC_1918,
    SERVICES_PREFIXES,
    SHARED_SPACE,
    SMALLEST_PREFIX,
    ZONE_LETTERS,
    may_be_second_range,
    zone_letter,
)
from llm_serving.planning.ranges import DOCKER_BRIDGE, SUGGESTED_SPACE, free_range, overlaps


def check_zones(region: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Everything about the zones of a VPC; paths begin with ``zones``."""
    example = f"{region}b"
    if len(set(zones)) < FEWEST_ZONES:
        reason = f"an EKS cluster has subnets in {FEWEST_ZONES} zones at least"
        known = (zone for zone in zones if AWS.in_region(region, zone) and zone_letter(zone))
        first = next(known, f"{region}a")
        other = example if first != example else f"{region}a"
        yield Problem("zones", list(zones), reason, f"[{first}, {other}]")
    for index, zone in enumerate(zones):
        if not AWS.in_region(region, zone):
            yield Problem(f"zones[{index}]", zone, f"not a zone of region {region}", f"{region}a")
        elif not zone_letter(zone):
            reason = f"ranges are cut into blocks for zones {ZONE_LETTERS[0]} to {ZONE_LETTERS[-1]}"
            yield Problem(f"zones[{index}]", zone, reason, f"{region}{ZONE_LETTERS[-1]}")
    for zone, count in Counter(zones).items():
        if count > 1:
            yield Problem("zones", zone, f"is there {count} times")


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


def _problem(name: str, ranges: Mapping[str, IPv4Network], reason: str, prefix: int) -> Problem:
    """A refused range, with a free one of a size that would do."""
    # A second range may always be of the shared space; which private one it may be of depends on the first.
    space = SHARED_SPACE if name == "pods" else SUGGESTED_SPACE
    free = free_range(prefix, {other: network for other, network in ranges.items() if other != name}, space)
    return Problem(name, str(ranges[name]), reason, str(free) if free else "")
