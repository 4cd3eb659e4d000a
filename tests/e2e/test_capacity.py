"""Placeholders hold room, and give it up before anybody waits."""

from local.cluster.node.system_images import pause
from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until


def test_placeholders_are_evicted_before_an_instance_waits(served: Served) -> None:
    served.change(lambda model: model.update(warmPool={"placeholders": 1, "image": pause().reference}))
    try:
        served.up()
        wait_until(lambda: _running(served) == 1, 120, "the placeholder holds room")
        served.change(lambda model: model.update(replicas=2))
        served.up()
        assert len(served.ready_pods()) == 2
        assert _running(served) == 0
    finally:
        served.change(lambda model: [model.pop(key, None) for key in ("warmPool", "replicas")])
        served.up()


def _running(served: Served) -> int:
    found = served.kubernetes().list("v1", "Pod", TEAM, labels="app.kubernetes.io/component=placeholder")
    return sum(pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"] for pod in found)
