"""Which pods of a team Prometheus scrapes, and what its series say of them.

A PodMonitor for each part, read by Prometheus' operator: of engines, their own metrics and the launcher's; of routers,
where there is a gateway. Each series gets the labels by which queries tell releases apart (``metrics``); ``namespace``
and ``pod`` come from the operator.

Owns the PodMonitors. Leaves alone Prometheus itself (``addons``) and what is made of the series.
"""

import re
from typing import Any

from llm_serving.contract import LABEL_MODEL, LABEL_POOL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.metrics.series import (
    SCRAPE_INTERVAL_SECONDS,
    SERIES_MODEL,
    SERIES_POOL,
    SERIES_RELEASE,
    SERIES_TEAM,
)
from llm_serving.serving import launcher
from llm_serving.serving.labels import COMPONENT_ENGINE, COMPONENT_ROUTER, LABEL_COMPONENT
from llm_serving.serving.pod import PORT_NAME

API_VERSION = "monitoring.coreos.com/v1"
KIND = "PodMonitor"
NAMES = {COMPONENT_ENGINE: "engines", COMPONENT_ROUTER: "routers"}
METRICS_PORT_NAME = "metrics"
"""Of parts whose metrics have a port of their own."""
METRICS_PATH = "/metrics"

_COPIED = {
    SERIES_RELEASE: LABEL_RELEASE,
    SERIES_TEAM: LABEL_TEAM,
    SERIES_POOL: LABEL_POOL,
    SERIES_MODEL: LABEL_MODEL,
}


def pod_monitor(
    namespace: str,
    interval_seconds: int = SCRAPE_INTERVAL_SECONDS,
    labels: dict[str, str] | None = None,
    ports: tuple[str, ...] = (PORT_NAME, launcher.PORT_NAME),
    component: str = COMPONENT_ENGINE,
) -> dict[str, Any]:
    """The PodMonitor of a team, as a manifest of plain data.

    Args:
        namespace: the team's.
        interval_seconds: time between two scrapes of a pod.
        labels: labels of the object.
        ports: names of container ports that answer ``/metrics``; a pod without one of them is not scraped there.
        component: whose pods, one of :data:`NAMES`.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": NAMES[component], "namespace": namespace, "labels": dict(labels or {})},
        "spec": {
            "selector": {"matchLabels": {LABEL_COMPONENT: component}},
            "podMetricsEndpoints": [_endpoint(port, interval_seconds) for port in ports],
        },
    }


def _endpoint(port: str, interval_seconds: int) -> dict[str, Any]:
    return {
        "port": port,
        "path": METRICS_PATH,
        "interval": f"{interval_seconds}s",
        "scrapeTimeout": f"{min(interval_seconds, 10)}s",
        # Labels of the exposition never replace those of the pod.
        "honorLabels": False,
        "relabelings": [
            {"action": "replace", "sourceLabels": [discovered(label)], "targetLabel": name}
            for name, label in _COPIED.items()
        ],
    }


def discovered(label: str) -> str:
    """A pod's label as Prometheus' service discovery calls it:
    https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod"""
    return f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', label)}"
