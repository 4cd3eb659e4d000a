"""Recorded series: each engine's metrics under the names that all share, and what is true of a release."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_serving.metrics.engines import LatencyKind, engine_metrics
from llm_serving.metrics.promql import Pattern, selector
from llm_serving.metrics.recorded import (
    HISTOGRAMS,
    POD_LABELS,
    QUANTILES,
    RELEASE_LABELS,
    EngineSeries,
    GatewayRecord,
    ReleaseSeries,
    engine_sources,
    error_ratio_series,
    quantile_series,
)
from llm_serving.metrics.series import (
    SCRAPE_INTERVAL_SECONDS,
    SERIES_MODEL,
    SERIES_STATUS,
    SERIES_TEAM,
    SERIES_TENANT,
    GatewaySeries,
    LauncherSeries,
)
from llm_serving.spec import EngineName

Rule = dict[str, Any]
Group = dict[str, Any]

BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Windows of the share of failed requests: those of multi-window burn rates
(https://sre.google/workbook/alerting-on-slos/, "Multiwindow, Multi-Burn-Rate Alerts")."""
_MINUTES = "5m"


def recording_groups(
    engines: Iterable[EngineName], quantiles: Sequence[tuple[LatencyKind, float]] = (), *, gateway: bool = False
) -> list[Group]:
    """The groups of recorded series.

    Args:
        engines: those whose releases are served.
        quantiles: more quantiles than :data:`QUANTILES`, those of objectives.
        gateway: record what clients see at the gateway.
    """
    groups = [_group(f"llm-engine-{name.value}", _of_engine(name)) for name in sorted(set(engines))]
    groups.append(_group("llm-releases", _of_releases(quantiles)))
    if gateway:
        groups.append(_group("llm-gateway", _of_gateway()))
    return groups


def _group(name: str, rules: list[Rule]) -> Group:
    return {"name": name, "interval": f"{SCRAPE_INTERVAL_SECONDS}s", "rules": rules}


def _record(name: str, expression: str) -> Rule:
    return {"record": str(name), "expr": expression}


def _by(*labels: str) -> str:
    return f"by ({', '.join(labels)})"


def _of_engine(name: EngineName) -> list[Rule]:
    rules: list[Rule] = []
    for series, source in engine_sources(engine_metrics(name)).items():
        if not source.is_histogram:
            rules.append(_record(series, f"{source.operator} {_by(*POD_LABELS)} ({source.metric})"))
            continue
        rules.append(_record(f"{series}_bucket", f"sum {_by(*POD_LABELS, 'le')} ({source.metric}_bucket)"))
        for part in ("sum", "count"):
            rules.append(_record(f"{series}_{part}", f"sum {_by(*POD_LABELS)} ({source.metric}_{part})"))
    return rules


def _of_releases(quantiles: Sequence[tuple[LatencyKind, float]]) -> list[Rule]:
    by = _by(*RELEASE_LABELS)

    def rate(series: EngineSeries) -> str:
        return f"sum {by} (rate({series}[{_MINUTES}]))"

    rules = [
        _record(ReleaseSeries.REQUEST_RATE, rate(EngineSeries.REQUESTS)),
        _record(ReleaseSeries.TOKEN_RATE, rate(EngineSeries.TOKENS_GENERATED)),
        _record(ReleaseSeries.PROMPT_TOKEN_RATE, rate(EngineSeries.PROMPT_TOKENS)),
        _record(ReleaseSeries.QUEUE_DEPTH, f"sum {by} ({EngineSeries.QUEUE_DEPTH})"),
        _record(ReleaseSeries.REQUESTS_RUNNING, f"sum {by} ({EngineSeries.REQUESTS_RUNNING})"),
        _record(ReleaseSeries.KV_CACHE_USAGE, f"max {by} ({EngineSeries.KV_CACHE_USAGE})"),
        _record(ReleaseSeries.PREEMPTION_RATE, rate(EngineSeries.PREEMPTIONS)),
        # Without a look-up there is no share: 0 of 0 is NaN, which is not at least 0.
        _record(
            ReleaseSeries.PREFIX_CACHE_HIT_RATIO,
            f"{rate(EngineSeries.PREFIX_CACHE_HITS)} / {rate(EngineSeries.PREFIX_CACHE_QUERIES)} >= 0",
        ),
        _record(ReleaseSeries.GPU_UTILIZATION, f"avg {by} ({LauncherSeries.GPU_UTILIZATION}) / 100"),
        _record(ReleaseSeries.READY_INSTANCES, f"sum {by} ({LauncherSeries.ENGINE_READY})"),
        _record(ReleaseSeries.INSTANCES, f"count {by} ({LauncherSeries.ENGINE_READY})"),
    ]
    wanted = {(kind, quantile) for kind in LatencyKind for quantile in QUANTILES} | set(quantiles)
    for kind, quantile in sorted(wanted):
        buckets = f"sum {_by(*RELEASE_LABELS, 'le')} (rate({HISTOGRAMS[kind]}_bucket[{_MINUTES}]))"
        # The quantile of nothing is NaN, which is not at least 0.
        rules.append(_record(quantile_series(kind, quantile), f"histogram_quantile({quantile:g}, {buckets}) >= 0"))
    return rules


def judged_requests(labels: Mapping[str, str] | None = None) -> str:
    """Requests at the gateway but for those that the client did wrong (4xx), which nobody could have answered."""
    return selector(GatewaySeries.REQUESTS, {**(labels or {}), SERIES_STATUS: Pattern("[1235]..")})


def _of_gateway() -> list[Rule]:
    """A stream that broke off was counted with the status of its beginning."""
    judged = judged_requests()
    failed = selector(GatewaySeries.REQUESTS, {SERIES_STATUS: Pattern("5..")})
    by = _by(SERIES_MODEL)
    rules = [
        _record(GatewayRecord.REQUEST_RATE, f"sum {by} (rate({judged}[{_MINUTES}]))"),
        _record(
            GatewayRecord.TENANT_TOKEN_RATE,
            f"sum {_by(SERIES_MODEL, SERIES_TENANT, 'direction')} (label_replace("
            f'rate({GatewaySeries.TOKENS}[{_MINUTES}]), "{SERIES_TENANT}", "$1", "{SERIES_TEAM}", "(.*)"))',
        ),
    ]
    for window in BURN_WINDOWS:
        all_requests = f"sum {by} (rate({judged}[{window}]))"
        refused = f"sum {by} (rate({failed}[{window}]))"
        broken = f"sum {by} (rate({GatewaySeries.BROKEN_STREAMS}[{window}]))"
        # A series that never was is no series: its place takes 0 for each model that has requests.
        errors = f"(({refused} or 0 * {all_requests}) + ({broken} or 0 * {all_requests}))"
        rules.append(_record(error_ratio_series(window), f"{errors} / {all_requests} >= 0"))
    return rules
