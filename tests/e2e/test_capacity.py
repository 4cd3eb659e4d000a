"""Placeholders hold room, and give it up before anybody waits."""

from local.cluster.node.system_images import pause
from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until

MORE_THAN_FIT = 3


def test_placeholders_are_evicted_before_an_instance_waits(served: Served) -> None:
    warm = {"placeholders": MORE_THAN_FIT, "image": pause().reference}
    served.change(lambda model: model.update(warmPool=warm))
    try:
        served.up()
        wait_until(lambda: 0 < _phase(served, "Running") < MORE_THAN_FIT, 120, "placeholders fill the node")
        wait_until(lambda: _phase(served, "Pending") > 0, 60, "the next one waits")
        held = _phase(served, "Running")
        served.change(lambda model: model.update(replicas=2))
        served.up()
        assert len(served.ready_pods()) == 2
        assert _phase(served, "Running") < held
    finally:
        served.change(lambda model: [model.pop(key, None) for key in ("warmPool", "replicas")])
        served.up()


def _phase(served: Served, phase: str) -> int:
    found = served.kubernetes().list("v1", "Pod", TEAM, labels="app.kubernetes.io/component=placeholder")
    return sum(pod["status"].get("phase") == phase and "deletionTimestamp" not in pod["metadata"] for pod in found)
