"""A LeaderWorkerSet on a real API server: what is rendered is admitted, waited for, and scaled by group.

No controller of LeaderWorkerSets runs here: its status is written by the tests.
"""

import time

import pytest

from llm_serving.serving import multi_node
from local.providers.kubernetes import releases
from local.providers.provider import Autoname, InitializationFailedError
from tests.engine.cluster.helpers import eventually
from tests.engine.cluster.test_plugin import resource
from tests.unit.serving.test_multi_node import record_worker_set

GROUPS = resource(f"kubernetes:{multi_node.API_VERSION}:{multi_node.KIND}", "m-1-0-0")


@pytest.fixture
def definition(api):
    """The definition of a LeaderWorkerSet, served."""
    for thing in releases.definitions("lws"):
        api.apply(thing, force=True)
    api.forget()

    def served():
        try:
            return api.resource(multi_node.API_VERSION, multi_node.KIND)
        except Exception:
            return None

    eventually(served)


@pytest.fixture
def groups(plugin, api, namespace, definition):
    """A set's life with the plugin."""

    class Groups:
        def inputs(self, replicas=2, wait=True):
            inputs = dict(record_worker_set(replicas).inputs)
            annotations = inputs["metadata"]["annotations"] if wait else {}
            # The garbage collector, whom a foreground deletion waits for, hears of a new kind up to 30 s later.
            annotations = {**annotations, "pulumi.com/deletionPropagationPolicy": "background"}
            inputs["metadata"] = {**inputs["metadata"], "namespace": namespace, "annotations": annotations}
            checked = plugin.check(GROUPS, inputs, None, Autoname())
            assert not checked.problems
            return checked.inputs

        def status(self, **conditions):
            conditions = [
                {
                    "type": kind,
                    "status": str(value),
                    "reason": "Test",
                    "message": "",
                    "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                }
                for kind, value in conditions.items()
            ]
            api.patch(self.live, {"status": {"conditions": conditions, "replicas": 1, "readyReplicas": 1}}, "status")

        @property
        def live(self):
            return api.get(multi_node.API_VERSION, multi_node.KIND, "m-1-0-0", namespace)

    return Groups()


def within(inputs, live):
    """All that was asked for is there; the API server adds what it defaults."""
    if isinstance(inputs, dict):
        return all(key in live and within(value, live[key]) for key, value in inputs.items())
    if isinstance(inputs, list):
        return len(inputs) == len(live) and all(within(a, b) for a, b in zip(inputs, live, strict=True))
    return inputs == live


def test_what_is_rendered_is_admitted_as_it_is(groups, plugin):
    inputs = groups.inputs()
    previewed = plugin.create(GROUPS, inputs, 5, preview=True)
    assert previewed.outputs["spec"]["leaderWorkerTemplate"]["size"] == 2
    plugin.create(GROUPS, groups.inputs(wait=False), 5, preview=False)
    assert within(inputs["spec"], groups.live["spec"])


def test_an_update_waits_for_the_groups_and_a_refresh_does_not(groups, plugin):
    with pytest.raises(InitializationFailedError, match="condition Available is missing, not True"):
        plugin.create(GROUPS, groups.inputs(), 2, preview=False)
    inputs = groups.inputs()
    groups.status(Available=True)
    outputs = plugin.update(GROUPS, f"{groups.live['metadata']['namespace']}/m-1-0-0", inputs, {}, inputs, 30, False)
    # The autoscaler adds a group, which takes its time: that is no failed resource.
    groups.status(Available=False, Progressing=True)
    read = plugin.read(GROUPS, f"{outputs['metadata']['namespace']}/m-1-0-0", inputs, outputs)
    assert read is not None


def test_an_autoscaler_scales_groups_and_updates_keep_its_number(groups, plugin, api, namespace):
    first = groups.inputs(wait=False)
    created = plugin.create(GROUPS, first, 10, preview=False)
    bounds = {
        "minReplicas": 3,
        "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": multi_node.API_VERSION, "kind": multi_node.KIND, "name": "m-1-0-0"},
    }
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": bounds}
    api.apply({**scaler, "metadata": {"name": "m-1-0-0", "namespace": namespace}}, force=True)
    eventually(lambda: groups.live["spec"]["replicas"] == 3)
    # The program names no number any more; the engine hands the old one on.
    changed = groups.inputs(wait=False)
    changed["metadata"]["labels"] = {"a": "b"}
    plugin.update(GROUPS, created.id, first, created.outputs, changed, 10, False, ("spec.replicas",))
    assert groups.live["metadata"]["labels"] == {"a": "b"}
    assert groups.live["spec"]["replicas"] == 3
