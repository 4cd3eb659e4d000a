"""A field that a program leaves to others is neither claimed nor dropped by what is applied."""

import pytest

from local.providers.differences import compare
from local.providers.kubernetes import ignoring

IGNORED = ("spec.replicas",)


def live(replicas, *owners):
    fields = {"f:spec": {"f:replicas": {}}}
    entries = [{"manager": owner, "operation": "Update", "fieldsV1": fields} for owner in owners]
    return {"metadata": {"name": "web", "managedFields": entries}, "spec": {"replicas": replicas, "paused": False}}


def test_a_field_of_another_manager_is_left_out():
    body = {"spec": {"replicas": 4, "paused": True}}
    assert ignoring.with_ignored_from_live(body, live(7, "hpa"), "us", IGNORED) == {"spec": {"paused": True}}
    assert body["spec"]["replicas"] == 4  # what was handed in stays as it is


@pytest.mark.parametrize("owners", [("us",), ("us", "hpa"), ()], ids=["ours", "shared", "nobody's"])
def test_a_field_of_ours_is_sent_as_it_is_on_the_cluster(owners):
    for body in ({"spec": {"replicas": 4}}, {"spec": {}}, {}):
        assert ignoring.with_ignored_from_live(body, live(7, *owners), "us", IGNORED) == {"spec": {"replicas": 7}}


def test_a_field_that_is_not_on_the_cluster_keeps_the_programs_value():
    assert ignoring.with_ignored_from_live({"spec": {"x": 1}}, live(7, "hpa"), "us", ["spec.x"]) == {"spec": {"x": 1}}


def test_an_object_is_a_field_of_whoever_owns_something_in_it():
    body = {"spec": {"replicas": 4}, "data": {}}
    assert ignoring.with_ignored_from_live(body, live(7, "hpa"), "us", ["spec"]) == {"data": {}}


def test_no_change_shows_where_the_program_leaves_a_field_to_others():
    difference = compare({"spec": {"replicas": 4, "x": 1}}, {"spec": {"replicas": 7, "x": 2}}, replaces=lambda _: True)
    kept = ignoring.without(difference, IGNORED)
    assert set(kept.changes) == kept.replacing == {"spec.x"}
    assert not ignoring.without(difference, ["spec"]).changes
    assert ignoring.without(difference, ["spe"]) == difference
