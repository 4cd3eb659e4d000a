"""Series that Prometheus computes from what is scraped, under names that stay when an engine or its metrics change.

First come the metrics of every engine under one name each (:class:`EngineSeries`), a series a pod; from these, what is
true of a release (:class:`ReleaseSeries`). Alerts, dashboards and reports read these alone. Names with colons follow
Prometheus' convention for recorded series, level:metric:operation
(https://prometheus.io/docs/practices/rules/#naming).
"""

from dataclasses import dataclass
from enum import StrEnum

from llm_serving.metrics.engines import EngineMetrics, LatencyKind
from llm_serving.metrics.series import (
    SERIES_MODEL,
    SERIES_NAMESPACE,
    SERIES_POD,
    SERIES_POOL,
    SERIES_RELEASE,
    SERIES_TEAM,
)

RELEASE_LABELS = (SERIES_NAMESPACE, SERIES_TEAM, SERIES_MODEL, SERIES_RELEASE, SERIES_POOL)
"""What tells the series of a release."""
POD_LABELS = (*RELEASE_LABELS, SERIES_POD)


class EngineSeries(StrEnum):
    """An engine's metric under the name that all engines share, by :data:`POD_LABELS`."""

    REQUESTS = "llm_inference_requests_total"
    """Counter: requests that ended."""
    LATENCY = "llm_inference_latency_seconds"
    """Histogram: from arrival to the last token."""
    TIME_TO_FIRST_TOKEN = "llm_time_to_first_token_seconds"
    """Histogram."""
    INTER_TOKEN_LATENCY = "llm_inter_token_latency_seconds"
    """Histogram."""
    QUEUE_DEPTH = "llm_queue_depth"
    """Gauge: requests that wait."""
    REQUESTS_RUNNING = "llm_requests_running"
    """Gauge: requests of the current batch."""
    TOKENS_GENERATED = "llm_tokens_generated_total"
    """Counter."""
    PROMPT_TOKENS = "llm_prompt_tokens_total"
    """Counter."""
    KV_CACHE_USAGE = "llm_kv_cache_usage_ratio"
    """Gauge, 0 to 1: of the fullest engine of the pod."""
    PREEMPTIONS = "llm_preemptions_total"
    """Counter: requests that lost their place in the KV cache."""
    PREFIX_CACHE_QUERIES = "llm_prefix_cache_queries_total"
    """Counter: tokens looked up."""
    PREFIX_CACHE_HITS = "llm_prefix_cache_hits_total"
    """Counter: tokens found."""


class ReleaseSeries(StrEnum):
    """What is true of a release, by :data:`RELEASE_LABELS`; rates and quantiles are of five minutes."""

    REQUEST_RATE = "llm:requests:rate5m"
    """Requests a second."""
    TOKEN_RATE = "llm:tokens_generated:rate5m"
    """Tokens of answers a second."""
    PROMPT_TOKEN_RATE = "llm:prompt_tokens:rate5m"
    """Tokens of prompts a second."""
    QUEUE_DEPTH = "llm:queue_depth:sum"
    """Requests that wait, over all instances."""
    REQUESTS_RUNNING = "llm:requests_running:sum"
    """Requests that are computed, over all instances."""
    KV_CACHE_USAGE = "llm:kv_cache_usage:max"
    """Of the fullest instance, 0 to 1."""
    PREEMPTION_RATE = "llm:preemptions:rate5m"
    """Requests a second that lost their place."""
    PREFIX_CACHE_HIT_RATIO = "llm:prefix_cache_hits:ratio5m"
    """Share of the tokens looked up that were found, 0 to 1."""
    GPU_UTILIZATION = "llm:gpu_utilization:avg"
    """Mean over the instances, 0 to 1, as the launcher reads it."""
    READY_INSTANCES = "llm:instances_ready:sum"
    """Instances that the launcher calls ready."""
    INSTANCES = "llm:instances:count"
    """Instances whose launcher answers."""


HISTOGRAMS = {
    LatencyKind.TIME_TO_FIRST_TOKEN: EngineSeries.TIME_TO_FIRST_TOKEN,
    LatencyKind.INTER_TOKEN_LATENCY: EngineSeries.INTER_TOKEN_LATENCY,
    LatencyKind.LATENCY: EngineSeries.LATENCY,
}
"""The histogram of each kind of latency."""
QUANTILES = (0.5, 0.95, 0.99)
"""Those that are recorded of each histogram."""


def quantile_series(kind: LatencyKind, quantile: float) -> str:
    """Name of a recorded quantile, in seconds: ``llm:latency_seconds:p95_5m``."""
    percentile = f"{quantile * 100:g}".replace(".", "_")
    return f"llm:{kind}_seconds:p{percentile}_5m"


@dataclass(frozen=True)
class EngineSource:
    """Where a series of :class:`EngineSeries` comes from.

    Attributes:
        metric: the engine's name of it.
        operator: how the series of a pod become one: ``sum``, or ``max`` of shares.
        is_histogram: it has buckets, a sum and a count.
    """

    metric: str
    operator: str = "sum"
    is_histogram: bool = False


def engine_sources(metrics: EngineMetrics) -> dict[EngineSeries, EngineSource]:
    """What an engine has of the series that all share."""
    counters_and_gauges = {
        EngineSeries.REQUESTS: metrics.requests_finished,
        EngineSeries.QUEUE_DEPTH: metrics.requests_waiting,
        EngineSeries.REQUESTS_RUNNING: metrics.requests_running,
        EngineSeries.TOKENS_GENERATED: metrics.generation_tokens,
        EngineSeries.PROMPT_TOKENS: metrics.prompt_tokens,
        EngineSeries.PREEMPTIONS: metrics.preemptions,
        EngineSeries.PREFIX_CACHE_QUERIES: metrics.prefix_cache_queries,
        EngineSeries.PREFIX_CACHE_HITS: metrics.prefix_cache_hits,
    }
    histograms = {series: metrics.histogram(kind) for kind, series in HISTOGRAMS.items()}
    sources = {name: EngineSource(metric) for name, metric in counters_and_gauges.items() if metric is not None}
    if metrics.kv_cache_usage is not None:
        sources[EngineSeries.KV_CACHE_USAGE] = EngineSource(metrics.kv_cache_usage, operator="max")
    sources.update(
        {name: EngineSource(metric, is_histogram=True) for name, metric in histograms.items() if metric is not None}
    )
    return sources


class GatewayRecord(StrEnum):
    """What clients see at the gateway, by model."""

    REQUEST_RATE = "llm:gateway_requests:rate5m"
    """Requests a second, without those that the client did wrong (4xx)."""
    TENANT_TOKEN_RATE = "llm:tenant_tokens:rate5m"
    """Tokens a second, by model, tenant and direction."""


def error_ratio_series(window: str) -> str:
    """Name of the share of requests that were not answered in a window (``5m``), 0 to 1, by model."""
    return f"llm:gateway_errors:ratio_rate{window}"
