"""Address ranges that must keep apart, on any cloud."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from itertools import combinations

SUGGESTED_SPACE = IPv4Network("10.0.0.0/8")
"""Where free ranges are looked for when one must be suggested."""


def overlaps(ranges: Mapping[str, IPv4Network]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose ranges share an address, in the order of the mapping."""
    return ((first, second) for first, second in combinations(ranges, 2) if ranges[first].overlaps(ranges[second]))


def free_range(prefix: int, taken: Mapping[str, IPv4Network]) -> IPv4Network | None:
    """The first range of this size inside 10.0.0.0/8 that overlaps nothing of ``taken``; ``None`` where all
    is taken or ``prefix`` is shorter than the space's own."""
    if prefix < SUGGESTED_SPACE.prefixlen:
        return None
    size = 2 ** (32 - prefix)
    start = int(SUGGESTED_SPACE.network_address)
    end = start + SUGGESTED_SPACE.num_addresses
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
