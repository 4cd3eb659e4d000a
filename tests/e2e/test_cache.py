"""A half-written cache is never served."""

from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until


def test_an_instance_does_not_start_on_half_a_model_and_does_as_soon_as_it_is_whole(stand_in: Served) -> None:
    (pod,) = stand_in.ready_pods()
    manifest = _manifest(stand_in, pod)
    kept = f"{manifest}.kept"
    stand_in.node.cluster.exec_in_node(["mv", manifest, kept])
    try:
        stand_in.kubernetes().delete(pod)
        wait_until(lambda: _refusal(stand_in) != "", 180, "the new instance refuses the cache")
        assert "no complete model" in _refusal(stand_in)
        assert not stand_in.ready_pods()
    finally:
        stand_in.node.cluster.exec_in_node(["mv", kept, manifest])
    wait_until(lambda: len(stand_in.ready_pods()) == 1, 300, "the instance starts on the whole model")
    wait_until(stand_in.answers, 60, "its Service leads to it")


def _manifest(served: Served, pod: dict) -> str:
    """The manifest's path on the node: that of the volume, and the release's folder."""
    kubernetes = served.kubernetes()
    (claim,) = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    volume = kubernetes.get("v1", "PersistentVolumeClaim", claim, TEAM)["spec"]["volumeName"]
    path = kubernetes.get("v1", "PersistentVolume", volume)["spec"]["local"]["path"]
    labels = pod["metadata"]["labels"]
    return f"{path}/{labels['llm-serving.dev/model']}/{labels['llm-serving.dev/release']}/manifest.json"


def _refusal(served: Served) -> str:
    """What the check before the engine said last; empty where it did not refuse."""
    for pod in served.pods():
        for status in pod["status"].get("initContainerStatuses", []):
            for state in (status.get("state", {}), status.get("lastState", {})):
                if state.get("terminated", {}).get("exitCode"):
                    return state["terminated"].get("message", "")
    return ""
