"""What the API server refuses is told in the words of the program."""

import pytest

from local.cluster import rest
from local.providers.kubernetes import refusals

BODY = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": "two",
        "template": {"spec": {"containers": [{"name": "a"}, {"name": "c", "imagePulPolicy": "Always"}]}},
    },
}


def typed_patch_error(text):
    return rest.ApiError(500, {"message": f"failed to create typed patch object (ns/web; apps/v1, Kind=X): {text}"})


def invalid_error(*causes):
    details = [{"field": field, "message": message} for field, message in causes]
    return rest.ApiError(422, {"message": "Deployment is invalid", "reason": "Invalid", "details": {"causes": details}})


def conflict_error(*causes):
    details = [{"field": field, "message": message} for field, message in causes]
    return rest.ApiError(409, {"message": "Apply failed", "reason": "Conflict", "details": {"causes": details}})


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (
            '.spec.template.spec.containers[name="c"].imagePulPolicy: field not declared in schema',
            "spec.template.spec.containers[1].imagePulPolicy ('Always'): Kubernetes knows no such field",
        ),
        (
            ".spec.replicas: expected numeric (int or float), got string",
            "spec.replicas ('two'): expected numeric (int or float), got string",
        ),
        (
            '.spec.template.spec.containers: duplicate entries for key [name="c"]',
            'spec.template.spec.containers: two items have name "c"',
        ),
        ("something else", "something else"),
    ],
)
def test_a_field_that_does_not_fit_its_schema_is_named_by_its_property_path(text, description):
    assert description in str(refusals.as_cloud_error("the Deployment", "apply", typed_patch_error(text), BODY))


def test_what_an_item_is_found_by_may_be_several_members_or_a_number():
    ports = {"ports": [{"port": 80, "protocol": "UDP"}, {"port": 80, "protocol": "TCP", "name": "web"}]}
    assert refusals.property_path('.ports[port=80,protocol="TCP"].name', ports) == ("ports[1].name", "web")
    assert refusals.property_path(".ports[0].protocol", ports) == ("ports[0].protocol", "UDP")
    assert refusals.property_path('.ports[name="none"].port', ports) == ('ports[name="none"].port', None)


def test_a_conflict_names_each_owner_with_its_fields_and_the_way_out():
    error = conflict_error((".data.a", 'conflict with "hpa" using v1'), (".data.b", 'conflict with "hpa" using v1'))
    description = str(refusals.as_cloud_error("the ConfigMap", "apply", error))
    assert "'hpa' owns .data.a, .data.b" in description
    assert 'pulumi.com/patchForce: "true"' in description


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        ('conflict with "kubectl-edit" using v1', True),
        ('conflict with "kubectl-client-side-apply" using apps/v1 at 2026-01-01T00:00:00Z', True),
        ('conflict with "kubectl" with subresource "scale" using apps/v1', False),
        ('conflict with "hpa" using v1', False),
    ],
)
def test_only_what_people_changed_with_kubectl_is_taken_back(message, taken):
    assert refusals.belongs_to_kubectl(conflict_error((".data.a", message))) is taken
    assert not refusals.belongs_to_kubectl(
        conflict_error((".data.a", message), (".data.b", 'conflict with "hpa" using v1'))
    )


def test_a_refused_value_is_told_without_the_whole_object_and_its_comparison():
    dump = '{"labels":' + "{" + '"x":"y",' * 100 + "}}"
    error = invalid_error(
        ("spec.template", f"Invalid value: {dump}: field is immutable"),
        ("spec", "Forbidden: spec is immutable after creation\n@@ -1,6 +1,6 @@\n- a\n+ b"),
    )
    description = str(refusals.as_cloud_error("the Job", "apply", error))
    assert "spec.template: field is immutable; spec: Forbidden: spec is immutable after creation" in description
    assert "@@" not in description


def test_the_fields_that_cannot_change_are_found_in_every_wording():
    error = invalid_error(
        ("spec.selector", "Invalid value: x: field is immutable"),
        ("spec.loadBalancerClass", 'Invalid value: "b": may not change once set'),
        ("spec", "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"),
        ("spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
    )
    assert refusals.immutable_fields(error) == ["spec.selector", "spec.loadBalancerClass", "spec"]
    assert refusals.immutable_fields(rest.ApiError(403, {"message": "immutable"})) == []


def test_a_kind_that_is_not_served_asks_for_its_definition():
    error = rest.UnknownKindError("example.com/v1", "Box")
    assert "CustomResourceDefinition is not installed" in str(refusals.as_cloud_error("the Box", "apply", error))
