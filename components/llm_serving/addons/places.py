"""Where the addons run, for whoever lets traffic through to and from them: namespaces, labels of pods, ports.

Namespaces are found by ``kubernetes.io/metadata.name``, which Kubernetes sets itself.
"""

NAMESPACE_LABEL = "kubernetes.io/metadata.name"

KEDA_NAMESPACE = "keda"
KEDA_OPERATOR_PODS = {"app.kubernetes.io/name": "keda-operator"}
"""They ask Prometheus."""

MONITORING_NAMESPACE = "monitoring"
PROMETHEUS_PODS = {"app.kubernetes.io/name": "prometheus"}
"""They scrape the engines. The label is the operator's own."""
PROMETHEUS_PORT = 9090
PROMETHEUS_SERVICE = "monitoring-prometheus"
PROMETHEUS_URL = f"http://{PROMETHEUS_SERVICE}.{MONITORING_NAMESPACE}.svc:{PROMETHEUS_PORT}"

LWS_NAMESPACE = "lws-system"
