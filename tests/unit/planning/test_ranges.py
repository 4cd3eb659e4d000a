"""Ranges keep apart exactly where their addresses do."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.planning import ranges


def networks(shortest=8, longest=29):
    def build(prefix, start):
        size = 2 ** (32 - prefix)
        return IPv4Network((start // size * size, prefix))

    starts = st.integers(min_value=0, max_value=2**32 - 1)
    return st.builds(build, st.integers(min_value=shortest, max_value=longest), starts)


@given(networks(), networks())
def test_overlap_means_a_shared_address(first, second):
    shares = first.network_address in second or second.network_address in first
    assert list(ranges.overlaps({"a": first, "b": second})) == ([("a", "b")] if shares else [])


@given(st.dictionaries(st.text(max_size=3), networks(), max_size=6), st.integers(min_value=9, max_value=29))
def test_a_free_range_overlaps_nothing(taken, prefix):
    free = ranges.free_range(prefix, taken)
    if free is None:
        return
    assert free.prefixlen == prefix
    assert free.subnet_of(ranges.SUGGESTED_SPACE)
    assert not any(free.overlaps(other) for other in taken.values())


@pytest.mark.parametrize("prefix", [9, 11, 13])
def test_a_free_range_is_found_exactly_as_long_as_there_is_one(prefix):
    taken = {}
    while (free := ranges.free_range(prefix, taken)) is not None:
        taken[str(free)] = free
    assert len(taken) == 2 ** (prefix - ranges.SUGGESTED_SPACE.prefixlen)
