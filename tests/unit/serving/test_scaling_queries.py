"""The queries of autoscaling: read by a PromQL parser, evaluated by Prometheus on series that are written down."""

import re
from dataclasses import asdict, replace

import promql_parser
import pytest

from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.series import DCGM_GPU_UTILIZATION, GatewaySeries, KubeStateSeries, LauncherSeries
from llm_serving.metrics.workload import ReleaseWorkload, WorkloadKind
from llm_serving.serving.scaling_queries import asked_query, scaling_queries, unmeasured_objectives
from llm_serving.spec import AutoscalingSpec, EngineName
from tests.unit.serving.promtool import series, values

WORKLOAD = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0")
WORKLOADS = [
    WORKLOAD,
    replace(WORKLOAD, base=2),
    replace(WORKLOAD, kind=WorkloadKind.LEADER_WORKER_SET),
    ReleaseWorkload("chat", "tiny-1-0-0-rc-1", "tiny", "1.0.0-rc.1"),
]
METRICS = engine_metrics(EngineName.VLLM)
LABELS = {"namespace": "chat", "model": "tiny", "release": "1.0.0", "engine": "0", "model_name": "tiny"}


def queries(workload=WORKLOAD):
    return asdict(scaling_queries(METRICS, workload))


def pod(name, running, waiting, labels=LABELS):
    own = {**labels, "pod": name}
    return [series(METRICS.requests_running, own, running), series(METRICS.requests_waiting, own, waiting)]


def kube_state_series(ready, replicas=None, deployment="tiny-1-0-0", namespace="chat", **more):
    own = {"namespace": namespace, "deployment": deployment, **more}
    return [
        series(KubeStateSeries.DEPLOYMENT_READY, own, ready),
        series(KubeStateSeries.DEPLOYMENT_REPLICAS, own, ready if replicas is None else replicas),
    ]


COUNTS_REQUESTS = [name for name in EngineName if engine_metrics(name).requests_running is not None]


@pytest.mark.parametrize("name", COUNTS_REQUESTS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_query_for_every_engine_is_promql_and_yields_a_vector(workload, name):
    for query in asdict(scaling_queries(engine_metrics(name), workload)).values():
        tree = promql_parser.parse(query)
        assert not isinstance(tree, promql_parser.NumberLiteral | promql_parser.MatrixSelector), query


def test_only_triton_does_not_count_its_requests_and_has_no_queries():
    assert set(EngineName) - set(COUNTS_REQUESTS) == {EngineName.TRITON}
    (problem,) = unmeasured_objectives(engine_metrics(EngineName.TRITON), AutoscalingSpec(max=3))
    assert problem.path == ""
    with pytest.raises(ValueError, match="unmeasured_objectives"):
        scaling_queries(engine_metrics(EngineName.TRITON), WORKLOADS[0])


def test_an_objective_that_the_engine_does_not_measure_is_refused():
    wanted = AutoscalingSpec(max=3, ttft_seconds=2)
    assert list(unmeasured_objectives(METRICS, wanted)) == []
    (problem,) = unmeasured_objectives(replace(METRICS, time_to_first_token=None), wanted)
    assert problem.path == "ttftSeconds"
    assert list(unmeasured_objectives(replace(METRICS, time_to_first_token=None), AutoscalingSpec(max=3))) == []


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_selector_names_the_namespace_and_the_release_or_its_objects(workload):
    for query in queries(workload).values():
        for selector in re.findall(r"\{([^}]*)\}", query):
            assert f'namespace="{workload.namespace}"' in selector
            assert f'release="{workload.release}"' in selector or workload.name in selector


def test_loads_are_those_of_all_instances_and_other_releases_are_left_out(tmp_path):
    present = [
        *pod("a", 8, 20), *pod("b", 4, 0), *kube_state_series(2, 5),
        *pod("c", 100, 100, {**LABELS, "release": "2.0.0"}),
        *pod("d", 100, 100, {**LABELS, "namespace": "search"}),
        *kube_state_series(9, deployment="tiny-2-0-0"), *kube_state_series(9, namespace="search"),
    ]  # fmt: skip
    answers = values(queries(), present, tmp_path)
    assert answers["requests"] == [32]
    assert answers["waiting"] == [10]
    assert answers["running"] == [8]
    assert answers["queued"] == [20]
    assert (answers["ready"], answers["replicas"], answers["steady"]) == ([2], [5], [2])


def test_the_engines_of_one_pod_are_one_instance(tmp_path):
    present = [*pod("a", 8, 4), *pod("a", 6, 2, {**LABELS, "engine": "1"}), *kube_state_series(1)]
    answers = values(queries(), present, tmp_path)
    assert (answers["requests"], answers["waiting"], answers["running"]) == ([20], [6], [14])


def test_instances_of_the_base_count(tmp_path):
    present = [*pod("a", 8, 4), *kube_state_series(3, 4), *kube_state_series(2, 2, "tiny-1-0-0-base")]
    answers = values(queries(replace(WORKLOAD, base=2)), present, tmp_path)
    assert (answers["ready"], answers["replicas"]) == ([5], [6])


def test_two_state_metrics_servers_count_nothing_twice(tmp_path):
    present = [*kube_state_series(3, 4, instance="a"), *kube_state_series(3, 4, instance="b"), *pod("a", 1, 0)]
    answers = values(queries(), present, tmp_path)
    assert (answers["ready"], answers["replicas"]) == ([3], [4])


def test_groups_of_nodes_are_counted_by_the_stateful_set_of_their_leaders(tmp_path):
    own = {"namespace": "chat", "statefulset": "tiny-1-0-0"}
    present = [
        series(KubeStateSeries.STATEFUL_SET_REPLICAS, own, 4),
        series(KubeStateSeries.STATEFUL_SET_READY, own, 3),
        series(KubeStateSeries.STATEFUL_SET_READY, {**own, "statefulset": "tiny-1-0-0-0"}, 7),
        *pod("a", 1, 0),
    ]
    answers = values(queries(replace(WORKLOAD, kind=WorkloadKind.LEADER_WORKER_SET)), present, tmp_path)
    assert (answers["ready"], answers["replicas"], answers["steady"]) == ([3], [4], [3])


def test_before_the_first_instance_is_ready_there_is_no_load_and_no_failure(tmp_path):
    answers = values(queries(), kube_state_series(0, 2), tmp_path)
    assert answers == {**{name: [0.0] for name in answers}, "replicas": [2]}


def test_ready_instances_that_say_nothing_are_a_failure_and_not_a_lull(tmp_path):
    answers = values(queries(), kube_state_series(2), tmp_path)
    assert {name for name, elements in answers.items() if not elements} == {"requests", "waiting", "running"}
    assert all(len(elements) <= 1 for elements in answers.values())


def test_without_numbers_of_instances_nothing_is_guessed(tmp_path):
    answers = values(queries(), pod("a", 8, 20), tmp_path)
    assert {name for name, elements in answers.items() if not elements} == {"steady", "ready", "replicas"}


def test_an_instance_that_is_ready_and_not_seen_yet_adds_no_load(tmp_path):
    answers = values(queries(), [*pod("a", 8, 20), *pod("b", 4, 0), *kube_state_series(3)], tmp_path)
    assert (answers["requests"], answers["ready"]) == ([32], [3])


def test_the_first_token_is_late_by_the_95th_percentile_of_two_minutes(tmp_path):
    name = METRICS.time_to_first_token
    present = [
        series(f"{name}_bucket", {**LABELS, "pod": "a", "le": "1.0"}, 0, 90),
        series(f"{name}_bucket", {**LABELS, "pod": "a", "le": "2.0"}, 0, 100),
        series(f"{name}_bucket", {**LABELS, "pod": "a", "le": "+Inf"}, 0, 100),
        *kube_state_series(1),
    ]
    assert values(queries(), present, tmp_path)["ttft"] == [pytest.approx(1.5)]


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        (LauncherSeries.GPU_UTILIZATION, {**LABELS, "pod": "tiny-1-0-0-7c9f-abcde"}),
        (DCGM_GPU_UTILIZATION, {"namespace": "chat", "pod": "tiny-1-0-0-7c9f-abcde", "gpu": "0"}),
        (DCGM_GPU_UTILIZATION, {"namespace": "chat", "pod": "tiny-1-0-0-base-7c9f-abcde", "gpu": "0"}),
    ],
)
def test_gpu_utilization_is_the_launchers_or_that_of_nvidias_exporter(metric, labels, tmp_path):
    others = [
        series(DCGM_GPU_UTILIZATION, {"namespace": "chat", "pod": f"{name}-7c9f-abcde", "gpu": "0"}, 1)
        for name in ("large-1-0-0", "tiny-1-0-0-rc", "tiny-1-0-0-rc-1")
    ]
    present = [series(metric, labels, 90), series(metric, {**labels, "gpu": "1"}, 70), *others, *kube_state_series(1)]
    assert values(queries(), present, tmp_path)["gpu"] == [80]


def test_the_demand_for_a_model_is_that_of_all_pods_of_its_gateway_alone(tmp_path):
    def demand(pod, number, model="tiny", namespace="llm-gateway"):
        return series(GatewaySeries.DEMAND, {"namespace": namespace, "pod": pod, "model": model}, number)

    others = [demand("a", 7, model="other"), demand("a", 9, namespace="elsewhere")]
    asked = {"asked": asked_query("tiny", "llm-gateway", 15)}
    assert values(asked, [demand("a", 0), demand("b", 3), *others], tmp_path)["asked"] == [3]
    assert values(asked, others, tmp_path)["asked"] == [], "a gateway that nobody scrapes is no lull"


@pytest.mark.parametrize(("polling", "window"), [(5, 60), (15, 60), (300, 600)])
def test_demand_between_two_readings_is_seen(polling, window):
    assert f"[{window}s]" in asked_query("tiny", "llm-gateway", polling)
