"""Ranges say the same as the sets of numbers that they stand for."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from local.cluster.network_policy.ranges import contains, union, without

_parts = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: tuple(sorted(pair))), max_size=6)


def numbers(ranges):
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(_parts, _parts)
def test_union_and_difference_are_those_of_sets(some, others):
    assert numbers(union(some)) == numbers(some)
    assert numbers(without(union(some), others)) == numbers(some) - numbers(others)


@given(_parts, st.integers(0, 30))
def test_a_number_is_in_ranges_as_in_sets(some, number):
    assert contains(union(some), number) == (number in numbers(some))


@given(_parts)
def test_one_set_has_one_form(some):
    ranges = union(some)
    assert union(reversed(ranges)) == ranges
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))
