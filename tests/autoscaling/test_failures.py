"""What does not scale: a Prometheus that is away, a second controller, the change from a fixed number."""

import json

import pytest

from local.cluster.rest import ApiError
from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.provider import Resource
from tests.autoscaling.clock import down_seconds
from tests.autoscaling.scene import GUARD_SECONDS, NAME, seen_for_a_while, seen_until
from tests.engine.cluster.helpers import eventually


def test_without_prometheus_the_instances_stay_and_with_it_they_follow_the_load_again(scene, door):
    release = scene(slots=1, requests=40)
    release.deploy()
    scaled = release.scale(max=8, queue_depth=10, gpu_utilization=None)
    release.eventually_has(replicas=4, ready=4)

    door.close()
    away = release.trace.now()
    release.load.requests = 0
    eventually(release.falls_back, GUARD_SECONDS)
    seen_until(release, away + 1.5 * down_seconds(scaled))
    assert release.trace.replicas(away) == [4]

    door.open()
    eventually(lambda: not release.falls_back(), GUARD_SECONDS)
    release.eventually_has(replicas=1)


def test_a_second_controller_of_one_target_is_refused(scene, api):
    release = scene()
    release.deploy()
    release.scale(max=4)
    second = release.scaled_object(max=4)
    second["metadata"]["name"] = "another"
    second["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] = "another"
    with pytest.raises(ApiError, match=f"the workload '{NAME}' of type 'apps/v1.Deployment' is already managed"):
        api.apply(second)


def test_an_autoscaler_of_somebody_else_on_the_target_refuses_ours(scene, api):
    release = scene()
    release.deploy()
    api.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "theirs", "namespace": release.namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                "maxReplicas": 3,
            },
        }
    )

    def refusal():
        """The webhook knows of the other one a moment after it was made."""
        try:
            api.apply(release.scaled_object(max=4), dry_run=True)
        except ApiError as error:
            return str(error)
        return None

    assert "already managed by the hpa 'theirs'" in eventually(refusal, GUARD_SECONDS)


def test_turning_autoscaling_on_keeps_four_instances_and_updates_leave_the_number_alone(scene, cluster):
    release = scene(slots=1, requests=4)
    plugin = KubernetesPlugin()
    plugin.configure({"kubeconfig": json.dumps(cluster.kubeconfig())})
    what = Resource.of("urn:pulumi:dev::p::kubernetes:apps/v1:Deployment::tiny")
    fixed = release.deployment(replicas=4)
    created = plugin.create(what, fixed, 60, preview=False)
    release.eventually_has(replicas=4, ready=4)

    def update(old, inputs):
        """Where the program names no number and ignores its changes, the engine puts the old one in its place."""
        outputs = created.outputs
        return plugin.update(what, created.id, old, outputs, inputs, 60, preview=False, ignored=["spec.replicas"])

    update(fixed, fixed)
    release.scale(min=4, max=8, queue_depth=10, gpu_utilization=None)
    seen_for_a_while(release)
    assert set(release.trace.replicas()) <= {0, 4}, "0: before it was made"

    release.load.requests = 60
    release.eventually_has(replicas=6, ready=6)
    grown = release.trace.now()
    annotated = release.deployment(replicas=4)
    annotated["spec"]["template"]["metadata"]["annotations"] = {"changed": "yes"}
    update(fixed, annotated)
    release.eventually_has(replicas=6, ready=6)
    assert release.trace.replicas(grown) == [6]
