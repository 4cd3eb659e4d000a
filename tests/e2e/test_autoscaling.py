"""Real KEDA, the HPA controller and Prometheus scale real engines by what those engines say of their load."""

import dataclasses
import http.client
import json
import urllib.parse
from collections.abc import Iterator

import pytest

from llm_serving.metrics.series import SERIES_MODEL, SERIES_POOL, SERIES_RELEASE, SERIES_TEAM, LauncherSeries
from llm_serving.metrics.workload import ReleaseWorkload
from llm_serving.serving.scaling_queries import scaling_queries
from local.cluster.autoscaling import programs
from local.endpoint.serving_clusters import POOL
from tests.autoscaling.trace import Trace
from tests.e2e.load import Load
from tests.e2e.served import MODEL, TEAM, VLLM, Served
from tests.engine.cluster.helpers import eventually
from tests.engine.local_stack import wait_until

CLIENTS = 8
TOKENS = 200
PATIENCE = 240
"""Seconds: the requests of all clients wait in one engine while the second one, as it starts, takes the cores."""
START_SECONDS = 900
"""Seconds until an engine is ready that starts beside one under load."""
SCALES = {
    "autoscaling": {"max": 2, "queueDepth": 2, "gpuUtilization": None, "pace": {"downSeconds": 30, "downPercent": 100}},
    "engine": {"maxSequences": 1},
    "surge": 0,
    "releases": {"stable": "1.2.0"},  # whose answers are as long as clients ask for
}


@pytest.fixture(scope="module")
def scaling(served: Served) -> Iterator[Served]:
    """The model scales between one and two instances; what that needs comes to the node with it."""
    missing = programs.missing()
    if missing:
        pytest.skip(f"real pods did NOT scale, for want of {', '.join(missing)}: run `make setup-autoscaling`")
    before = served.model()
    assert len(served.ready_pods()) == 1
    served.change(lambda model: model.update(SCALES))
    served.open()
    wait_until(served.answers, START_SECONDS, "the engine is back after the node's start")
    served.up()
    wait_until(
        lambda: len(served.pods()) == 1 and served.answers(), 120, "the model answers, and its old release is gone"
    )
    yield served
    # One instance as bounds first: a number that is handed over is no jump.
    served.change(lambda model: model["autoscaling"].update(max=1))
    served.up()
    served.change(lambda model: [model.clear(), model.update(before)])
    served.up()


def test_a_queue_brings_a_second_instance_that_answers_and_a_lull_takes_it_away(scaling: Served) -> None:
    base = scaling.base()
    (first,) = (pod["metadata"]["name"] for pod in scaling.ready_pods())
    target = _target(scaling)
    trace = Trace(lambda: (0, 0, _wanted(scaling, target), len(scaling.ready_pods())))
    try:
        with Load(scaling, clients=CLIENTS, tokens=TOKENS, patience=PATIENCE) as load:
            wait_until(lambda: len(scaling.ready_pods()) == 2, START_SECONDS, "KEDA has asked for a second instance")
            (second,) = (pod for pod in scaling.pods() if pod["metadata"]["name"] != first)
            wait_until(lambda: _finished(scaling, second) > 0, PATIENCE, "the second instance answers")
        wait_until(lambda: len(scaling.pods()) == 1, 300, "the second instance is gone")
        wait_until(lambda: trace.replicas() == [1, 2, 1], 120, "one, two, one")
    finally:
        trace.stop()
    assert not load.failed
    assert load.answered > CLIENTS
    assert scaling.base() == base


def test_every_query_has_one_answer_on_what_the_engine_in_the_pod_says(scaling: Served) -> None:
    scaling.chat()
    queries = dataclasses.asdict(scaling_queries(VLLM, _target(scaling)))
    for query in queries.values():
        assert len(eventually(lambda query=query: _query(scaling, query))) == 1, query
    for name in ("ready", "replicas"):
        # Of kube-state-metrics, which is scraped every few seconds.
        wait_until(lambda name=name: _values(scaling, queries[name]) == [1], 60, f"{name} is 1")


def test_series_say_whose_they_are(scaling: Served) -> None:
    metrics = VLLM
    for metric in (metrics.requests_running, LauncherSeries.STARTUP_SECONDS):
        query = f'{metric}{{pod="{_pod(scaling)}"}}'
        labels = eventually(lambda query=query: _query(scaling, query))[0]["metric"]
        said = {name: labels[name] for name in (SERIES_MODEL, SERIES_RELEASE, SERIES_TEAM, SERIES_POOL, "namespace")}
        assert said == {
            SERIES_MODEL: MODEL,
            SERIES_RELEASE: _target(scaling).release,
            SERIES_TEAM: TEAM,
            SERIES_POOL: POOL,
            "namespace": TEAM,
        }


def _target(served: Served) -> ReleaseWorkload:
    release = served.ready_pods()[0]["metadata"]["labels"]["llm-serving.dev/release"]
    return ReleaseWorkload(TEAM, f"{MODEL}-{release.replace('.', '-')}", MODEL, release)


def _finished(served: Served, pod: dict) -> float:
    """Requests that a pod's engine answered; none where it is too busy to say."""
    try:
        return served.metric(pod, VLLM.requests_finished)
    except (OSError, http.client.HTTPException):
        return 0.0


def _pod(served: Served) -> str:
    return served.ready_pods()[0]["metadata"]["name"]


def _wanted(served: Served, target: ReleaseWorkload) -> int:
    return served.kubernetes().get("apps/v1", "Deployment", target.name, TEAM)["spec"]["replicas"]


def _query(served: Served, expression: str) -> list[dict]:
    """What Prometheus answers: nothing for a moment after a scrape that came too late."""
    address = f"{served.node.cluster.prometheus()}/api/v1/query?query={urllib.parse.quote(expression)}"
    return json.loads(served.text(address))["data"]["result"]


def _values(served: Served, expression: str) -> list[float]:
    return [float(found["value"][1]) for found in _query(served, expression)]
