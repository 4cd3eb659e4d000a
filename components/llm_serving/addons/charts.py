"""The charts of the addons, at pinned versions, and the values that we give them. What is left out is the chart's own.

Versions fit the definitions that tests validate against (``tools/go``): KEDA 2.21, Prometheus' operator 0.85
(https://github.com/prometheus-community/helm-charts/blob/main/charts/kube-prometheus-stack/UPGRADE.md: 77.x),
LeaderWorkerSet 0.8. Looked up in November 2026.
"""

from dataclasses import dataclass
from typing import Any

from llm_serving.addons.places import KEDA_NAMESPACE, LWS_NAMESPACE, MONITORING_NAMESPACE, PROMETHEUS_SERVICE
from llm_serving.metrics.series import SCRAPE_INTERVAL_SECONDS
from llm_serving.spec.toleration import Toleration


@dataclass(frozen=True)
class Chart:
    """A chart, and the one release of it.

    Attributes:
        release: name of the Helm release.
        namespace: its namespace.
        chart: name in ``repository``, or an OCI address.
        version: exact version of the chart.
        repository: URL of the repository; ``None`` for an OCI address.
    """

    release: str
    namespace: str
    chart: str
    version: str
    repository: str | None = None


KEDA = Chart("keda", KEDA_NAMESPACE, "keda", "2.21.0", "https://kedacore.github.io/charts")
MONITORING = Chart(
    "monitoring",
    MONITORING_NAMESPACE,
    "kube-prometheus-stack",
    "77.14.0",
    "https://prometheus-community.github.io/helm-charts",
)
LEADER_WORKER_SET = Chart("lws", LWS_NAMESPACE, "oci://registry.k8s.io/lws/charts/lws", "0.8.0")


@dataclass(frozen=True)
class Placement:
    """On which nodes addons run.

    Attributes:
        node_selector: labels of the nodes.
        tolerations: taints of the nodes that are tolerated.
    """

    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]

    def values(self) -> dict[str, Any]:
        """As most charts take it."""
        return {
            "nodeSelector": dict(self.node_selector),
            "tolerations": [toleration.model_dump(exclude_none=True) for toleration in self.tolerations],
        }


@dataclass(frozen=True)
class Storage:
    """What Prometheus keeps.

    Attributes:
        retention_days: for how long.
        gib: size of its volume.
        storage_class: class of its volume; ``None`` for the cluster's default.
    """

    retention_days: int
    gib: int
    storage_class: str | None


def keda_values(placement: Placement, monitored: bool) -> dict[str, Any]:
    """KEDA's operator, metrics server and admission webhook.

    Args:
        placement: nodes.
        monitored: Prometheus' operator is there to find out how KEDA fares.
    """
    return {
        **placement.values(),
        "resources": {
            "operator": _resources("100m", "256Mi", "1Gi"),
            "metricServer": _resources("100m", "256Mi", "1Gi"),
            "webhooks": _resources("10m", "64Mi", "256Mi"),
        },
        # The operator elects a leader and the webhooks keep no state; the metrics API has one backend at a time.
        "operator": {"replicaCount": 2},
        "podDisruptionBudget": {"operator": {"maxUnavailable": 1}},
        "prometheus": {
            "operator": {"enabled": monitored, "podMonitor": {"enabled": monitored}},
            "metricServer": {"enabled": monitored, "podMonitor": {"enabled": monitored}},
        },
    }


def monitoring_values(placement: Placement, storage: Storage) -> dict[str, Any]:
    """Prometheus, its operator and kube-state-metrics; no dashboards and no alerts yet."""
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{storage.gib}Gi"}},
        **({} if storage.storage_class is None else {"storageClassName": storage.storage_class}),
    }
    prometheus: dict[str, Any] = {
        **placement.values(),
        "retention": f"{storage.retention_days}d",
        # Old data goes before the volume is full: a full volume stops scrapes, and with them autoscaling.
        "retentionSize": f"{storage.gib * 85 // 100}GiB",
        # That of kube-state-metrics too: numbers of instances are as fresh as the load of the engines.
        "scrapeInterval": f"{SCRAPE_INTERVAL_SECONDS}s",
        "evaluationInterval": f"{SCRAPE_INTERVAL_SECONDS}s",
        "resources": _resources("500m", "2Gi", "4Gi"),
        "storageSpec": {"volumeClaimTemplate": {"spec": claim}},
        # Monitors and rules of every namespace, whoever made them. By default the chart finds only its own.
        **{f"{kind}SelectorNilUsesHelmValues": False for kind in ("podMonitor", "serviceMonitor", "probe", "rule")},
    }
    return {
        # Else names would hold the chart's name too.
        "fullnameOverride": PROMETHEUS_SERVICE.removesuffix("-prometheus"),
        "prometheus": {"prometheusSpec": prometheus},
        "prometheusOperator": {
            **placement.values(),
            "resources": _resources("100m", "128Mi", "512Mi"),
            "admissionWebhooks": {"patch": placement.values()},
        },
        "kube-state-metrics": {
            **placement.values(),
            "resources": _resources("50m", "128Mi", "512Mi"),
            # Its labels name the objects that it tells about: without this they would become exported_namespace.
            "prometheus": {"monitor": {"honorLabels": True}},
        },
        **{part: {"enabled": False} for part in _NOT_INSTALLED},
        "defaultRules": {"create": False},
    }


_NOT_INSTALLED = (
    "alertmanager",
    "grafana",
    "nodeExporter",
    # Managed control planes hide these; their targets would be down for ever.
    "kubeControllerManager",
    "kubeEtcd",
    "kubeProxy",
    "kubeScheduler",
)


def leader_worker_set_values(placement: Placement) -> dict[str, Any]:
    """LeaderWorkerSet's controller."""
    return {**placement.values(), "replicaCount": 1, "resources": _resources("100m", "128Mi", "512Mi")}


def _resources(cpu: str, memory: str, most_memory: str) -> dict[str, Any]:
    """No CPU limit: a throttled autoscaler is late."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": most_memory}}
