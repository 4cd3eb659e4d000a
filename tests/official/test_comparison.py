"""Where the plugin of this repository does what Pulumi's own does, and where it is stricter on purpose (ADR 3)."""

import re

from local.kubernetes_plugin import LOCAL, OFFICIAL

PASSES = None


def check(done, expected):
    """A run passed, or failed and said what matches ``expected``."""
    output = done.stdout + done.stderr
    assert (done.returncode == 0) is (expected is PASSES), output[-4000:]
    assert expected is PASSES or re.search(expected, output), output[-4000:]


def config_map(namespace, value):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": {"a": value},
    }


def deployment(namespace, *, label="a", container=None, annotations=None, **spec):
    """A Deployment, without pods unless ``spec`` says otherwise."""
    labels = {"app": label}
    pod = {"containers": [{"name": "c", "image": "x", **(container or {})}], "nodeSelector": {"example.com/is": "no"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, "annotations": annotations or {}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def service(namespace, load_balancer_class):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace, "annotations": {"pulumi.com/skipAwait": "true"}},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": load_balancer_class, "ports": [{"port": 80}]},
    }


def secret(namespace, value):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": namespace},
        "immutable": True,
        "stringData": {"a": value},
    }


def test_a_selector_that_cannot_change_replaces_its_deployment_with_both(project, api, namespace):
    project.declare(deployment(namespace, label="a"))
    check(project.up(), PASSES)
    before = api.get("apps/v1", "Deployment", "web", namespace)
    project.declare(deployment(namespace, label="b"))
    check(project.preview(), PASSES)
    check(project.up(), PASSES)
    assert api.get("apps/v1", "Deployment", "web", namespace)["metadata"]["uid"] != before["metadata"]["uid"]


def test_an_immutable_secret_is_replaced_with_both(project, api, namespace):
    project.declare(secret(namespace, "1"))
    check(project.up(), PASSES)
    before = api.get("v1", "Secret", "key", namespace)
    project.declare(secret(namespace, "2"))
    check(project.preview(), PASSES)
    check(project.up(), PASSES)
    assert api.get("v1", "Secret", "key", namespace)["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_wrong_type_fails_the_preview_of_both(project, namespace):
    project.declare(deployment(namespace, replicas="many"))
    check(project.preview(), "replicas")


def test_a_field_of_another_manager_is_a_conflict_for_both(project, api, namespace):
    project.declare(deployment(namespace))
    check(project.up(), PASSES)
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace}}
    api.apply({**scaled, "spec": {"replicas": 1}}, force=True, manager="some-controller")
    project.declare(deployment(namespace, replicas=2))
    check(project.up(), "(?s)conflict.*some-controller|some-controller.*conflict")


def test_an_object_that_somebody_else_made_fails_our_preview_and_both_updates(project, plugin, api, namespace):
    api.apply(config_map(namespace, "theirs"), force=True, manager="somebody")
    project.declare(config_map(namespace, "ours"))
    check(project.preview(), {LOCAL: "already exists", OFFICIAL: PASSES}[plugin])
    check(project.up(), {LOCAL: "already exists", OFFICIAL: "(?i)exists|conflict"}[plugin])
    assert api.get("v1", "ConfigMap", "settings", namespace)["data"] == {"a": "theirs"}


def test_a_misspelt_field_fails_our_preview_and_passes_the_official_one_in_silence(project, plugin, namespace):
    project.declare(deployment(namespace, container={"imagePulPolicy": "Always"}))
    expected = {LOCAL: "imagePulPolicy", OFFICIAL: PASSES}[plugin]
    check(project.preview(), expected)
    check(project.up(), expected)


def test_a_field_that_only_the_api_server_knows_to_be_immutable_replaces_with_ours_alone(project, plugin, namespace):
    project.declare(service(namespace, "example.com/a"))
    check(project.up(), PASSES)
    project.declare(service(namespace, "example.com/b"))
    expected = {LOCAL: PASSES, OFFICIAL: "may not change"}[plugin]
    check(project.preview(), expected)
    check(project.up(), expected)


def test_a_pod_without_a_node_fails_both_and_ours_names_the_cause(project, plugin, namespace):
    project.declare(deployment(namespace, replicas=1, annotations={"pulumi.com/timeoutSeconds": "20"}))
    check(project.up(), {LOCAL: "cannot be scheduled", OFFICIAL: "[Mm]inimum number of .*not attained"}[plugin])
