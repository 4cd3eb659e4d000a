"""The objects by which the API server finds KEDA: its namespace, the Service and APIService of its metrics, its
validating webhook. They say what KEDA's own manifests say (``config/`` of its repository), but for two things: the
programs run beside the control plane and not in pods, so they are addressed on its loopback; and a webhook that does
not answer is an error, since nothing here is allowed to pass unchecked.
"""

import base64
from typing import Any

from local.cluster.autoscaling.programs import NAMESPACE
from local.cluster.config import ClusterConfig
from local.cluster.layout import Layout

Object = dict[str, Any]

METRICS_GROUP, METRICS_VERSION = "external.metrics.k8s.io", "v1beta1"
WEBHOOK = "keda-admission"
_METRICS_SERVICE = "keda-metrics-apiserver"
_CHECKED = {
    "keda.sh": ("scaledobject", "scaledjob", "triggerauthentication", "clustertriggerauthentication"),
    "eventing.keda.sh": ("cloudeventsource", "clustercloudeventsource"),
}


def objects(layout: Layout, config: ClusterConfig) -> list[Object]:
    """All of them, the namespace first."""
    authority = base64.b64encode((layout.keda_certificates / "ca.crt").read_bytes()).decode()
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _metrics_service(config),
        _metrics_api(config, authority),
        _webhook(config, authority),
    ]


def _metrics_service(config: ClusterConfig) -> Object:
    port = config.ports["keda-adapter"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _METRICS_SERVICE, "namespace": NAMESPACE},
        "spec": {
            "type": "ExternalName",
            "externalName": "localhost",
            "ports": [{"name": "https", "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def _metrics_api(config: ClusterConfig, authority: str) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{METRICS_VERSION}.{METRICS_GROUP}"},
        "spec": {
            "group": METRICS_GROUP,
            "version": METRICS_VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": _METRICS_SERVICE, "namespace": NAMESPACE, "port": config.ports["keda-adapter"]},
            "caBundle": authority,
        },
    }


def _webhook(config: ClusterConfig, authority: str) -> Object:
    address = f"https://127.0.0.1:{config.ports['keda-webhooks']}"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK},
        "webhooks": [
            {
                "name": f"v{kind}.kb.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": f"{address}/validate-{group.replace('.', '-')}-v1alpha1-{kind}",
                    "caBundle": authority,
                },
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "rules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": ["v1alpha1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [f"{kind}s"],
                    }
                ],
                "sideEffects": "None",
                "timeoutSeconds": 10,
            }
            for group, kinds in _CHECKED.items()
            for kind in kinds
        ],
    }
