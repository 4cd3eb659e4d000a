"""No node takes addresses that its machine uses, and what stands in the way is named."""

import ipaddress
from itertools import combinations

import pytest

from local.cluster import ClusterError
from local.cluster.node.addresses import (
    ROUTE_PROTOCOL,
    SLOTS,
    AddressSlot,
    Use,
    addresses_in_use,
    choose,
    routes_in_use,
    taken_by,
)

EVERY = [AddressSlot(number) for number in range(SLOTS)]


def use(network):
    return Use(ipaddress.IPv4Network(network), f"route {network} dev x")


def test_no_two_ranges_of_any_slots_overlap():
    ranges = [network for slot in EVERY for network in slot.ranges]
    assert not [(a, b) for a, b in combinations(ranges, 2) if a.overlaps(b)]


def test_addresses_of_a_slot_lie_in_its_ranges():
    for slot in EVERY:
        assert {slot.node, slot.host} <= set(slot.link.hosts())
        assert slot.node != slot.host
        assert {slot.dns, slot.kubernetes_service} <= set(slot.services.hosts())


def test_a_link_name_fits_the_kernels_limit_with_its_peers_ending():
    assert all(len(slot.link_name) < 15 for slot in EVERY)  # IFNAMSIZ is 16 with the closing zero


def test_the_first_free_slot_is_taken():
    assert choose([], []).number == 0
    assert choose([use("10.99.0.0/30")], [1]).number == 2
    assert choose([use("192.168.0.0/16"), use("10.96.0.0/28")], []).number == 1


def test_a_private_network_over_the_whole_of_ten_leaves_the_other_family():
    assert choose([use("10.0.0.0/8")], []).link == ipaddress.IPv4Network("198.18.0.0/24")


def test_where_nothing_is_free_every_obstacle_is_named():
    with pytest.raises(ClusterError) as raised:
        choose([use("10.0.0.0/8"), use("198.18.0.0/15")], [3])
    text = str(raised.value)
    assert "slot 0: 10.99.0.0/24 overlaps route 10.0.0.0/8 dev x" in text
    assert "slot 3: llmserving3 is there" in text
    assert "slot 15: 198.18.7.0/24 overlaps route 198.18.0.0/15 dev x" in text


def test_every_range_of_a_slot_counts():
    slot = AddressSlot(5)
    for network in slot.ranges:
        assert taken_by(slot, [use(str(network))]) == f"{network} overlaps route {network} dev x"
    assert taken_by(slot, [use("172.17.0.0/16")]) is None


def test_default_routes_and_ours_are_no_obstacle():
    routes = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []},
        {"dst": "10.96.0.0/20", "gateway": "10.99.0.1", "dev": "llmserving0", "protocol": ROUTE_PROTOCOL},
        {"type": "unreachable", "dst": "10.244.0.0/24", "protocol": ROUTE_PROTOCOL, "metric": 4000},
        {"type": "local", "dst": "10.99.0.254", "dev": "llmserving0", "table": "local", "protocol": "kernel"},
        {"dst": "10.244.0.0/16", "dev": "cbr0", "protocol": "kernel"},
        {"type": "blackhole", "dst": "10.1.0.0/16"},
    ]
    assert [use.what for use in routes_in_use(routes)] == [
        "route 10.244.0.0/16 dev cbr0",
        "route 10.1.0.0/16 blackhole",
    ]


def test_addresses_of_other_links_are_obstacles():
    own = {"ifname": "llmserving0", "addr_info": [{"family": "inet", "local": "10.99.0.254", "prefixlen": 24}]}
    other = {"ifname": "docker0", "addr_info": [{"family": "inet", "local": "10.99.0.9", "prefixlen": 29}]}
    assert [(str(use.network), use.what) for use in addresses_in_use([own, other, {"ifname": "x"}])] == [
        ("10.99.0.8/29", "address 10.99.0.9/29 of docker0")
    ]


@pytest.mark.parametrize("number", [-1, SLOTS])
def test_there_are_no_other_slots(number):
    with pytest.raises(ValueError, match=f"address slot {number}"):
        AddressSlot(number)
