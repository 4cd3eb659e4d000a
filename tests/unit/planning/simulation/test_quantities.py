"""Quantities are read as Kubernetes writes them, and exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.planning.simulation import parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (3, "3"),
        ("16Gi", str(16 * 2**30)),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("100M", "100000000"),
        ("1.5Gi", str(3 * 2**29)),
        ("0", "0"),
    ],
)
def test_every_spelling_means_its_number(text, number):
    assert parse_quantity(text) == Decimal(number)


@given(st.integers(min_value=0, max_value=10**9))
def test_thousandths_add_up_to_the_whole(cores):
    assert parse_quantity(f"{cores * 1000}m") == parse_quantity(str(cores))


@pytest.mark.parametrize("text", ["", "a lot", "12Xi", "Gi"])
def test_what_is_no_quantity_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="16Gi"):
        parse_quantity(text)
