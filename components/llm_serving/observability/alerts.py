"""When somebody is called, and when a ticket is enough.

A person is paged for what users feel and cannot wait: no instance of a model, keys that nobody can look up, or an error
budget that burns fast enough to be gone before a working day. All else is a ticket. Thresholds come from objectives
where there is one; the others stand here with their reason. Every alert has a chapter of ``docs/runbook.md`` under its
name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from llm_serving.metrics.engines import LatencyKind
from llm_serving.metrics.promql import Pattern, selector
from llm_serving.metrics.recorded import (
    GatewayRecord,
    ReleaseSeries,
    error_ratio_series,
    quantile_series,
)
from llm_serving.metrics.series import (
    SCRAPE_INTERVAL_SECONDS,
    SERIES_MODEL,
    SERIES_NAMESPACE,
    SERIES_POD,
    SERIES_RELEASE,
    SERIES_STAGE,
    SERIES_TEAM,
    GatewaySeries,
    KubeStateSeries,
    LauncherSeries,
    LaunchStage,
)
from llm_serving.metrics.workload import ReleaseWorkload, WorkloadKind
from llm_serving.observability.recording import Group, judged_requests
from llm_serving.spec import ServiceClass, SloSpec, WatchedModelSpec, WatchedReleaseSpec
from llm_serving.spec.slo import LatencyObjective

AVAILABILITY = {ServiceClass.CRITICAL: 99.9, ServiceClass.STANDARD: 99.5, ServiceClass.BATCH: 99.0}
"""Percent of requests to be answered, where the objectives of a model do not say."""

FEWEST_REQUESTS = 50
"""Requests in the long window of a burn rate below which nobody is paged."""
WAKE_MINUTES = 30
"""Longer than any cold start that is planned."""
NEW_SECONDS = 7200
"""Age up to which a pod's start is of interest: the series stays as long as the pod."""
HIGH_ERROR_RATIO = 0.01
IDLE_GPU = 0.5
BUSY_GPU = 0.95
FULL_KV_CACHE = 0.95


class Severity(StrEnum):
    """Who hears of an alert."""

    PAGE = "page"
    """A person, at once."""
    TICKET = "ticket"
    """Whoever works next."""


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        name: also of its chapter in the runbook.
        expression: PromQL; it yields an element for each thing that is wrong.
        minutes: how long it must hold.
        severity: who hears of it.
        summary: one line, a template of Prometheus.
        labels: more labels, beside those of the expression.
    """

    name: str
    expression: str
    minutes: int
    severity: Severity
    summary: str
    labels: tuple[tuple[str, str], ...] = ()

    def rule(self, runbook: str | None) -> dict[str, Any]:
        """As Prometheus reads it.

        Args:
            runbook: address of the page with the chapters, where it has one.
        """
        chapter = f"#{self.name.lower()}"
        link = {} if runbook is None else {"runbook_url": f"{runbook}{chapter}"}
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": f"{self.minutes}m",
            "labels": {"severity": str(self.severity), **dict(self.labels)},
            "annotations": {"summary": self.summary, "runbook": f"docs/runbook.md{chapter}", **link},
        }


@dataclass(frozen=True)
class _Burn:
    """Two windows in which an error budget burns ``rate`` times as fast as it may. The short one ends the alert soon
    after its cause (https://sre.google/workbook/alerting-on-slos/, table 5-8, for a budget of 30 days)."""

    long: str
    short: str
    rate: float
    severity: Severity


_BURNS = (
    _Burn("1h", "5m", 14.4, Severity.PAGE),
    _Burn("6h", "30m", 6, Severity.PAGE),
    _Burn("1d", "2h", 3, Severity.TICKET),
    _Burn("3d", "6h", 1, Severity.TICKET),
)


def alert_groups(
    models: Sequence[WatchedModelSpec], runbook: str | None = None, *, gateway: bool = False
) -> list[Group]:
    """The groups of alerts: one a model, one for what is wrong with any.

    Args:
        models: with objectives and releases.
        runbook: address of the page with a chapter for each alert.
        gateway: requests come by the gateway, which says what clients see.
    """
    groups = [_group(f"llm-{model.team}-{model.name}", _of_model(model, gateway=gateway), runbook) for model in models]
    teams = sorted({model.team for model in models})
    if teams:
        groups.append(_group("llm-instances", [*_of_releases(teams), *_of_pods(teams)], runbook))
    if gateway:
        groups.append(_group("llm-gateway-parts", _of_gateway(), runbook))
    return groups


def _group(name: str, alerts: Iterable[Alert], runbook: str | None) -> Group:
    rules = [alert.rule(runbook) for alert in alerts]
    return {"name": name, "interval": f"{2 * SCRAPE_INTERVAL_SECONDS}s", "rules": rules}


def availability(model: WatchedModelSpec) -> float:
    """Percent of a model's requests that are to be answered."""
    return model.slo.availability or AVAILABILITY[model.service_class]


def objectives(slo: SloSpec) -> Iterator[tuple[LatencyKind, LatencyObjective]]:
    """Those that are given, with what they are about."""
    for kind in LatencyKind:
        objective: LatencyObjective | None = getattr(slo, kind)
        if objective is not None:
            yield kind, objective


def _of_model(model: WatchedModelSpec, *, gateway: bool) -> Iterator[Alert]:
    whose = ((SERIES_TEAM, model.team), (SERIES_MODEL, model.name))
    each = [_workload(model, release).ready for release in model.releases]
    # Of releases whose object is not there yet nothing is said. Without kube-state-metrics nothing is said of any.
    ready = " + ".join(f"({one} or vector(0))" for one in each)
    known = " or ".join(each)
    # One that sleeps is down when it is asked and does not wake.
    asked = (
        f" and on () sum({selector(GatewaySeries.DEMAND, {SERIES_MODEL: model.name})}) > 0" if model.may_sleep else ""
    )
    yield Alert(
        "LlmModelDown",
        f"{ready} == 0 and ({known}){asked}",
        WAKE_MINUTES if model.may_sleep else 5,
        Severity.PAGE,
        f"{model.name}: no instance is ready",
        whose,
    )
    yield Alert(
        "LlmModelUnwatched",
        f"absent({known})",
        10,
        Severity.TICKET,
        f"{model.name}: nothing says how many instances are ready",
        whose,
    )
    if gateway:
        yield from _burns(model, whose)
        by_model = {SERIES_MODEL: model.name}
        ratio, rate = selector(error_ratio_series("5m"), by_model), selector(GatewayRecord.REQUEST_RATE, by_model)
        yield Alert(
            "LlmErrorsHigh",
            f"{ratio} > {HIGH_ERROR_RATIO:g} and {rate} * 300 >= {FEWEST_REQUESTS}",
            10,
            Severity.TICKET,
            f"{model.name}: {{{{ $value | humanizePercentage }}}} of the requests of five minutes were not answered",
            ((SERIES_TEAM, model.team),),
        )
    for kind, objective in objectives(model.slo):
        labels = {SERIES_NAMESPACE: model.team, SERIES_MODEL: model.name}
        yield Alert(
            _LATENCY_ALERTS[kind],
            f"{selector(quantile_series(kind, objective.quantile), labels)} > {objective.seconds:g}",
            10,
            Severity.TICKET,
            f"{model.name} {{{{ $labels.release }}}}: p{objective.percentile:g} of {_WORDS[kind]} is "
            f"{{{{ $value | humanizeDuration }}}}, objective {objective.seconds:g} s",
        )
    for release in model.releases:
        yield _at_most(model, release)
        if release.start_seconds is not None:
            labels = {
                SERIES_NAMESPACE: model.team,
                SERIES_MODEL: model.name,
                SERIES_RELEASE: release.version,
                SERIES_STAGE: LaunchStage.TOTAL,
            }
            starts = selector(LauncherSeries.STARTUP_SECONDS, labels)
            yield Alert(
                "LlmColdStartSlow",
                f"max by ({_RELEASE}) ({starts} and on ({SERIES_NAMESPACE}, {SERIES_POD}) "
                f"time() - {selector(KubeStateSeries.POD_CREATED, {SERIES_NAMESPACE: model.team})} < {NEW_SECONDS}) "
                f"> {release.start_seconds:g}",
                0,
                Severity.TICKET,
                f"{model.name} {release.version}: the engine took {_DURATION} to start, planned "
                f"{release.start_seconds:g} s",
            )


def _at_most(model: WatchedModelSpec, release: WatchedReleaseSpec) -> Alert:
    """By the release's own queue: another one of the team may wait while this one has nothing to do."""
    autoscaler = {SERIES_NAMESPACE: model.team, "horizontalpodautoscaler": release.name}
    desired, most = (
        f"max({selector(series, autoscaler)})"
        for series in (KubeStateSeries.AUTOSCALER_DESIRED, KubeStateSeries.AUTOSCALER_MOST)
    )
    labels = {SERIES_NAMESPACE: model.team, SERIES_MODEL: model.name, SERIES_RELEASE: release.version}
    return Alert(
        "LlmAtMostInstances",
        f"{desired} >= {most} and on () sum({selector(ReleaseSeries.QUEUE_DEPTH, labels)}) > 0",
        15,
        Severity.TICKET,
        f"{model.name} {release.version}: all {{{{ $value }}}} instances that its bounds allow, and requests wait",
        (*labels.items(), (SERIES_TEAM, model.team)),
    )


def _workload(model: WatchedModelSpec, release: WatchedReleaseSpec) -> ReleaseWorkload:
    kind = WorkloadKind.LEADER_WORKER_SET if release.multi_node else WorkloadKind.DEPLOYMENT
    return ReleaseWorkload(model.team, release.name, model.name, release.version, release.base, kind)


def _burns(model: WatchedModelSpec, whose: tuple[tuple[str, str], ...]) -> Iterator[Alert]:
    budget, by_model = 1 - availability(model) / 100, {SERIES_MODEL: model.name}
    for burn in _BURNS:
        limit = f"{burn.rate * budget:.6g}"
        long, short = (selector(error_ratio_series(window), by_model) for window in (burn.long, burn.short))
        burns = f"{long} > {limit} and {short} > {limit}"
        if burn.severity is Severity.PAGE:
            # Of a handful of requests, one that fails is a large share.
            requests = f"sum by ({SERIES_MODEL}) (increase({judged_requests(by_model)}[{burn.long}]))"
            burns += f" and {requests} >= {FEWEST_REQUESTS}"
        name = "LlmErrorBudgetBurnsFast" if burn.severity is Severity.PAGE else "LlmErrorBudgetBurns"
        yield Alert(
            name,
            burns,
            2,
            burn.severity,
            f"{model.name}: {{{{ $value | humanizePercentage }}}} of the requests of {burn.long} were not answered, "
            f"{burn.rate:g} times what {availability(model):g} % allow",
            (*whose, ("window", burn.long)),
        )


def _of_releases(teams: Sequence[str]) -> Iterator[Alert]:
    of_teams = {SERIES_NAMESPACE: Pattern("|".join(teams))}
    queue, gpu = selector(ReleaseSeries.QUEUE_DEPTH, of_teams), selector(ReleaseSeries.GPU_UTILIZATION, of_teams)
    yield Alert(
        "LlmGpuIdle",
        f"avg_over_time({gpu}[1h]) < {IDLE_GPU:g} and max_over_time({queue}[1h]) == 0 "
        f"and sum_over_time({selector(ReleaseSeries.READY_INSTANCES, of_teams)}[1h]) "
        f"> count_over_time({selector(ReleaseSeries.READY_INSTANCES, of_teams)}[1h])",
        60,
        Severity.TICKET,
        f"{_WHICH}: more than one instance, GPUs at {_PERCENT} for an hour, and nothing waits: fewer would do",
    )
    yield Alert(
        "LlmGpuSaturated",
        f"{gpu} > {BUSY_GPU:g} and {queue} > 0",
        15,
        Severity.TICKET,
        f"{_WHICH}: GPUs at {_PERCENT}, and requests wait",
    )
    yield Alert(
        "LlmKvCacheFull",
        f"{selector(ReleaseSeries.KV_CACHE_USAGE, of_teams)} > {FULL_KV_CACHE:g} "
        f"and {selector(ReleaseSeries.PREEMPTION_RATE, of_teams)} > 0",
        10,
        Severity.TICKET,
        f"{_WHICH}: the KV cache is full at {_PERCENT}, and requests lose their place in it",
    )
    yield Alert(
        "LlmQueueGrows",
        f"min_over_time({queue}[10m]) > 0 and deriv({queue}[10m]) > 0",
        10,
        Severity.TICKET,
        f"{_WHICH}: more and more requests wait, {{{{ $value | humanize }}}} now",
    )
    hits = selector(ReleaseSeries.PREFIX_CACHE_HIT_RATIO, of_teams)
    yield Alert(
        "LlmPrefixCacheCold",
        f"avg_over_time({hits}[30m]) < 0.5 * avg_over_time({hits}[1d] offset 1h) "
        f"and avg_over_time({hits}[1d] offset 1h) > 0.2",
        30,
        Severity.TICKET,
        f"{_WHICH}: {_PERCENT} of the prompts' tokens are in the prefix cache, half as many as the day before",
    )


def _of_pods(teams: Sequence[str]) -> Iterator[Alert]:
    """By what kube-state-metrics says of the teams' namespaces."""
    of_teams = {SERIES_NAMESPACE: Pattern("|".join(teams))}
    restarts = selector(KubeStateSeries.CONTAINER_RESTARTS, of_teams)
    yield Alert(
        "LlmCrashLoop",
        f"increase({restarts}[15m]) > 2",
        0,
        Severity.TICKET,
        f"{_POD}: container {{{{ $labels.container }}}} restarted {{{{ $value | humanize }}}} times in a quarter of an "
        "hour",
    )
    out_of_memory = selector(KubeStateSeries.CONTAINER_LAST_END, {**of_teams, "reason": "OOMKilled"})
    yield Alert(
        "LlmOutOfMemory",
        f"{out_of_memory} == 1 and on ({SERIES_NAMESPACE}, {SERIES_POD}, container) increase({restarts}[15m]) > 0",
        0,
        Severity.TICKET,
        f"{_POD}: container {{{{ $labels.container }}}} took more memory than its limit, and was ended",
    )
    yield Alert(
        "LlmWaitsForCapacity",
        f"max by ({SERIES_NAMESPACE}, {SERIES_POD}) ({selector(KubeStateSeries.POD_UNSCHEDULABLE, of_teams)}) == 1",
        20,
        Severity.TICKET,
        f"{_POD} has waited for a node for twenty minutes",
    )
    yield Alert(
        "LlmLoaderFailed",
        f"max by ({SERIES_NAMESPACE}, job_name) ({selector(KubeStateSeries.JOB_FAILED, of_teams)}) > 0",
        0,
        Severity.TICKET,
        "{{ $labels.namespace }}/{{ $labels.job_name }}: the Job failed; its model has no weights, or no compile cache",
    )


def _of_gateway() -> Iterator[Alert]:
    yield Alert(
        "LlmGatewayRedisAway",
        f"max by (redis) ({GatewaySeries.REDIS_AWAY}) == 1",
        5,
        Severity.TICKET,
        "the gateway's Redis for {{ $labels.redis }} does not answer: limits are each pod's own, answers are not kept",
    )
    # What is refused for it has no key yet, and so no model whose budget would burn.
    yield Alert(
        "LlmGatewayPostgresAway",
        f"max({GatewaySeries.POSTGRES_AWAY}) == 1",
        5,
        Severity.PAGE,
        "the gateway's table of keys does not answer: keys that were not looked up lately are refused",
    )


_RELEASE = f"{SERIES_NAMESPACE}, {SERIES_TEAM}, {SERIES_MODEL}, {SERIES_RELEASE}"
_WHICH = "{{ $labels.model }} {{ $labels.release }}"
_POD = "{{ $labels.namespace }}/{{ $labels.pod }}"
_PERCENT = "{{ $value | humanizePercentage }}"
_DURATION = "{{ $value | humanizeDuration }}"
_LATENCY_ALERTS = {
    LatencyKind.TIME_TO_FIRST_TOKEN: "LlmFirstTokenSlow",
    LatencyKind.INTER_TOKEN_LATENCY: "LlmTokensSlow",
    LatencyKind.LATENCY: "LlmAnswersSlow",
}
_WORDS = {
    LatencyKind.TIME_TO_FIRST_TOKEN: "the time to the first token",
    LatencyKind.INTER_TOKEN_LATENCY: "the time between tokens",
    LatencyKind.LATENCY: "the time to the last token",
}
