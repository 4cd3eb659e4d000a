"""Subnets of a VPC keep apart, and none moves when a zone comes."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.planning.clouds import aws_subnets as subnets
from llm_serving.planning.rules.aws.network import check_ranges, check_zones

REGION = "us-east-1"
VPC, PODS, SERVICES = IPv4Network("10.0.0.0/16"), IPv4Network("100.64.0.0/16"), IPv4Network("172.20.0.0/16")


def inside(space):
    """Ranges of a VPC's sizes in a private space."""

    def build(prefix, position):
        count = 2 ** (prefix - space.prefixlen)
        return IPv4Network((int(space.network_address) + position % count * 2 ** (32 - prefix), prefix))

    sizes = st.integers(min_value=subnets.LARGEST_PREFIX, max_value=subnets.SMALLEST_PREFIX)
    return st.builds(build, sizes, st.integers(min_value=0, max_value=2**16))


vpcs = inside(IPv4Network("10.0.0.0/8"))
pod_ranges = inside(subnets.SHARED_SPACE)
letters = st.lists(st.sampled_from(subnets.ZONE_LETTERS), min_size=1, max_size=8, unique=True)


def zones_of(letters):
    return [f"{REGION}{letter}" for letter in letters]


@given(vpcs, pod_ranges, letters)
def test_every_subnet_is_one_that_aws_makes_and_no_two_share_an_address(vpc, pods, letters):
    plan = subnets.zone_subnets(zones_of(letters), vpc, pods)
    every = [subnet for zone in plan for subnet in (zone.nodes, zone.public, zone.pods)]
    assert all(subnet.prefixlen <= subnets.SMALLEST_SUBNET_PREFIX for subnet in every)
    assert all(zone.nodes.subnet_of(vpc) and zone.public.subnet_of(vpc) and zone.pods.subnet_of(pods) for zone in plan)
    assert not any(first.overlaps(second) for first, second in combinations(every, 2))


@given(vpcs, pod_ranges, letters, letters)
def test_a_zone_has_the_same_subnets_whichever_others_there_are(vpc, pods, letters, others):
    alone = {zone.zone: zone for zone in subnets.zone_subnets(zones_of(letters), vpc, pods)}
    together = subnets.zone_subnets(zones_of(dict.fromkeys([*others, *letters])), vpc, pods)
    assert {zone.zone: zone for zone in together if zone.zone in alone} == alone


def test_three_zones_of_a_16_have_eight_thousand_pods_and_four_thousand_nodes_each():
    first, second, third = subnets.zone_subnets(zones_of("abc"), VPC, PODS)
    assert [zone.nodes for zone in (first, second, third)] == [
        IPv4Network("10.0.0.0/20"), IPv4Network("10.0.32.0/20"), IPv4Network("10.0.64.0/20"),
    ]  # fmt: skip
    assert first.public == IPv4Network("10.0.30.0/23")
    assert second.pods == IPv4Network("100.64.32.0/19")
    assert subnets.subnet_capacity(first.nodes) == 4096 - 5
    assert subnets.subnet_capacity(first.pods) == 8192 - 5


def test_without_a_second_range_there_are_no_subnets_for_pods():
    assert [zone.pods for zone in subnets.zone_subnets(zones_of("ab"), VPC)] == [None, None]


@pytest.mark.parametrize("zone", ["us-east-1", "us-east-1i", "us-east-1-atl-1A", ""])
def test_a_zone_without_a_block_has_no_subnets(zone):
    with pytest.raises(ValueError, match="from a to h"):
        subnets.zone_subnets([zone], VPC)


def refused(problems):
    return {(problem.path, problem.reason.split(":")[0], problem.suggestion) for problem in problems}


@pytest.mark.parametrize("zones", [["us-east-1a", "us-east-1b"], ["us-east-1a", "us-east-1c", "us-east-1f"]])
def test_zones_of_the_region_are_accepted(zones):
    assert not list(check_zones(REGION, zones))


@pytest.mark.parametrize(
    ("zones", "path", "reason", "suggestion"),
    [
        ([], "zones", "2 zones at least", "[us-east-1a, us-east-1b]"),
        (["us-east-1b"], "zones", "2 zones at least", "[us-east-1b, us-east-1a]"),
        (["us-east-1a", "us-east-1a"], "zones", "2 zones at least", "[us-east-1a, us-east-1b]"),
        (["us-east-1a", "us-west-2b"], "zones[1]", "not a zone of region us-east-1", "us-east-1a"),
        (["us-east-1a", "us-east-1i"], "zones[1]", "blocks for zones a to h", "us-east-1h"),
        (["us-east-1a", "us-east-1b", "us-east-1b"], "zones", "is there 2 times", ""),
    ],
)
def test_other_zones_are_refused_in_words(zones, path, reason, suggestion):
    problems = list(check_zones(REGION, zones))
    assert [p for p in problems if p.path == path and reason in p.reason and p.suggestion == suggestion], problems


@given(vpcs, pod_ranges)
def test_private_ranges_of_the_right_size_are_accepted(vpc, pods):
    assert not list(check_ranges(vpc, SERVICES, pods))


@pytest.mark.parametrize(
    ("ranges", "path", "reason"),
    [
        ({"vpc": "10.0.0.0/22"}, "vpc", "too small: at least a /21"),
        ({"vpc": "10.0.0.0/15"}, "vpc", "too large: at most a /16"),
        ({"pods": "100.64.0.0/24"}, "pods", "too small: at least a /21"),
        ({"services": "172.20.0.0/25"}, "services", "too small: at least a /24"),
        ({"vpc": "8.8.0.0/16"}, "vpc", "not a private range"),
        ({"services": "100.65.0.0/16"}, "services", "not a private range"),
        ({"vpc": "172.17.0.0/16"}, "vpc", "Docker"),
        ({"services": "10.0.240.0/20"}, "services", "overlaps vpc (10.0.0.0/16)"),
        ({"pods": "10.0.0.0/18"}, "pods", "overlaps vpc (10.0.0.0/16)"),
        ({"pods": "192.168.0.0/16"}, "pods", "lets no VPC of 10.0.0.0/16 have a second range"),
        ({"vpc": "192.168.0.0/16", "pods": "192.168.0.0/18"}, "pods", "overlaps vpc"),
        ({"vpc": "100.64.0.0/16", "pods": "100.64.0.0/16"}, "pods", "overlaps vpc"),
        ({"vpc": "192.168.0.0/16", "pods": "8.8.0.0/16"}, "pods", "not a private range"),
    ],
)
def test_other_ranges_are_refused_in_words_with_one_that_would_do(ranges, path, reason):
    arguments = {"vpc": VPC, "pods": PODS, "services": SERVICES} | {
        key: IPv4Network(text) for key, text in ranges.items()
    }
    problems = list(check_ranges(**arguments))
    assert [p.path for p in problems if reason in p.reason] == [path], problems
    for problem in problems:
        assert not list(check_ranges(**{**arguments, problem.path: IPv4Network(problem.suggestion)}))


def test_a_second_range_may_be_of_the_same_private_space():
    assert not list(check_ranges(VPC, SERVICES, IPv4Network("10.1.0.0/16")))
