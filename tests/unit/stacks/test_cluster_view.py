"""The summary tells what resolves itself (capacity) from what does not (a crash)."""

from typing import Any

import pytest

from stacks.report.cluster_view import PodState, model_pods, pod_state


def _pod(
    phase: str, conditions: list[dict[str, Any]], containers: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    status = {
        "phase": phase,
        "conditions": conditions,
        "container_statuses": containers,
        "init_container_statuses": None,
        "message": None,
        "reason": None,
    }
    return {"metadata": {}, "spec": {}, "status": status}


def _condition(kind: str, status: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "message": message, "reason": ""}


def _container(
    waiting: dict[str, str] | None, terminated: dict[str, str] | None = None, restarts: int = 0
) -> dict[str, Any]:
    return {
        "state": {"waiting": waiting},
        "last_state": {"terminated": terminated},
        "restart_count": restarts,
    }


NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
SCHEDULED = _condition("PodScheduled", "True")
STATES = [
    (_pod("Running", [_condition("Ready", "True")]), PodState.READY, ""),
    (_pod("Pending", [_condition("PodScheduled", "False", NO_GPU)]), PodState.WAITING_FOR_CAPACITY, NO_GPU),
    (
        _pod("Pending", [SCHEDULED], [_container({"reason": "ContainerCreating", "message": ""})]),
        PodState.STARTING,
        "",
    ),
    (
        _pod(
            "Running",
            [SCHEDULED],
            [_container({"reason": "CrashLoopBackOff", "message": "back-off 10s"}, None, 3)],
        ),
        PodState.FAILING,
        "CrashLoopBackOff: back-off 10s",
    ),
    (
        _pod("Running", [SCHEDULED], [_container(None, {"reason": "OOMKilled"}, 1)]),
        PodState.FAILING,
        "restarted 1 times, last: OOMKilled",
    ),
    (_pod("Failed", [SCHEDULED]), PodState.FAILING, "failed"),
]


@pytest.mark.parametrize(("pod", "state", "reason"), STATES, ids=lambda v: str(v) if isinstance(v, PodState) else "")
def test_pod_state_tells_waiting_from_failing(pod: dict[str, Any], state: PodState, reason: str) -> None:
    actual_state, actual_reason = pod_state(pod)
    assert actual_state is state
    assert reason in actual_reason


def test_a_pod_that_went_with_its_spot_node_is_no_failure() -> None:
    gone, evicted = _pod("Failed", [SCHEDULED]), _pod("Failed", [SCHEDULED])
    for pod, name, reason in ((gone, "gone", "Terminated"), (evicted, "evicted", "Evicted")):
        pod["metadata"] = {"name": name, "namespace": "chat", "labels": {"llm-serving.dev/model": "m"}}
        pod["spec"] = {"node_name": "spot-1"}
        pod["status"]["reason"] = reason
    assert [(pod.name, pod.state) for pod in model_pods([gone, evicted])] == [("evicted", PodState.FAILING)]
