"""Placeholders hold room, and give it up before anybody waits."""

from llm_serving.planning.simulation import parse_quantity
from local.cluster.node.archives import pause
from tests.e2e.served import MODEL, TEAM, Served
from tests.engine.local_stack import wait_until


def test_a_placeholder_is_evicted_before_an_instance_waits(served: Served) -> None:
    warm = {"placeholders": 1, "image": pause().reference}
    served.change(lambda model: model.update(warmPool=warm))
    filler = None
    try:
        served.up()
        wait_until(lambda: _running(served) == 1, 120, "the placeholder holds room")
        filler = served.kubernetes().create(_filler(_free_milli_cores(served)))
        wait_until(lambda: _phase(served, filler) == "Running", 60, "the rest of the node is taken")
        _scale(served, 2)
        wait_until(lambda: len(served.ready_pods()) == 2, 300, "both instances are ready")
        assert _running(served) == 0
        assert _phase(served, filler) == "Running"
    finally:
        if filler is not None:
            served.kubernetes().delete(filler)
        served.change(lambda model: model.pop("warmPool", None))
        _scale(served, 1)
        served.up()


def _scale(served: Served, replicas: int) -> None:
    """As an autoscaler does. The settings would be refused: placeholders must fit beside the fewest instances."""
    deployment = served.kubernetes().get("apps/v1", "Deployment", f"{MODEL}-1-0-0", TEAM)
    served.kubernetes().patch(deployment, {"spec": {"replicas": replicas}}, "scale")


def _running(served: Served) -> int:
    found = served.kubernetes().list("v1", "Pod", TEAM, labels="app.kubernetes.io/component=placeholder")
    return sum(pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"] for pod in found)


def _phase(served: Served, pod: dict) -> str:
    return served.kubernetes().get("v1", "Pod", pod["metadata"]["name"], "default")["status"].get("phase", "")


def _free_milli_cores(served: Served) -> int:
    """What no pod of the node has asked for."""
    kubernetes = served.kubernetes()
    (node,) = kubernetes.list("v1", "Node")
    live = [pod for pod in kubernetes.list("v1", "Pod") if pod["status"].get("phase") in ("Running", "Pending")]
    asked = sum(
        parse_quantity(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
        for pod in live
        for container in pod["spec"]["containers"]
    )
    return int((parse_quantity(node["status"]["allocatable"]["cpu"]) - asked) * 1000)


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
