"""Values of the add-ons' charts. What is left out is the chart's own."""

from typing import Any
from urllib.parse import urlsplit

from llm_serving.addons.addon import AddonContext
from llm_serving.metrics.series import DCGM_GPU_UTILIZATION, SCRAPE_INTERVAL_SECONDS
from llm_serving.spec import GpuExporterSpec

PROMETHEUS_SERVICE = "monitoring-prometheus"


def keda(context: AddonContext) -> dict[str, Any]:
    """KEDA's operator, metrics server and admission webhook."""
    monitored = "monitoring" in context.installed
    return {
        **context.placement.values(),
        **_pull_secrets(context),
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


def monitoring(context: AddonContext) -> dict[str, Any]:
    """Prometheus, its operator and kube-state-metrics; no dashboards, and no Alertmanager of its own."""
    placement, storage = context.placement, context.storage
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
    if context.alertmanager_url is not None:
        prometheus["additionalAlertManagerConfigs"] = [_alertmanager(context.alertmanager_url)]
    return {
        # Of all its charts.
        **({"global": _pull_secrets(context)} if context.pull_secrets else {}),
        # Else names would hold the chart's name too.
        "fullnameOverride": PROMETHEUS_SERVICE.removesuffix("-prometheus"),
        "prometheus": {
            "prometheusSpec": prometheus,
            **({} if context.gpu_exporter is None else {"additionalPodMonitors": [_reading(context.gpu_exporter)]}),
        },
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


def _alertmanager(url: str) -> dict[str, Any]:
    """As Prometheus' own configuration has it (``alertmanager_config``)."""
    parts = urlsplit(url)
    path = {"path_prefix": parts.path} if parts.path else {}
    return {"scheme": parts.scheme, **path, "static_configs": [{"targets": [parts.netloc]}]}


def leader_worker_set(context: AddonContext) -> dict[str, Any]:
    """LeaderWorkerSet's controller."""
    return {
        **context.placement.values(),
        **_pull_secrets(context),
        "replicaCount": 1,
        "resources": _resources("100m", "128Mi", "512Mi"),
    }


def gateway_api(context: AddonContext) -> dict[str, Any]:
    """Nothing: the chart has definitions alone, and no values."""
    return {}


def cert_manager(context: AddonContext) -> dict[str, Any]:
    """cert-manager's controller, webhook and injector of authorities."""
    placement, monitored = context.placement.values(), "monitoring" in context.installed
    return {
        **placement,
        # Certificates outlive the chart: a removal by mistake takes none away.
        "crds": {"enabled": True, "keep": True},
        "global": {**_pull_secrets(context), "leaderElection": {"namespace": "cert-manager"}},
        # It answers authorities by routes of the Gateway API, whose definitions a gateway has.
        "config": {
            "apiVersion": "controller.config.cert-manager.io/v1alpha1",
            "kind": "ControllerConfiguration",
            "enableGatewayAPI": True,
        },
        "resources": _resources("50m", "128Mi", "512Mi"),
        # Without an answer of the webhook nothing of cert-manager's can be changed.
        "webhook": {**placement, "replicaCount": 2, "resources": _resources("20m", "64Mi", "256Mi")},
        "cainjector": {**placement, "resources": _resources("20m", "128Mi", "512Mi")},
        "startupapicheck": placement,
        "prometheus": {"enabled": monitored, "podmonitor": {"enabled": monitored}},
    }


def dcgm_exporter(context: AddonContext) -> dict[str, Any]:
    """The exporter on every node with GPUs that a model needs it for, with the one series that scaling reads.

    Of a device that a pod has it tells the pod's name and namespace; those are the labels of its series only where
    Prometheus does not put the exporter's own in their place (``honorLabels``).
    """
    terms = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]}
        for labels in (nodes.node_selector for nodes in context.gpu_nodes)
    ]
    tolerations = dict.fromkeys(toleration for nodes in context.gpu_nodes for toleration in nodes.tolerations)
    return {
        **_pull_secrets(context),
        "fullnameOverride": "dcgm-exporter",
        # One term a pool: a node of any of them.
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
        "tolerations": [toleration.model_dump(exclude_none=True) for toleration in tolerations],
        "resources": _resources("100m", "256Mi", "1Gi"),
        "customMetrics": f"{DCGM_GPU_UTILIZATION}, gauge, GPU utilization (in %).\n",
        "serviceMonitor": {"enabled": True, "interval": f"{SCRAPE_INTERVAL_SECONDS}s", "honorLabels": True},
    }


def _reading(exporter: GpuExporterSpec) -> dict[str, Any]:
    """A PodMonitor of somebody else's pods, for the series that scaling reads."""
    kept = {"sourceLabels": ["__name__"], "regex": DCGM_GPU_UTILIZATION, "action": "keep"}
    return {
        "name": "gpu-exporter",
        "namespaceSelector": {"matchNames": [exporter.namespace]},
        "selector": {"matchLabels": dict(exporter.pods)},
        "podMetricsEndpoints": [{"port": exporter.port, "honorLabels": True, "metricRelabelings": [kept]}],
    }


def _pull_secrets(context: AddonContext) -> dict[str, Any]:
    return {"imagePullSecrets": context.image_pull_secrets} if context.pull_secrets else {}


def _resources(cpu: str, memory: str, memory_limit: str) -> dict[str, Any]:
    """No CPU limit: a throttled autoscaler is late."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}
