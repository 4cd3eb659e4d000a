"""The summary tells what resolves itself (capacity) from what does not (a crash)."""

from datetime import UTC, datetime
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


def _event(component: str, message: str, minute: int, uid: str = "waiting") -> dict[str, Any]:
    return {
        "source": {"component": component},
        "reporting_component": "",
        "involved_object": {"uid": uid},
        "last_timestamp": datetime(2026, 11, 29, 12, minute, tzinfo=UTC),
        "event_time": None,
        "metadata": {"creation_timestamp": None},
        "message": message,
    }


@pytest.mark.parametrize(
    ("component", "name"), [("karpenter", "Karpenter"), ("cluster-autoscaler", "cluster autoscaler")]
)
def test_a_pod_that_waits_says_why_no_node_comes_in_the_last_words_of_whoever_brings_nodes(
    component: str, name: str
) -> None:
    events = [
        _event(component, "the pool is at its limit", 2),
        _event(component, "one was asked for", 1),
        _event(component, "the pool has room", 3, uid="other"),
        _event("default-scheduler", "0/3 nodes", 4),
    ]
    waiting = _pod("Pending", [_condition("PodScheduled", "False", NO_GPU)])
    ready = _pod("Running", [_condition("Ready", "True")])
    for pod, uid in ((waiting, "waiting"), (ready, "waiting")):
        pod["metadata"] = {"name": "p", "namespace": "chat", "labels": {"llm-serving.dev/model": "m"}, "uid": uid}
        pod["spec"] = {"node_name": None}
    reasons = [pod.reason for pod in model_pods([waiting, ready], events)]
    assert reasons == [f"{NO_GPU}; {name}: the pool is at its limit", ""]
