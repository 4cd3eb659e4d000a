from typing import Any

from google.protobuf import struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.provider.experimental.property_value import PropertyValue

from local.providers.properties import (
    UNKNOWN,
    Secret,
    child,
    contains_secret,
    contains_unknown,
    from_struct,
    keep_secret,
    reveal,
    to_struct,
    without_nulls,
)

_words = st.text(alphabet="abcdefgh/.-_", min_size=1, max_size=8)
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**53), max_value=2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
    st.just(UNKNOWN),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_words, inner, max_size=3),
        inner.filter(lambda value: not isinstance(value, Secret)).map(Secret),
    ),
    max_leaves=12,
)


@settings(max_examples=40, derandomize=True)
@given(st.dictionaries(_words, _values, max_size=4))
def test_values_survive_the_wire(properties: dict[str, Any]) -> None:
    sent = struct_pb2.Struct.FromString(to_struct(properties).SerializeToString())
    assert from_struct(sent) == properties


def test_the_sdks_own_secrets_and_outputs_are_understood() -> None:
    value = PropertyValue("hidden").with_secret(True)
    struct = PropertyValue.marshal_map({"plain": value, "output": value.with_dependencies({"urn:x"})})
    assert from_struct(struct) == {"plain": Secret("hidden"), "output": Secret("hidden")}


def test_what_we_send_is_understood_by_the_sdk() -> None:
    received = PropertyValue.unmarshal_map(to_struct({"key": Secret({"a": [1, "b", True, None]})}))
    assert received["key"].is_secret
    assert PropertyValue.unmarshal_map(to_struct({"n": 3}))["n"].value == 3.0


@settings(max_examples=40, derandomize=True)
@given(st.dictionaries(_words, _values, max_size=4))
def test_an_echoed_secret_stays_secret(inputs: dict[str, Any]) -> None:
    kept = keep_secret(inputs, reveal(inputs))
    assert reveal(kept) == reveal(inputs)
    assert contains_secret(kept) == contains_secret(inputs)


def test_secrets_in_a_list_that_changed_length_stay_secret() -> None:
    assert keep_secret({"a": [Secret("x")]}, {"a": ["x", "y"]}) == {"a": Secret(["x", "y"])}


def test_a_secret_shows_nothing_of_its_value() -> None:
    assert "hunter2" not in repr(Secret("hunter2")) + str({"a": Secret("hunter2")})


def test_markers_are_found_at_any_depth() -> None:
    assert contains_unknown({"a": [{"b": Secret(UNKNOWN)}]})
    assert not contains_unknown({"a": [{"b": Secret("x")}]})
    assert without_nulls({"a": None, "b": [{"c": None, "d": 0}]}) == {"b": [{"d": 0}]}


def test_keys_that_are_no_words_are_quoted_in_paths() -> None:
    assert child(child("labels", "app.kubernetes.io/name"), 0) == 'labels["app.kubernetes.io/name"][0]'
