"""Placeholders hold room, and give it up before anybody waits."""

from llm_serving.planning.simulation import parse_quantity
from local.cluster.node.archives import pause
from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until


def test_a_placeholder_is_evicted_before_an_instance_waits(stand_in: Served) -> None:
    warm = {"placeholders": 1, "image": pause().reference}
    stand_in.change(lambda model: model.update(warmPool=warm))
    filler = None
    try:
        stand_in.up()
        wait_until(lambda: _running(stand_in) == 1, 120, "the placeholder holds room")
        filler = stand_in.kubernetes().create(_filler(_free_milli_cores(stand_in)))
        wait_until(lambda: _phase(stand_in, filler) == "Running", 60, "the rest of the node is taken")
        # In the settings it would be refused: placeholders must fit beside the fewest instances.
        stand_in.scale(2)
        wait_until(lambda: len(stand_in.ready_pods()) == 2, 300, "both instances are ready")
        assert _running(stand_in) == 0
        assert _phase(stand_in, filler) == "Running"
    finally:
        if filler is not None:
            stand_in.kubernetes().delete(filler)
        stand_in.change(lambda model: model.pop("warmPool", None))
        stand_in.scale(1)
        stand_in.up()


def _running(served: Served) -> int:
    placeholders = served.kubernetes().list("v1", "Pod", TEAM, labels="app.kubernetes.io/component=placeholder")
    return sum(
        pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"] for pod in placeholders
    )


def _phase(served: Served, pod: dict) -> str:
    return served.kubernetes().get("v1", "Pod", pod["metadata"]["name"], "default")["status"].get("phase", "")


def _free_milli_cores(served: Served) -> int:
    """What no pod of the node has asked for."""
    kubernetes = served.kubernetes()
    (node,) = kubernetes.list("v1", "Node")
    live = [pod for pod in kubernetes.list("v1", "Pod") if pod["status"].get("phase") in ("Running", "Pending")]
    requested = sum(
        parse_quantity(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
        for pod in live
        for container in pod["spec"]["containers"]
    )
    return int((parse_quantity(node["status"]["allocatable"]["cpu"]) - requested) * 1000)


def _filler(milli_cores: int) -> dict:
    """A pod without a priority class, which a placeholder gives way to, too."""
    container = {
        "name": "wait",
        "image": pause().reference,
        "resources": {"requests": {"cpu": f"{milli_cores}m"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "filler", "namespace": "default"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
