"""What Prometheus' operator makes of a team's PodMonitor, for a cluster that has Prometheus and no operator.

Owns the translation of what our PodMonitor says of pods, no more: a selector of labels, ports by name, relabelings that
copy. How often is up to the cluster, where everything goes faster. The labels ``namespace``, ``pod`` and ``container``
are those that the operator adds (https://prometheus-operator.dev/docs/developer/getting-started/).
"""

from typing import Any

from llm_serving.serving.monitoring import discovered, pod_monitor
from local.cluster.config import PODS

_META = "__meta_kubernetes_pod"
_ADDED = {
    "namespace": "__meta_kubernetes_namespace",
    "container": f"{_META}_container_name",
    "pod": f"{_META}_name",
}


def scrape_configurations() -> tuple[dict[str, Any], ...]:
    """A job for each port of the engines' pods, in every namespace."""
    monitor = pod_monitor("any")["spec"]
    selected = [
        _rule("keep", [discovered(label)], regex=value) for label, value in monitor["selector"]["matchLabels"].items()
    ]
    return tuple(
        {
            "job_name": f"engines-{endpoint['port']}",
            "metrics_path": endpoint["path"],
            "honor_labels": endpoint["honorLabels"],
            "kubernetes_sd_configs": [PODS],
            "relabel_configs": [
                *selected,
                _rule("keep", [f"{_META}_container_port_name"], regex=endpoint["port"]),
                _rule("drop", [f"{_META}_phase"], regex="(Failed|Succeeded)"),
                *(_rule("replace", [source], target_label=label) for label, source in _ADDED.items()),
                *(
                    _rule(rule["action"], rule["sourceLabels"], target_label=rule["targetLabel"])
                    for rule in endpoint["relabelings"]
                ),
            ],
        }
        for endpoint in monitor["podMetricsEndpoints"]
    )


def _rule(action: str, sources: list[str], **more: str) -> dict[str, Any]:
    return {"action": action, "source_labels": sources, **more}
