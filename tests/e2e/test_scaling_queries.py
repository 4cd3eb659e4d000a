"""What Prometheus knows of a real engine in a pod, asked as KEDA asks."""

import dataclasses
import json
import urllib.parse

import pytest

from llm_serving.metrics.series import SERIES_MODEL, SERIES_POOL, SERIES_RELEASE, SERIES_TEAM, LauncherSeries
from llm_serving.serving.scaling_queries import scaling_queries
from local.cluster.autoscaling import programs
from local.endpoint.serving_clusters import POOL
from tests.e2e.served import MODEL, TEAM, VLLM, Served, release_workload
from tests.engine.cluster.helpers import eventually
from tests.engine.local_stack import wait_until


@pytest.fixture
def scraped(served: Served) -> Served:
    """The stack beside a Prometheus that scrapes its pods."""
    missing = programs.missing()
    if missing:
        pytest.skip(f"no engine was scraped, for want of {', '.join(missing)}: run `make setup-autoscaling`")
    return served


def test_every_query_has_one_answer_on_what_the_engine_in_the_pod_says(scraped: Served) -> None:
    scraped.chat()
    queries = dataclasses.asdict(scaling_queries(VLLM, release_workload(scraped)))
    for query in queries.values():
        assert len(eventually(lambda query=query: _query(scraped, query))) == 1, query
    for name in ("ready", "replicas"):
        # Of kube-state-metrics, which is scraped every few seconds.
        wait_until(lambda name=name: _values(scraped, queries[name]) == [1], 60, f"{name} is 1")


def test_series_say_whose_they_are(scraped: Served) -> None:
    (pod,) = scraped.ready_pods()
    for metric in (VLLM.requests_running, LauncherSeries.STARTUP_SECONDS):
        query = f'{metric}{{pod="{pod["metadata"]["name"]}"}}'
        labels = eventually(lambda query=query: _query(scraped, query))[0]["metric"]
        assert {
            name: labels[name] for name in (SERIES_MODEL, SERIES_RELEASE, SERIES_TEAM, SERIES_POOL, "namespace")
        } == {
            SERIES_MODEL: MODEL,
            SERIES_RELEASE: release_workload(scraped).release,
            SERIES_TEAM: TEAM,
            SERIES_POOL: POOL,
            "namespace": TEAM,
        }


def _query(served: Served, expression: str) -> list[dict]:
    """What Prometheus answers: nothing for a moment after a scrape that came too late."""
    address = f"{served.node.cluster.prometheus()}/api/v1/query?query={urllib.parse.quote(expression)}"
    return json.loads(served.text(address))["data"]["result"]


def _values(served: Served, expression: str) -> list[float]:
    return [float(sample["value"][1]) for sample in _query(served, expression)]
