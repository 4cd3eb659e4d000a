"""Two requests have one kept answer only if they are the same request of the same holder."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm_serving_gateway.answer_keys import answer_key, directives, space_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(["model", "messages", "seed", "top_k", "user", "x"]), VALUES, max_size=4)
HOLDERS = st.tuples(st.sampled_from("abc"), st.sampled_from([None, "one", "two"]), st.sampled_from(["key", "team"]))
REQUESTS = st.tuples(
    HOLDERS, st.sampled_from(["/v1/completions", "/v1/embeddings"]), st.sampled_from([None, "3"]), BODIES
)


def canonical(body):
    return json.dumps(body, sort_keys=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS, REQUESTS)
def test_equal_keys_mean_equal_requests_of_one_holder(first, second):
    (holder, path, release, body), (other, other_path, other_release, other_body) = first, second
    equal = answer_key(space_of(*holder), path, release, body) == answer_key(
        space_of(*other), other_path, other_release, other_body
    )
    same_request = (path, release, canonical(body)) == (other_path, other_release, canonical(other_body))
    same_key = holder[0] == other[0]
    both_share = holder[2] == other[2] == "team" and holder[1] == other[1]
    if equal:
        assert same_request
        assert same_key if None in (holder[1], other[1]) else same_key or both_share
    if same_request and holder == other:
        assert equal


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.text(), st.sampled_from(["key", "team"]), st.sampled_from(["key", "team"]))
def test_no_name_of_a_team_reads_the_answers_of_a_key(key, team, scope, other_scope):
    shared, own = space_of("a" * 64, team, "team"), space_of(key, None, other_scope)
    assert (shared == own) == (not team and key == "a" * 64)
    assert space_of(key, team, "key") != space_of(key + "x", team, scope)


def test_the_order_of_fields_and_what_a_client_says_of_the_cache_do_not_count():
    body = {"model": "m", "seed": 1}
    key = answer_key("key:a", "/p", None, body)
    assert answer_key("key:a", "/p", None, {"seed": 1, "model": "m", "cache": {"no-cache": True}}) == key
    assert answer_key("key:a", "/p", None, {"seed": 1.5, "model": "m"}) != key


def test_a_client_opts_out_by_field_or_header():
    assert directives({}, "") == directives({"cache": {"no-cache": False}}, "max-age=3")
    assert not directives({"cache": {"no-cache": True}}, "").read
    assert not directives({}, "max-age=3, No-Cache").read
    assert not directives({"cache": {"no-store": True}}, "").write
    assert directives({"cache": {"no-store": True}}, "").read
