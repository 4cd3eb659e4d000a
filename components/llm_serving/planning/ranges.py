"""Address ranges that must keep apart, on any cloud."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from itertools import combinations

SUGGESTED_SPACE = IPv4Network("10.0.0.0/8")
"""Where free ranges are looked for when one must be suggested, unless another space is named."""

DOCKER_BRIDGE = IPv4Network("172.17.0.0/16")
"""Network of containers on machines and CI runners that would reach a private network."""


def overlaps(ranges: Mapping[str, IPv4Network]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose ranges share an address, in the order of the mapping."""
    return ((first, second) for first, second in combinations(ranges, 2) if ranges[first].overlaps(ranges[second]))


def free_range(
    prefix: int, taken: Mapping[str, IPv4Network], space: IPv4Network = SUGGESTED_SPACE
) -> IPv4Network | None:
    """The first range of this size inside ``space`` that overlaps nothing of ``taken``; ``None`` where all
    is taken or ``prefix`` is shorter than the space's own."""
    if prefix < space.prefixlen:
        return None
    size = 2 ** (32 - prefix)
    start = int(space.network_address)
    end = start + space.num_addresses
    while start + size <= end:
        candidate = IPv4Network((start, prefix))
        hit = max(
            (int(other.broadcast_address) for other in taken.values() if other.overlaps(candidate)),
            default=None,
        )
        if hit is None:
            return candidate
        start = -(-(hit + 1) // size) * size
    return None
