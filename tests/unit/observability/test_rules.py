"""Recorded series and alerts, evaluated by Prometheus itself.

Each alert is shown what it must fire on, what it must not, the boundary, and nothing at all. Series are those that
engines, launcher, gateway and kube-state-metrics export: recorded ones are computed from them, as in a cluster.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llm_serving.observability.alerts import alert_groups, objectives
from llm_serving.observability.recording import recording_groups
from llm_serving.spec import (
    EngineName,
    LatencyObjective,
    ServiceClass,
    SloSpec,
    WatchedModelSpec,
    WatchedReleaseSpec,
)
from tests.unit.serving.promtool import answers, asked, program

DOCS = Path(__file__).resolve().parents[3] / "docs"
RUNBOOK = DOCS / "runbook.md"
RELEASE = WatchedReleaseSpec(version="1.0.0", name="qwen-1-0-0", engine=EngineName.VLLM, start_seconds=120)
MODEL = WatchedModelSpec(
    name="qwen",
    team="chat",
    service_class=ServiceClass.CRITICAL,
    slo=SloSpec(
        time_to_first_token=LatencyObjective(seconds=2, percentile=95),
        inter_token_latency=LatencyObjective(seconds=0.1, percentile=99),
        latency=LatencyObjective(seconds=30, percentile=90),
    ),
    releases=(RELEASE,),
)
SLEEPER = WatchedModelSpec(
    name="night",
    team="chat",
    may_sleep=True,
    releases=(WatchedReleaseSpec(version="1.0.0", name="night-1-0-0", engine=EngineName.VLLM),),
)
ENGINE = {"namespace": "chat", "team": "chat", "model": "qwen", "release": "1.0.0", "pool": "h100"}
POD = {**ENGINE, "pod": "qwen-1-0-0-abc"}
KUBE = {"namespace": "chat", "pod": "qwen-1-0-0-abc", "container": "engine"}


def text(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in labels.items())}}}"


def constant(name: str, labels: Mapping[str, str], value: float, minutes: int) -> dict[str, str]:
    return {"series": text(name, labels), "values": f"{value}+0x{minutes}"}


def growing(name: str, labels: Mapping[str, str], a_minute: float, minutes: int) -> dict[str, str]:
    return {"series": text(name, labels), "values": f"0+{a_minute}x{minutes}"}


def latencies(name: str, at: float, minutes: int, bounds: Sequence[float]) -> list[dict[str, str]]:
    """A histogram in which every request of a minute took ``at`` seconds."""
    return [
        growing(f"{name}_bucket", {**POD, "le": f"{bound:g}"}, 60 if at <= bound else 0, minutes)
        for bound in (*bounds, float("inf"))
    ]


def requests(status: str, a_minute: float, minutes: int) -> dict[str, str]:
    labels = {"model": "qwen", "key": "search", "team": "web", "status": status, "pod": "litellm-a"}
    return growing("llm_gateway_requests_total", labels, a_minute, minutes)


def replicas_ready(count: int, minutes: int) -> dict[str, str]:
    labels = {"namespace": "chat", "deployment": "qwen-1-0-0"}
    return constant("kube_deployment_status_replicas_ready", labels, count, minutes)


def asleep(minutes: int) -> dict[str, str]:
    """The model that sleeps has no instance, which is known."""
    labels = {"namespace": "chat", "deployment": "night-1-0-0"}
    return constant("kube_deployment_status_replicas_ready", labels, 0, minutes)


def started(seconds: float, minutes: int) -> list[dict[str, str]]:
    """An instance that took so long to start, of a pod as old as the series."""
    return [
        constant("llm_serving_startup_seconds", {**POD, "stage": "total"}, seconds, minutes),
        constant("kube_pod_created", {"namespace": "chat", "pod": POD["pod"]}, 0, minutes),
    ]


@dataclass(frozen=True)
class Case:
    """Series of a situation, and the alerts that fire in it at its end.

    Attributes:
        id: what it is about.
        series: what is scraped.
        minutes: how long the situation lasts.
        fires: names of alerts.
    """

    id: str
    series: Iterable[Mapping[str, str]]
    minutes: int
    fires: Sequence[str] = field(default_factory=tuple)


def gpu(percent: float, waiting: float, minutes: int, ready: int = 2) -> list[dict[str, str]]:
    pods = [{**ENGINE, "pod": f"qwen-{number}"} for number in range(ready)]
    return [
        *(constant("llm_serving_gpu_utilization_percent", pod, percent, minutes) for pod in pods),
        *(constant("llm_serving_engine_ready", pod, 1, minutes) for pod in pods),
        *(constant("vllm:num_requests_waiting", pod, waiting, minutes) for pod in pods),
    ]


def kv(usage: float, preemptions: float) -> list[dict[str, str]]:
    return [
        constant("vllm:kv_cache_usage_perc", POD, usage, 20),
        growing("vllm:num_preemptions_total", POD, preemptions, 20),
    ]


def autoscaler(desired: int, waiting: float, release: str = "qwen-1-0-0") -> list[dict[str, str]]:
    labels = {"namespace": "chat", "horizontalpodautoscaler": release}
    return [
        constant("kube_horizontalpodautoscaler_status_desired_replicas", labels, desired, 30),
        constant("kube_horizontalpodautoscaler_spec_max_replicas", labels, 4, 30),
        constant("vllm:num_requests_waiting", POD, waiting, 30),
    ]


def prefix_cache(then: float, now: float) -> list[dict[str, str]]:
    """A share of hits for a day, and another one for the last hour and a half."""
    hits = f"0+{60 * then}x1440 {60 * then * 1440}+{60 * now}x90"
    return [
        growing("vllm:prefix_cache_queries_total", POD, 60, 1530),
        {"series": text("vllm:prefix_cache_hits_total", POD), "values": hits},
    ]


def restarts(a_minute: float) -> dict[str, str]:
    return growing("kube_pod_container_status_restarts_total", KUBE, a_minute, 20)


FIRST, NEXT = (0.5, 1, 2, 5), (0.05, 0.1, 0.2)
WHOLE = (10, 30, 60)
CASES = [
    Case("no instance is ready", [replicas_ready(0, 10)], 10, ("LlmModelDown",)),
    Case("an instance is ready", [replicas_ready(1, 10)], 10),
    Case("nothing is known of instances", [], 15, ("LlmModelUnwatched",)),
    Case("nothing is known for a moment", [], 8),
    Case(
        "a model that sleeps is asked and does not wake",
        [replicas_ready(1, 40), constant("llm_gateway_demand", {"model": "night", "pod": "a"}, 1, 40)],
        40,
        ("LlmModelDown",),
    ),
    Case(
        "a model that sleeps is asked and wakes in time",
        [replicas_ready(1, 25), constant("llm_gateway_demand", {"model": "night", "pod": "a"}, 1, 25)],
        25,
    ),
    Case("not ready for a moment", [replicas_ready(0, 4)], 4),
    Case(
        "two of a hundred fail",
        [replicas_ready(1, 80), requests("200", 98, 80), requests("503", 2, 80)],
        80,
        ("LlmErrorBudgetBurns", "LlmErrorBudgetBurnsFast", "LlmErrorsHigh"),
    ),
    Case(
        "streams break",
        [
            replicas_ready(1, 80),
            requests("200", 100, 80),
            growing("llm_gateway_broken_streams_total", {"model": "qwen", "release": "1.0.0"}, 2, 80),
        ],
        80,
        ("LlmErrorBudgetBurns", "LlmErrorBudgetBurnsFast", "LlmErrorsHigh"),
    ),
    Case(
        "as many fail as the objective allows",
        [replicas_ready(1, 80), requests("200", 999.5, 80), requests("503", 0.5, 80)],
        80,
    ),
    Case(
        "the client did it wrong",
        [replicas_ready(1, 80), requests("200", 90, 80), requests("400", 5, 80), requests("429", 5, 80)],
        80,
    ),
    Case(
        "a handful of requests, one of which fails",
        [replicas_ready(1, 80), requests("200", 0.2, 80), requests("503", 0.1, 80)],
        80,
        ("LlmErrorBudgetBurns",),
    ),
    Case("no requests", [replicas_ready(1, 80)], 80),
    Case(
        "first tokens late",
        [replicas_ready(1, 20), *latencies("vllm:time_to_first_token_seconds", 4, 20, FIRST)],
        20,
        ("LlmFirstTokenSlow",),
    ),
    Case(
        "first tokens in time",
        [replicas_ready(1, 20), *latencies("vllm:time_to_first_token_seconds", 2, 20, FIRST)],
        20,
    ),
    Case(
        "tokens late",
        [replicas_ready(1, 20), *latencies("vllm:inter_token_latency_seconds", 0.15, 20, NEXT)],
        20,
        ("LlmTokensSlow",),
    ),
    Case(
        "tokens in time",
        [replicas_ready(1, 20), *latencies("vllm:inter_token_latency_seconds", 0.1, 20, NEXT)],
        20,
    ),
    Case(
        "answers late",
        [replicas_ready(1, 20), *latencies("vllm:e2e_request_latency_seconds", 50, 20, WHOLE)],
        20,
        ("LlmAnswersSlow",),
    ),
    Case(
        "answers in time",
        [replicas_ready(1, 20), *latencies("vllm:e2e_request_latency_seconds", 30, 20, WHOLE)],
        20,
    ),
    Case(
        "a slow start",
        [replicas_ready(1, 5), *started(121, 5)],
        5,
        ("LlmColdStartSlow",),
    ),
    Case("a slow start long ago", [replicas_ready(1, 130), *started(121, 130)], 130),
    Case(
        "a start as planned",
        [replicas_ready(1, 5), *started(120, 5)],
        5,
    ),
    Case("GPUs idle", [replicas_ready(2, 150), *gpu(20, 0, 150)], 150, ("LlmGpuIdle",)),
    Case("GPUs half busy", [replicas_ready(2, 150), *gpu(50, 0, 150)], 150),
    Case("the only instance is idle", [replicas_ready(1, 150), *gpu(20, 0, 150, ready=1)], 150),
    Case("GPUs idle while requests wait", [replicas_ready(2, 150), *gpu(20, 3, 150)], 150),
    Case("GPUs busy, and requests wait", [replicas_ready(2, 30), *gpu(97, 3, 30)], 30, ("LlmGpuSaturated",)),
    Case("GPUs busy, and nothing waits", [replicas_ready(2, 30), *gpu(97, 0, 30)], 30),
    Case("the KV cache is full", [replicas_ready(1, 20), *kv(0.99, 2)], 20, ("LlmKvCacheFull",)),
    Case("the KV cache is full, and nothing loses its place", [replicas_ready(1, 20), *kv(0.99, 0)], 20),
    Case("the KV cache is nearly full", [replicas_ready(1, 20), *kv(0.95, 2)], 20),
    Case(
        "a queue that grows",
        [replicas_ready(1, 40), {"series": text("vllm:num_requests_waiting", POD), "values": "1+2x40"}],
        40,
        ("LlmQueueGrows",),
    ),
    Case(
        "a queue that stays",
        [replicas_ready(1, 40), constant("vllm:num_requests_waiting", POD, 5, 40)],
        40,
    ),
    Case("hits collapse", [replicas_ready(1, 1530), *prefix_cache(0.6, 0.1)], 1530, ("LlmPrefixCacheCold",)),
    Case("hits as ever", [replicas_ready(1, 1530), *prefix_cache(0.6, 0.4)], 1530),
    Case("there never were hits", [replicas_ready(1, 1530), *prefix_cache(0.1, 0.01)], 1530),
    Case("a container restarts again and again", [replicas_ready(1, 20), restarts(0.4)], 20, ("LlmCrashLoop",)),
    Case("a container restarts once in a while", [replicas_ready(1, 20), restarts(0.05)], 20),
    Case(
        "out of memory",
        [
            replicas_ready(1, 20),
            restarts(0.1),
            constant("kube_pod_container_status_last_terminated_reason", {**KUBE, "reason": "OOMKilled"}, 1, 20),
        ],
        20,
        ("LlmOutOfMemory",),
    ),
    Case(
        "out of memory long ago",
        [
            replicas_ready(1, 20),
            restarts(0),
            constant("kube_pod_container_status_last_terminated_reason", {**KUBE, "reason": "OOMKilled"}, 1, 20),
        ],
        20,
    ),
    Case(
        "no node",
        [replicas_ready(1, 30), constant("kube_pod_status_unschedulable", KUBE, 1, 30)],
        30,
        ("LlmWaitsForCapacity",),
    ),
    Case(
        "no node for a while",
        [replicas_ready(1, 18), constant("kube_pod_status_unschedulable", KUBE, 1, 18)],
        18,
    ),
    Case(
        "a Job failed",
        [
            replicas_ready(1, 5),
            constant("kube_job_status_failed", {"namespace": "chat", "job_name": "qwen-weights"}, 1, 5),
        ],
        5,
        ("LlmLoaderFailed",),
    ),
    Case(
        "somebody else's Job failed",
        [
            replicas_ready(1, 5),
            constant("kube_job_status_failed", {"namespace": "other", "job_name": "backup"}, 1, 5),
        ],
        5,
    ),
    Case("as many as may be", [replicas_ready(4, 30), *autoscaler(4, 5)], 30, ("LlmAtMostInstances",)),
    Case("as many as may be, and nothing waits", [replicas_ready(4, 30), *autoscaler(4, 0)], 30),
    Case("as many of another model as may be", [replicas_ready(4, 30), *autoscaler(4, 5, "night-1-0-0")], 30),
    Case("one fewer than may be", [replicas_ready(3, 30), *autoscaler(3, 5)], 30),
    Case(
        "Redis away",
        [replicas_ready(1, 10), constant("llm_gateway_redis_away", {"redis": "limits", "pod": "a"}, 1, 10)],
        10,
        ("LlmGatewayRedisAway",),
    ),
    Case(
        "Postgres away",
        [replicas_ready(1, 10), constant("llm_gateway_postgres_away", {"pod": "a"}, 1, 10)],
        10,
        ("LlmGatewayPostgresAway",),
    ),
    Case(
        "Postgres there",
        [replicas_ready(1, 10), constant("llm_gateway_postgres_away", {"pod": "a"}, 0, 10)],
        10,
    ),
    Case(
        "Redis there",
        [replicas_ready(1, 10), constant("llm_gateway_redis_away", {"redis": "limits", "pod": "a"}, 0, 10)],
        10,
    ),
]


def groups(*, gateway: bool = True) -> list[dict[str, Any]]:
    quantiles = [(kind, objective.quantile) for kind, objective in objectives(MODEL.slo)]
    series = recording_groups([EngineName.VLLM], quantiles, gateway=gateway)
    return [*series, *alert_groups([MODEL, SLEEPER], gateway=gateway)]


def alert_names() -> set[str]:
    return {rule["alert"] for group in groups() for rule in group["rules"] if "alert" in rule}


@pytest.fixture(scope="module")
def firing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The alerts that fire at the end of each case. Cases of a day, which know no gateway, are evaluated half as often
    and without its groups."""
    days = [case for case in CASES if case.minutes > 600]
    return {
        **_firing([c for c in CASES if c not in days], groups(), 1, tmp_path_factory.mktemp("minutes")),
        **_firing(days, groups(gateway=False), 2, tmp_path_factory.mktemp("days")),
    }


def _firing(cases: Sequence[Case], rules: list[dict[str, Any]], minutes: int, folder: Path) -> dict[str, set[str]]:
    """All cases in one run of ``promtool``, with so many minutes between two evaluations."""
    often = [{**group, "interval": f"{minutes}m"} for group in rules]
    tests = [
        {
            "name": case.id,
            "interval": "1m",
            "input_series": [*case.series, asleep(case.minutes)],
            "promql_expr_test": [
                asked('count by (alertname) (ALERTS{alertstate="firing"})', f"{case.minutes}m"),
            ],
        }
        for case in cases
    ]
    found = answers(often, tests, f"{minutes}m", folder)
    return {case.id: _names(answer) for case, answer in zip(cases, found, strict=True)}


def _names(answer: str) -> set[str]:
    first = answer.split("\n\n", 1)[0]
    return {part.split('"')[1] for part in first.split("alertname=")[1:]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id.replace(" ", "-"))
def test_alerts_fire_on_what_they_are_about_and_on_nothing_else(case: Case, firing: dict[str, set[str]]) -> None:
    assert firing[case.id] == set(case.fires)


def test_every_alert_is_shown_what_it_fires_on() -> None:
    assert {name for case in CASES for name in case.fires} == alert_names()


def test_prometheus_accepts_every_rule(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": groups()}))
    ran = subprocess.run([program(), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_chapter_of_the_runbook_and_every_chapter_an_alert() -> None:
    chapters = {line.removeprefix("## ") for line in RUNBOOK.read_text().splitlines() if line.startswith("## Llm")}
    assert chapters == alert_names()


@pytest.mark.parametrize("page", ["runbook.md", "monitoring.md"])
def test_settings_that_people_are_told_to_change_exist(page: str) -> None:
    known = re.findall(r"^\| `([^`]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
    paths = tuple(f".{name.replace('[]', '')}" for name in known)
    named = re.findall(r"`([a-z]\w*(?:\.[a-z]\w*)+)(?:: [^`]*)?`", (DOCS / page).read_text())
    assert named
    assert [name for name in named if not any(path.endswith(f".{name}") for path in paths)] == []
