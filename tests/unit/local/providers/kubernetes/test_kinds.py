"""What cannot change replaces; what can does not."""

import pytest

from local.providers.differences import compare
from local.providers.kubernetes.kinds import RELEASE, Kind
from local.providers.kubernetes.sdk import sdk


@pytest.mark.parametrize(
    ("token", "api_version", "kind"),
    [
        ("kubernetes:core/v1:Pod", "v1", "Pod"),
        ("kubernetes:apps/v1:Deployment", "apps/v1", "Deployment"),
        ("kubernetes:rbac.authorization.k8s.io/v1:Role", "rbac.authorization.k8s.io/v1", "Role"),
        ("kubernetes:keda.sh/v1alpha1:ScaledObject", "keda.sh/v1alpha1", "ScaledObject"),
    ],
)
def test_a_token_names_a_kind(token, api_version, kind):
    assert Kind.of(token, {}) == Kind(api_version, kind)


def test_kubernetes_own_kinds_are_those_of_the_sdk():
    helm = RELEASE.split("/")[0]
    assert not [token for token in sdk().tokens() if not token.startswith(helm) and not Kind.of(token, {}).core]


@pytest.mark.parametrize(
    "token",
    [
        "kubernetes:gateway.networking.k8s.io/v1:Gateway",
        "kubernetes:inference.networking.k8s.io/v1:InferencePool",
        "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
        "kubernetes:keda.sh/v1alpha1:ScaledObject",
    ],
)
def test_a_kind_of_a_project_around_kubernetes_is_a_custom_resource(token):
    assert not Kind.of(token, {}).core


def test_a_patch_means_the_object_that_it_changes():
    assert Kind.of("kubernetes:apps/v1:DeploymentPatch", {"kind": "Deployment"}) == Kind("apps/v1", "Deployment", True)


def replacing_paths(kind, old, new, mutable=False, api_version="v1"):
    return compare(old, new, replaces=Kind(api_version, kind).replaces(mutable)).replacing


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}),
        (
            "Deployment",
            {"spec": {"selector": {"matchLabels": {"a": "1"}}}},
            {"spec": {"selector": {"matchLabels": {"a": "2"}}}},
        ),
        ("Job", {"spec": {"template": {"spec": {"x": 1}}}}, {"spec": {"template": {"spec": {"x": 2}}}}),
        ("Service", {"spec": {"clusterIP": "None"}}, {"spec": {"clusterIP": "10.96.0.1"}}),
        ("Job", {"spec": {"completions": 1}}, {"spec": {"completions": 2}}),
        ("Job", {"spec": {"parallelism": 1}}, {"spec": {"parallelism": 2}}),
        ("Pod", {"spec": {"nodeName": "a"}}, {"spec": {"nodeName": "b"}}),
        ("Pod", {"spec": {"containers": [{"image": "a"}]}}, {"spec": {"containers": [{"image": "b"}]}}),
        ("PersistentVolume", {"spec": {"hostPath": {"path": "/a"}}}, {"spec": {"hostPath": {"path": "/b"}}}),
        ("PersistentVolumeClaim", {"spec": {"accessModes": ["a"]}}, {"spec": {"accessModes": ["b"]}}),
        ("RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}),
        ("StorageClass", {"provisioner": "a"}, {"provisioner": "b"}),
        ("StatefulSet", {"spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}),
        ("Role", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}),
    ],
)
def test_an_immutable_field_replaces(kind, old, new):
    assert replacing_paths(kind, old, new)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}),
        ("Pod", {"spec": {"activeDeadlineSeconds": 1}}, {"spec": {"activeDeadlineSeconds": 2}}),
        ("ConfigMap", {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"a": "2"}}}),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
        ),
    ],
)
def test_what_can_change_in_place_does_not_replace(kind, old, new):
    assert not replacing_paths(kind, old, new)


def test_content_changes_in_place_where_the_provider_is_told_so():
    assert not replacing_paths("ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}, mutable=True)


def test_a_custom_resource_named_like_a_core_kind_has_its_own_rules():
    changed = {"spec": {"template": {"a": 1}}}, {"spec": {"template": {"a": 2}}}
    assert not replacing_paths("Job", *changed, api_version="batch.volcano.sh/v1alpha1")
