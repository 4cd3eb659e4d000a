"""The ScaledObject of a release: how what Prometheus answers becomes a number of instances.

One ScaledObject with one formula whose value is the number of instances wanted. With a trigger a signal instead, the
HPA would take the largest of them, and a GPU that is busy with a single request would ask for another one.

The formula, in the order of its lines (``queue_depth``, objectives and the base are written into it as numbers):

- ``more``: only while requests wait, and the fullest instance shows how many one runs at once: all requests over
  those that one instance may have, as many as that and ``queue_depth`` that wait for it. It follows the load alone, not
  the number of instances, so it does not feed on itself: instances that are added, or still load, do not raise it.
- ``keep``: instances that can run all requests at once, each as many as one has shown to run within an hour (at least
  ``queue_depth``). It adds none; it keeps an instance until the others can do without it, so that taking one away does
  not bring back the queue for which it was added.
- ``lost``: with no instance ready nothing can be measured, and what there is stays.
- ``woken``, where there may be no instance: one while somebody asks the model, by the gateway's count, which needs no
  instance. However many ask at once, the first instance is one; what it measures says whether more are needed.
- ``slow`` and ``busy``: instances times measured over wanted, only while requests wait (``pressed`` is 1 while some
  waited at every moment of a minute, else 0). The instances are those that were ready all the time over which it was
  measured, so that a late measure does not count twice.
- ``demand``: the largest of these, rounded up. Metrics come in thousandths; half of one is left off, so that a rounding
  error adds no instance.
- ``guarded``: instances that still load (or wait for a node) are taken off a demand beyond the desired
  instances: a queue that grows until they are ready is not met twice. Equal to llm-d's
  ``demand <= replicas ? demand : max(demand - loading, replicas)``.
- ``wanted``: schedules are floors, guard or not; less the base, which is not scaled.
- the value: the HPA does nothing while the value is within a tenth of the instances that there are, so from ten on a
  single step would be lost. A step up is widened to the smallest that it takes. A step down is left to it. The value
  is never negative: the HPA takes a negative one for the largest number
  (https://github.com/kubernetes/kubernetes/blob/v1.34.1/pkg/controller/podautoscaler/replica_calculator.go).

KEDA compiles it with https://expr-lang.org and hands its value to the HPA as an AverageValue over 1, which makes the
value the number of replicas.

Owns the ScaledObject. Leaves alone: the queries to Prometheus (``scaling_queries``), the bounds (``planning``), and
the number of replicas in the Deployment, which nobody but the HPA may write.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pulumi

from llm_serving.metrics.workload import ReleaseWorkload, WorkloadKind
from llm_serving.serving import multi_node
from llm_serving.serving.prometheus_auth import trigger_fields
from llm_serving.serving.scaling_queries import ScalingQueries
from llm_serving.spec import AutoscalingSpec, PrometheusAuthSpec, ScheduleSpec

API_VERSION = "keda.sh/v1alpha1"
KIND = "ScaledObject"
_API_VERSIONS = {WorkloadKind.DEPLOYMENT: "apps/v1", WorkloadKind.LEADER_WORKER_SET: multi_node.API_VERSION}

FAILURE_THRESHOLD = 3
"""Readings that may fail before the fallback holds what there is; until then the HPA does nothing at all."""

TOLERANCE_PERCENT = 10
"""``--horizontal-pod-autoscaler-tolerance`` of Kubernetes, which managed clusters do not let one set. The behaviour of
one HPA can name another from 1.35 on; 1.34 drops the field."""

HANDOVER_SECONDS = 60
"""KEDA's cron triggers know no seconds and are not read at one moment: where one window ends as the next one begins, a
reading may see neither. The HPA takes the highest value of its stabilization window, so one such reading takes no
instance where that is longer than the pause between two readings."""

UP_PERIOD_SECONDS = 15
DOWN_PERIOD_SECONDS = 60


@dataclass(frozen=True)
class PrometheusServer:
    """What KEDA asks.

    Attributes:
        url: where it answers; it is passed on unread.
        auth: how KEDA proves who it is; ``None`` where nobody is asked.
    """

    url: pulumi.Input[str]
    auth: PrometheusAuthSpec | None = None


def scaled_object(
    workload: ReleaseWorkload,
    spec: AutoscalingSpec,
    queries: ScalingQueries,
    prometheus: PrometheusServer,
    labels: dict[str, str] | None = None,
    asked: str | None = None,
) -> dict[str, Any]:
    """The ScaledObject, as a manifest of plain data.

    Args:
        workload: what is scaled; ``workload.base`` instances are part of the bounds, and not scaled.
        spec: bounds of all instances together, signals and pace.
        queries: what to ask Prometheus.
        prometheus: where it answers, and what it is shown.
        labels: labels of the object; KEDA copies them to the HPA.
        asked: what says that somebody asks the model (``scaling_queries.asked_query``), where it may have no instance.
    """
    min_replicas = max(spec.min - workload.base, 0)
    body: dict[str, Any] = {
        "scaleTargetRef": {
            "apiVersion": _API_VERSIONS[workload.kind],
            "kind": workload.kind.value,
            "name": workload.name,
        },
        "pollingInterval": spec.polling_seconds,
        "minReplicaCount": min_replicas,
        "maxReplicaCount": max(spec.max - workload.base, 1),
        "fallback": {
            "failureThreshold": FAILURE_THRESHOLD,
            "replicas": min_replicas,
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {
            "restoreToOriginalReplicaCount": False,
            "horizontalPodAutoscalerConfig": {"name": workload.name, "behavior": _behavior(spec)},
            "scalingModifiers": {
                "formula": formula(spec, workload.base),
                "metricType": "AverageValue",
                "target": "1",
                "activationTarget": "0",
            },
        },
        "triggers": [
            *(_prometheus_trigger(name, query, prometheus) for name, query in _metrics(spec, queries, asked).items()),
            *(_cron_trigger(name, schedule) for name, schedule in _schedules(spec).items()),
        ],
    }
    if min_replicas == 0:
        # Longer than it takes to fall back, so that a Prometheus that is away takes no instance.
        idle = spec.idle_seconds if spec.may_sleep else spec.pace.down_seconds
        body["cooldownPeriod"] = max(idle, (FAILURE_THRESHOLD + 2) * spec.polling_seconds)
        # Of one that was never active KEDA ignores that: a new release would go as soon as it answers.
        body["initialCooldownPeriod"] = body["cooldownPeriod"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": workload.name, "namespace": workload.namespace, "labels": dict(labels or {})},
        "spec": body,
    }


def formula(spec: AutoscalingSpec, base: int = 0) -> str:
    """The number of replicas wanted, without the ``base`` instances that are not scaled; lines are explained above."""
    depth = _number(spec.queue_depth)
    parts = ["more", "keep", "lost"]
    lines = [
        "let waits = min(waiting * 1000, 1)",
        f"let more = waits * requests / (running + {depth})",
        f"let keep = min(ready, requests / max(capacity, {depth}, 1))",
        "let lost = replicas * (1 - min(ready, 1))",
    ]
    if spec.may_sleep:
        parts.append("woken")
        lines.append("let woken = min(asked, 1)")
    if _is_measured(spec):
        lines.append("let pressed = min(queued, 1)")
    if spec.ttft_seconds is not None:
        parts.append("slow")
        lines.append(f"let slow = pressed * steady * ttft / {_number(spec.ttft_seconds)}")
    if spec.gpu_utilization is not None:
        parts.append("busy")
        lines.append(f"let busy = pressed * steady * gpu / {spec.gpu_utilization}")
    lines += [
        f"let demand = ceil(max({', '.join(parts)}) - 0.0005)",
        "let loading = max(replicas - ready, 0)",
        "let guarded = min(demand, max(demand - loading, replicas))",
        f"let wanted = max({', '.join(['guarded', *_schedules(spec)])}, 0) - {base}",
        f"let scaled = max(replicas - {base}, 0)",
        "let up = min(max(wanted - scaled, 0), 1)",
        f"max(wanted, up * (floor(scaled * {100 + TOLERANCE_PERCENT} / 100) + 1))",
    ]
    return ";\n".join(lines)


def _number(value: float) -> str:
    """Without an exponent, and never as 0."""
    return format(Decimal(repr(value)), "f")


def _metrics(spec: AutoscalingSpec, queries: ScalingQueries, asked: str | None) -> dict[str, str]:
    """The queries that the formula uses, by the names that it gives them. KEDA reads every trigger, used or not."""
    metrics = {
        "requests": queries.requests,
        "waiting": queries.waiting,
        "running": queries.running,
        "capacity": queries.capacity,
        "ready": queries.ready,
        "replicas": queries.replicas,
    }
    if spec.may_sleep:
        assert asked is not None, "refused before: nobody would wake it"
        metrics["asked"] = asked
    if _is_measured(spec):
        metrics |= {"queued": queries.queued, "steady": queries.steady}
    if spec.ttft_seconds is not None:
        metrics["ttft"] = queries.ttft
    if spec.gpu_utilization is not None:
        metrics["gpu"] = queries.gpu
    return metrics


def _is_measured(spec: AutoscalingSpec) -> bool:
    return spec.ttft_seconds is not None or spec.gpu_utilization is not None


def _schedules(spec: AutoscalingSpec) -> dict[str, ScheduleSpec]:
    return {f"schedule_{number}": schedule for number, schedule in enumerate(spec.schedules)}


def _prometheus_trigger(name: str, query: str, prometheus: PrometheusServer) -> dict[str, Any]:
    modes, reference = trigger_fields(prometheus.auth)
    return {
        "type": "prometheus",
        "name": name,
        "metadata": {
            "serverAddress": prometheus.url,
            "query": query,
            # Required, and without meaning beside a formula.
            "threshold": "1",
            # Else no answer would count as zero requests.
            "ignoreNullValues": "false",
            **modes,
        },
        **reference,
    }


def _cron_trigger(name: str, schedule: ScheduleSpec) -> dict[str, Any]:
    """KEDA's cron trigger: the number inside its window, 0 outside."""
    return {
        "type": "cron",
        "name": name,
        "metadata": {
            "timezone": schedule.timezone,
            "start": schedule.start,
            "end": schedule.end,
            "desiredReplicas": str(schedule.replicas),
        },
    }


def _behavior(spec: AutoscalingSpec) -> dict[str, Any]:
    pace = spec.pace
    handover = max(HANDOVER_SECONDS, 2 * spec.polling_seconds) if len(spec.schedules) > 1 else 0
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": pace.up_seconds,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": pace.up_percent, "periodSeconds": UP_PERIOD_SECONDS}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": max(pace.down_seconds, handover),
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": pace.down_percent, "periodSeconds": DOWN_PERIOD_SECONDS}],
        },
    }
