"""A change that the API server refuses in place replaces, in an order that names allow."""

from local.providers.differences import compare
from local.providers.kubernetes import replacement
from local.providers.properties import UNKNOWN

OLD = {"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"hostPath": {"path": "/a"}, "keep": 1}}
NEW = {"metadata": {"name": "x", "labels": {"a": "2"}}, "spec": {"hostPath": {"path": "/b"}, "keep": 1}}


def job(**condition):
    conditions = [{"status": "True", **condition}] if condition else []
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": conditions}}


def test_the_change_that_is_refused_replaces_and_the_others_do_not():
    assert replacement.with_refused_fields(compare(OLD, NEW), ["spec.hostPath"]).replacing == {"spec.hostPath.path"}


def test_a_refusal_under_a_name_of_the_api_servers_own_replaces_by_all_that_is_not_metadata():
    assert replacement.with_refused_fields(compare(OLD, NEW), ["spec.persistentvolumesource"]).replacing == {
        "spec.hostPath.path"
    }


def test_nothing_refused_is_nothing_replaced():
    assert not replacement.with_refused_fields(compare(OLD, NEW), []).replaces


def test_a_job_that_is_not_complete_is_replaced_where_it_asks_so():
    difference = replacement.with_unready_job(compare(OLD, OLD), job(type="Failed"))
    assert difference.replacing == {'metadata.annotations["pulumi.com/replaceUnready"]'}
    assert difference.changes
    assert not replacement.with_unready_job(compare(OLD, OLD), job(type="Complete")).replaces
    assert not replacement.with_unready_job(compare(OLD, OLD), None).replaces


def annotated(name, **annotations):
    return {"metadata": {"name": name, "namespace": "ns", "annotations": annotations}}


def test_a_fixed_name_has_to_be_free_before_the_replacement():
    changed = replacement.with_refused_fields(compare(OLD, NEW), ["spec"])
    assert replacement.with_order(changed, annotated("x"), annotated("x")).delete_before_replace
    assert not replacement.with_order(changed, annotated("x"), annotated("y")).delete_before_replace
    assert not replacement.with_order(changed, annotated("x"), annotated(UNKNOWN)).delete_before_replace
    generated = annotated("x", **{"pulumi.com/autonamed": "true"})
    assert not replacement.with_order(changed, generated, generated).delete_before_replace
