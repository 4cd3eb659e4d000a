"""What autoscaling asks Prometheus: one PromQL expression a signal.

Every expression returns exactly one element, or none where its absence must be seen: KEDA takes the first as a number
and the second (with ``ignoreNullValues: false``) as a failure, after which it holds the instances that there are. Two
elements would always be a failure. Numbers of instances come from kube-state-metrics, loads from the engines' own
metrics, which carry the labels that the PodMonitor of ``monitoring`` copies from the pods.

Owns the expressions. Leaves alone how they are weighed against each other (``autoscaling``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from llm_serving.errors import Problem
from llm_serving.planning.autoscaling import SCRAPE_SECONDS
from llm_serving.serving.engines import EngineMetrics
from llm_serving.serving.labels import BASE
from llm_serving.spec import AutoscalingSpec

MODEL_LABEL = "model"
RELEASE_LABEL = "release"
TEAM_LABEL = "team"
POOL_LABEL = "pool"
"""Labels of every series of an engine's pod, beside ``namespace`` and ``pod``, which Prometheus' operator adds."""

# Windows hold several scrapes, so that a missed one does no harm.
QUEUE_SECONDS = 4 * SCRAPE_SECONDS
"""Requests count as waiting when some waited all through this time: one burst between two steps of the engine is none.
"""
LATENCY_SECONDS = 8 * SCRAPE_SECONDS
"""Time over which the time to the first token is taken."""
CAPACITY_SECONDS = 3600
"""Time over which an instance's record of requests at once is kept."""

GPU_UTILIZATION = "llm_serving_gpu_utilization_percent"
"""Gauge of our launcher: mean utilization of a pod's GPUs, 0 to 100."""
DCGM_GPU_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"
"""Gauge of NVIDIA's DCGM exporter, 0 to 100, with the labels of the pod that holds the GPU."""


class TargetKind(StrEnum):
    """What holds the instances of a release."""

    DEPLOYMENT = "Deployment"
    LEADER_WORKER_SET = "LeaderWorkerSet"


@dataclass(frozen=True)
class ScaleTarget:
    """The instances of one release, and the object whose number of replicas is scaled.

    Attributes:
        namespace: the team's namespace.
        name: name of that object.
        model: name of the model.
        release: version of the release.
        base: instances in a second Deployment, ``<name>-base``, whose number is fixed.
        kind: what the object is.
    """

    namespace: str
    name: str
    model: str
    release: str
    base: int = 0
    kind: TargetKind = TargetKind.DEPLOYMENT

    @property
    def api_version(self) -> str:
        """API group and version of the object."""
        return "apps/v1" if self.kind is TargetKind.DEPLOYMENT else "leaderworkerset.x-k8s.io/v1"


@dataclass(frozen=True)
class Signals:
    """PromQL expressions about one release.

    Attributes:
        requests: requests that all instances have, running and waiting.
        waiting: of these, waiting.
        running: requests that the fullest instance runs at once.
        capacity: the most requests that any instance ran at once in the last hour.
        queued: requests that waited at every moment of the last minute, over all instances.
        ttft: 95th percentile of the time to the first token, in seconds; 0 where no request got one.
        gpu: mean GPU utilization in percent; 0 where nothing measures it.
        steady: instances that were ready all through the time over which ``ttft`` is taken.
        ready: instances that are ready.
        replicas: instances that are asked for, whether they are there or not.
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


def signals(metrics: EngineMetrics, target: ScaleTarget) -> Signals:
    """The expressions for the instances of ``target``.

    Args:
        metrics: names of the engine's metrics.
        target: base instances answer the same requests, so they are counted too.
    """
    own = _matchers(namespace=target.namespace, model=target.model, release=target.release)
    running, waiting = f"{metrics.requests_running}{{{own}}}", f"{metrics.requests_waiting}{{{own}}}"
    ready = _instances(target, "kube_deployment_status_replicas_ready", "kube_statefulset_status_replicas_ready")
    # Without a ready instance there is no load to see. With one, silence means that the load is unknown.
    idle = f"(vector(0) unless on() ({ready} > 0))"
    gpus = f'{DCGM_GPU_UTILIZATION}{{namespace="{target.namespace}",pod=~"{_pods(target)}"}}'
    return Signals(
        # A sum: an instance that is ready and not scraped yet has no load that is known; an average would give it one.
        requests=f"sum(sum by (pod) ({running}) + sum by (pod) ({waiting})) or {idle}",
        waiting=f"avg(sum by (pod) ({waiting})) or {idle}",
        running=f"max(sum by (pod) ({running})) or {idle}",
        capacity=f"max(sum by (pod) (max_over_time({running}[{CAPACITY_SECONDS}s]))) or vector(0)",
        queued=f"min_over_time(sum({waiting})[{QUEUE_SECONDS}s:{SCRAPE_SECONDS}s]) or vector(0)",
        ttft=_ttft(metrics.time_to_first_token, own),
        gpu=f"avg({GPU_UTILIZATION}{{{own}}}) or avg({gpus}) or vector(0)",
        steady=f"min_over_time({ready}[{LATENCY_SECONDS}s:{SCRAPE_SECONDS}s])",
        ready=ready,
        replicas=_instances(target, "kube_deployment_spec_replicas", "kube_statefulset_replicas"),
    )


def lacking(metrics: EngineMetrics, spec: AutoscalingSpec) -> Iterator[Problem]:
    """What is asked for and cannot be measured; paths are those of ``autoscaling``."""
    if spec.ttft_seconds is not None and metrics.time_to_first_token is None:
        reason = "the engine of the release does not measure the time to the first token"
        yield Problem("ttftSeconds", spec.ttft_seconds, reason, "queueDepth alone")


def _ttft(histogram: str | None, own: str) -> str:
    if histogram is None:
        return "vector(0)"
    # The quantile of nothing is NaN, which is not at least 0.
    buckets = f"sum by (le) (rate({histogram}_bucket{{{own}}}[{LATENCY_SECONDS}s]))"
    return f"histogram_quantile(0.95, {buckets}) >= 0 or vector(0)"


def _instances(target: ScaleTarget, deployment: str, stateful_set: str) -> str:
    """Instances over all objects of a release. A LeaderWorkerSet keeps its leaders, one an instance, in a StatefulSet
    of its own name (https://lws.sigs.k8s.io/docs/overview). ``max`` makes one of what two kube-state-metrics say."""
    kind = "deployment" if target.kind is TargetKind.DEPLOYMENT else "statefulset"
    metric = deployment if target.kind is TargetKind.DEPLOYMENT else stateful_set
    name = f'{kind}=~"{target.name}|{target.name}-{BASE}"' if target.base else f'{kind}="{target.name}"'
    return f'sum(max by ({kind}) ({metric}{{namespace="{target.namespace}",{name}}}))'


def _pods(target: ScaleTarget) -> str:
    """Regular expression for the names of a release's pods. A release ``1.0.0`` is not to match those of ``1.0.0-rc``:
    behind the name stand the hash of a ReplicaSet and five letters, or the number of a group and of its worker."""
    if target.kind is TargetKind.DEPLOYMENT:
        return f"{target.name}(-{BASE})?-[a-z0-9]+-[a-z0-9]{{5}}"
    return f"{target.name}(-{BASE})?-[0-9]+(-[0-9]+)?"


def _matchers(**labels: str) -> str:
    """Matchers of a selector; the values are names of Kubernetes and versions, which need no escapes."""
    return ",".join(f'{label}="{value}"' for label, value in labels.items())
