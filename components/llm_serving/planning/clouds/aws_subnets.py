"""Address arithmetic of a VPC on AWS: which part of its ranges each zone has, and how many nodes a subnet holds.

A range is cut into eight blocks, one for each letter that a zone can have, whether the zone is used or not. So a zone
that is added later takes addresses that nothing else has, and no subnet ever moves: a subnet's range cannot be changed,
and another one replaces the subnet with all that is in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

ZONE_LETTERS = "abcdefgh"
"""No region has more zones than six (us-east-1: a to f)."""

LARGEST_PREFIX = 16
SMALLEST_PREFIX = 21
"""A range of a VPC has 65,536 addresses at most (VPC documentation, "VPC CIDR blocks"); one that is smaller than a /21
has no eight blocks with a public subnet that AWS would make."""

SMALLEST_SUBNET_PREFIX = 28
"""VPC documentation, "Subnet CIDR blocks"."""

RESERVED_ADDRESSES = 5
"""The first four and the last address of every subnet are AWS's (VPC documentation, "Subnet CIDR blocks")."""

ADDRESSES_OF_PREFIX = 16
"""EC2 documentation, "Assigning prefixes to network interfaces": /28 of IPv4."""

FEWEST_ZONES = 2
"""An EKS cluster has subnets in two zones at least (EKS documentation, "Subnet requirements for clusters")."""

SERVICES_PREFIXES = (12, 24)
"""Of the range of Services (EKS API, ``KubernetesNetworkConfigRequest.serviceIpv4Cidr``)."""

RFC_1918 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
SHARED_SPACE = IPv4Network("100.64.0.0/10")
"""RFC 6598. Every VPC may have a second range of it; of RFC 1918's ranges only that of its first one (VPC
documentation, "IPv4 CIDR block association restrictions")."""

_BLOCK_BITS = 3
_NODES_BITS = 1
_PUBLIC_BITS = 4


@dataclass(frozen=True)
class ZoneSubnets:
    """The subnets of one zone.

    Attributes:
        zone: the zone's name, for example ``us-east-1a``.
        nodes: private; the first half of the zone's block.
        public: for NAT gateways and load balancers; the last sixteenth of the block.
        pods: of the second range, where there is one; without it pods have addresses of ``nodes``.
    """

    zone: str
    nodes: IPv4Network
    public: IPv4Network
    pods: IPv4Network | None


def zone_letter(zone: str) -> str:
    """The letter at the end of a zone's name; an empty string where it is none that has a block."""
    letter = zone[-1:]
    return letter if letter and letter in ZONE_LETTERS else ""


def zone_block(network: IPv4Network, letter: str) -> IPv4Network:
    """The eighth of ``network`` that belongs to a zone's letter.

    Raises:
        ValueError: no zone has that letter.
    """
    size = network.num_addresses >> _BLOCK_BITS
    start = int(network.network_address) + ZONE_LETTERS.index(letter) * size
    return IPv4Network((start, network.prefixlen + _BLOCK_BITS))


def zone_subnets(zones: Iterable[str], network: IPv4Network, pods: IPv4Network | None = None) -> list[ZoneSubnets]:
    """The subnets of each zone, in the order of ``zones``.

    Args:
        zones: names of zones; each ends with a letter of its own.
        network: the first range of the VPC, a /16 to /21.
        pods: a second range, from which pods have their addresses.

    Raises:
        ValueError: a zone without one of :data:`ZONE_LETTERS`, or ranges that are too small to be cut.
    """
    return [_subnets(zone, network, pods) for zone in zones]


def _subnets(zone: str, network: IPv4Network, pods: IPv4Network | None) -> ZoneSubnets:
    letter = zone_letter(zone)
    block = zone_block(network, letter) if letter else None
    if block is None:
        raise ValueError(f"{zone}: no zone with a letter from {ZONE_LETTERS[0]} to {ZONE_LETTERS[-1]}")
    nodes = next(block.subnets(prefixlen_diff=_NODES_BITS))
    size = block.num_addresses >> _PUBLIC_BITS
    public = IPv4Network((int(block.broadcast_address) + 1 - size, block.prefixlen + _PUBLIC_BITS))
    return ZoneSubnets(zone, nodes, public, None if pods is None else zone_block(pods, letter))


def subnet_capacity(subnet: IPv4Network) -> int:
    """Addresses of a subnet that instances and pods can have."""
    return max(0, subnet.num_addresses - RESERVED_ADDRESSES)


def pod_addresses(max_pods: int) -> int:
    """Addresses that the VPC CNI takes of a subnet for one node, warm ones included. With prefixes it takes 16 at once
    and holds one prefix more than it needs (VPC CNI documentation, ``ENABLE_PREFIX_DELEGATION``,
    ``WARM_PREFIX_TARGET`` of 1); without them, for few pods, this is a little more than it takes."""
    return (-(-max_pods // ADDRESSES_OF_PREFIX) + 1) * ADDRESSES_OF_PREFIX


def may_be_second_range(network: IPv4Network, second: IPv4Network) -> bool:
    """Whether AWS lets a VPC whose first range is ``network`` have ``second`` too, of private ranges."""
    return second.subnet_of(SHARED_SPACE) or any(
        network.subnet_of(private) and second.subnet_of(private) for private in RFC_1918
    )
