"""Sets of numbers (addresses, ports) as ranges: sorted, apart from each other, both ends included."""

from collections.abc import Iterable

Range = tuple[int, int]
Ranges = tuple[Range, ...]

ADDRESSES: Ranges = ((0, 2**32 - 1),)
"""Every IPv4 address."""
PORTS: Ranges = ((0, 2**16 - 1),)
"""Every port."""


def single(number: int) -> Ranges:
    """One number."""
    return ((number, number),)


def union(ranges: Iterable[Range]) -> Ranges:
    """The numbers that are in any of the ranges."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def without(ranges: Ranges, removed: Iterable[Range]) -> Ranges:
    """The numbers of ``ranges`` that are in none of the removed ranges."""
    left = list(ranges)
    for start, end in removed:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, start - 1)), (max(first, end + 1), last))
            if part[0] <= part[1]
        ]
    return union(left)


def contains(ranges: Ranges, number: int) -> bool:
    """The number is in one of the ranges."""
    return any(first <= number <= last for first, last in ranges)
