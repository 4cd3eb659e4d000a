"""Address arithmetic agrees with the addresses themselves."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.planning.clouds import gcp_subnets as subnets


def networks(shortest=8, longest=29):
    def build(prefix, start):
        size = 2 ** (32 - prefix)
        return IPv4Network((start // size * size, prefix))

    starts = st.integers(min_value=0, max_value=2**32 - 1)
    return st.builds(build, st.integers(min_value=shortest, max_value=longest), starts)


@given(networks(), networks())
def test_overlap_means_a_shared_address(first, second):
    shares = first.network_address in second or second.network_address in first
    assert list(subnets.overlaps({"a": first, "b": second})) == ([("a", "b")] if shares else [])


@given(st.dictionaries(st.text(max_size=3), networks(), max_size=6), st.integers(min_value=9, max_value=29))
def test_a_free_range_overlaps_nothing(taken, prefix):
    free = subnets.free_range(prefix, taken)
    if free is None:
        return
    assert free.prefixlen == prefix
    assert free.subnet_of(subnets.SUGGESTED_SPACE)
    assert not any(free.overlaps(other) for other in taken.values())


@pytest.mark.parametrize("prefix", [9, 11, 13])
def test_a_free_range_is_found_exactly_as_long_as_there_is_one(prefix):
    taken = {}
    while (free := subnets.free_range(prefix, taken)) is not None:
        taken[str(free)] = free
    assert len(taken) == 2 ** (prefix - subnets.SUGGESTED_SPACE.prefixlen)


@given(st.integers(min_value=1, max_value=100_000))
def test_the_prefix_for_nodes_is_the_longest_that_holds_them(nodes):
    prefix = subnets.prefix_for_nodes(nodes)
    assert subnets.node_capacity(IPv4Network((0, prefix))) >= nodes
    assert subnets.node_capacity(IPv4Network((0, prefix + 1))) < nodes


@given(st.integers(min_value=1, max_value=5000), st.integers(min_value=8, max_value=256))
def test_the_prefix_for_pods_is_the_longest_that_holds_their_blocks(nodes, max_pods):
    prefix = subnets.prefix_for_pods(nodes, max_pods)
    assert subnets.pod_node_capacity(IPv4Network((0, prefix)), max_pods) >= nodes
    assert subnets.pod_node_capacity(IPv4Network((0, prefix + 1)), max_pods) < nodes


@given(st.integers(min_value=8, max_value=256))
def test_a_nodes_block_has_twice_its_pods_and_no_more_than_needed(max_pods):
    block = 2 ** (32 - subnets.pod_block_prefix(max_pods))
    assert 2 * max_pods <= block < 4 * max_pods


@pytest.mark.parametrize(
    ("max_pods", "prefix"),
    [(8, 28), (9, 27), (16, 27), (17, 26), (32, 26), (64, 25), (110, 24), (128, 24), (256, 23)],
)
def test_gkes_published_table_of_blocks_comes_out(max_pods, prefix):
    assert subnets.pod_block_prefix(max_pods) == prefix


def test_gkes_own_range_of_services_is_no_range_of_a_subnet():
    assert "not a private range" in subnets.unusable(subnets.MANAGED_SERVICES)


@pytest.mark.parametrize("network", ["10.0.0.0/20", "172.16.0.0/16", "192.168.4.0/22", "100.64.0.0/14", "240.0.0.0/8"])
def test_private_ranges_are_usable(network):
    assert subnets.unusable(IPv4Network(network)) == ""


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("172.17.128.0/20", "Docker"),
        ("172.16.0.0/12", "Docker"),
        ("169.254.0.0/20", "link-local"),
        ("8.8.8.0/24", "not a private range"),
        ("255.255.255.0/24", "broadcast"),
    ],
)
def test_other_ranges_are_not(network, reason):
    assert reason in subnets.unusable(IPv4Network(network))
