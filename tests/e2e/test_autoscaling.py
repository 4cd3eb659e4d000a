"""Real KEDA, the HPA controller and Prometheus scale real pods by what their engines say of their load."""

import http.client
from collections.abc import Iterator

import pytest

from llm_serving.metrics.workload import ReleaseWorkload
from local.cluster.autoscaling import programs
from tests.autoscaling.trace import Trace
from tests.e2e.load import Load
from tests.e2e.served import TEAM, VLLM, Served, release_workload
from tests.engine.local_stack import wait_until

CLIENTS = 8
TOKENS = 200
PATIENCE = 240
"""Seconds that a request may wait for its turn in the one engine, and a second instance for its start."""
SCALES = {
    "autoscaling": {"max": 2, "queueDepth": 2, "gpuUtilization": None, "pace": {"downSeconds": 30, "downPercent": 100}},
    "engine": {"maxSequences": 1},
    "surge": 0,
}


@pytest.fixture(scope="module")
def scaling(stand_in: Served) -> Iterator[Served]:
    """The model scales between one and two instances."""
    missing = programs.missing()
    if missing:
        pytest.skip(f"real pods did NOT scale, for want of {', '.join(missing)}: run `make setup-autoscaling`")
    before = stand_in.model()
    assert len(stand_in.ready_pods()) == 1
    stand_in.change(lambda model: model.update(SCALES))
    stand_in.open()  # which adds to the settings where the node has Prometheus
    stand_in.up()
    wait_until(
        lambda: len(stand_in.pods()) == 1 and stand_in.answers(),
        120,
        "the model answers, and its old release is gone",
    )
    yield stand_in
    # One instance as bounds first: a number that is handed over is no jump.
    stand_in.change(lambda model: model["autoscaling"].update(max=1))
    stand_in.up()
    stand_in.change(lambda model: [model.clear(), model.update(before)])
    stand_in.up()


def test_a_queue_brings_a_second_instance_that_answers_and_a_lull_takes_it_away(scaling: Served) -> None:
    base = scaling.base()
    (first,) = (pod["metadata"]["name"] for pod in scaling.ready_pods())
    target = release_workload(scaling)
    trace = Trace(lambda: (0, 0, _wanted(scaling, target), len(scaling.ready_pods())))
    try:
        with Load(scaling, clients=CLIENTS, tokens=TOKENS, patience=PATIENCE) as load:
            wait_until(lambda: len(scaling.ready_pods()) == 2, PATIENCE, "KEDA has asked for a second instance")
            (second,) = (pod for pod in scaling.pods() if pod["metadata"]["name"] != first)
            wait_until(lambda: _finished(scaling, second) > 0, PATIENCE, "the second instance answers")
        wait_until(lambda: len(scaling.pods()) == 1, 300, "the second instance is gone")
        wait_until(lambda: trace.replicas() == [1, 2, 1], 120, "one, two, one")
    finally:
        trace.stop()
    assert not load.failed
    assert load.answered > CLIENTS
    assert scaling.base() == base


def _finished(served: Served, pod: dict) -> float:
    """Requests that a pod's engine answered; none where it is too busy to say."""
    try:
        return served.metric(pod, VLLM.requests_finished)
    except (OSError, http.client.HTTPException):
        return 0.0


def _wanted(served: Served, target: ReleaseWorkload) -> int:
    return served.kubernetes().get("apps/v1", "Deployment", target.name, TEAM)["spec"]["replicas"]
