"""Where the addons run, for whoever lets traffic through to and from them: namespaces, labels of pods, ports.

Namespaces are found by ``kubernetes.io/metadata.name``, which Kubernetes sets itself.
"""

KEDA_NAMESPACE = "keda"

MONITORING_NAMESPACE = "monitoring"
PROMETHEUS_PODS = {"app.kubernetes.io/name": "prometheus"}
"""They scrape the engines. The label is the operator's own."""
PROMETHEUS_PORT = 9090
PROMETHEUS_SERVICE = "monitoring-prometheus"
PROMETHEUS_URL = f"http://{PROMETHEUS_SERVICE}.{MONITORING_NAMESPACE}.svc:{PROMETHEUS_PORT}"

LWS_NAMESPACE = "lws-system"
