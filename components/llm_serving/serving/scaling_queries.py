"""What autoscaling asks Prometheus: one PromQL expression a signal.

Every expression returns exactly one element, or none where its absence must be seen: KEDA takes the first as a number
and the second (with ``ignoreNullValues: false``) as a failure, after which it holds the instances that there are. Two
elements would always be a failure. Numbers of instances come from kube-state-metrics, loads from the engines' own
metrics.

Owns the expressions. Leaves alone how series are spelled (``metrics``), and how signals are weighed against each other
(``scaled_object``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from llm_serving.errors import Problem
from llm_serving.metrics.engines import EngineMetrics
from llm_serving.metrics.promql import max_over_time, min_of_expression, or_zero, quantile, selector, sum_by_pod
from llm_serving.metrics.series import (
    DCGM_GPU_UTILIZATION,
    SCRAPE_INTERVAL_SECONDS,
    SERIES_MODEL,
    SERIES_NAMESPACE,
    GatewaySeries,
    LauncherSeries,
)
from llm_serving.metrics.workload import ReleaseWorkload
from llm_serving.spec import AutoscalingSpec

# Windows hold several scrapes, so that a missed one does no harm.
QUEUE_SECONDS = 4 * SCRAPE_INTERVAL_SECONDS
"""Requests count as waiting when some waited all through this time: one burst between two steps of the engine is none.
"""
LATENCY_SECONDS = 8 * SCRAPE_INTERVAL_SECONDS
"""Time over which the time to the first token is taken."""
CAPACITY_SECONDS = 3600
"""Time over which an instance's record of requests at once is kept."""


@dataclass(frozen=True)
class ScalingQueries:
    """PromQL expressions about one release.

    Attributes:
        requests: requests that all instances have, running and waiting.
        waiting: of these, waiting, for each instance on average.
        running: requests that the fullest instance runs at once.
        capacity: the most requests that any instance ran at once in the last hour.
        queued: requests that waited at every moment of the last minute, over all instances.
        ttft: 95th percentile of the time to the first token, in seconds; 0 where no request got one.
        gpu: mean GPU utilization in percent; 0 where nothing measures it.
        steady: instances that were ready all through the time over which ``ttft`` is taken.
        ready: instances that are ready.
        replicas: desired instances, whether they run or not.
    """

    requests: str
    waiting: str
    running: str
    capacity: str
    queued: str
    ttft: str
    gpu: str
    steady: str
    ready: str
    replicas: str


def scaling_queries(metrics: EngineMetrics, workload: ReleaseWorkload) -> ScalingQueries:
    """The expressions for the instances of a release.

    Args:
        metrics: names of the engine's metrics.
        workload: its base instances answer the same requests, so they are counted too.
    """
    if metrics.requests_running is None or metrics.requests_waiting is None:
        raise ValueError("no queries without gauges of running and waiting requests: see unmeasured_objectives")
    running, waiting = workload.select(metrics.requests_running), workload.select(metrics.requests_waiting)
    # Without a ready instance there is no load to see. With one, silence means that the load is unknown.
    idle = f"(vector(0) unless on() ({workload.ready} > 0))"
    launcher_gpu = f"avg({workload.select(LauncherSeries.GPU_UTILIZATION)})"
    exporter_gpu = f"avg({workload.select_by_pod_name(DCGM_GPU_UTILIZATION)})"
    return ScalingQueries(
        # A sum: an instance that is ready and not scraped yet has no load that is known; an average would give it one.
        requests=f"sum({sum_by_pod(running)} + {sum_by_pod(waiting)}) or {idle}",
        waiting=f"avg({sum_by_pod(waiting)}) or {idle}",
        running=f"max({sum_by_pod(running)}) or {idle}",
        capacity=or_zero(f"max({sum_by_pod(max_over_time(running, CAPACITY_SECONDS))})"),
        queued=or_zero(min_of_expression(f"sum({waiting})", QUEUE_SECONDS)),
        ttft=_time_to_first_token(metrics, workload),
        gpu=or_zero(f"{launcher_gpu} or {exporter_gpu}"),
        steady=min_of_expression(workload.ready, LATENCY_SECONDS),
        ready=workload.ready,
        replicas=workload.replicas,
    )


def asked_query(model: str, gateway_namespace: str, polling_seconds: int) -> str:
    """Requests to a model, over all pods of the gateway, and all of its releases: with the model they all wake.

    Nothing where no pod was scraped: that is silence, not a lull. The window is longer than the pause between two
    readings, so that a request that was refused in between is seen too.
    """
    demand = selector(GatewaySeries.DEMAND, {SERIES_NAMESPACE: gateway_namespace, SERIES_MODEL: model})
    return f"sum({max_over_time(demand, max(QUEUE_SECONDS, 2 * polling_seconds))})"


def unmeasured_objectives(metrics: EngineMetrics, spec: AutoscalingSpec) -> Iterator[Problem]:
    """Objectives that the engine has no metric for; paths are those of ``autoscaling``."""
    if metrics.requests_running is None or metrics.requests_waiting is None:
        reason = "the engine of the release does not measure how many requests run and wait"
        yield Problem("", None, reason, "replicas, or another engine")
    if spec.ttft_seconds is not None and metrics.time_to_first_token is None:
        reason = "the engine of the release does not measure the time to the first token"
        yield Problem("ttftSeconds", spec.ttft_seconds, reason, "queueDepth alone")


def _time_to_first_token(metrics: EngineMetrics, workload: ReleaseWorkload) -> str:
    if metrics.time_to_first_token is None:
        return "vector(0)"
    return or_zero(quantile(0.95, metrics.time_to_first_token, workload.labels, LATENCY_SECONDS))
