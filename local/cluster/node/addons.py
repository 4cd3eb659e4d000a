"""What every cluster with a node has inside: the name service and the default storage class."""

import hashlib
import json
from typing import Any

from local.cluster.config import ClusterConfig
from local.cluster.node.provisioner import PROVISIONER, STORAGE_CLASS

Object = dict[str, Any]

DNS_NAMESPACE, DNS_NAME = "kube-system", "coredns"
FINGERPRINT = "local.llm-serving.dev/fingerprint"
_LABELS = {"k8s-app": "kube-dns"}
_SERVED_BY_CLUSTER = """\
.:53 {
    errors
    health {
        lameduck 1s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    reload
    loadbalance
}
"""


def objects(config: ClusterConfig, dns_image: str) -> list[Object]:
    """All objects, the Deployment of the name service last; it carries :func:`fingerprint` of all.

    Args:
        config: of a cluster with a node that has started once.
        dns_image: reference of the CoreDNS image.
    """
    assert config.node is not None
    assert config.slot is not None
    before = [*_dns_rights(), _dns_configuration(), _dns_service(str(config.slot.dns)), _storage_class()]
    deployment = _dns_deployment(dns_image, config.node.name)
    text = json.dumps([*before, deployment], sort_keys=True)
    deployment["metadata"]["annotations"] = {FINGERPRINT: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return [*before, deployment]


def fingerprint(thing: Object) -> str:
    """The fingerprint that an object carries; empty where it has none."""
    return (thing["metadata"].get("annotations") or {}).get(FINGERPRINT, "")


def _storage_class() -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        # There is one node that has volumes, so nothing is gained by waiting for a pod.
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": False,
    }


def _dns_rights() -> list[Object]:
    role = "system:coredns"
    rbac = "rbac.authorization.k8s.io"
    reads = ["list", "watch"]
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DNS_NAME, "namespace": DNS_NAMESPACE},
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role},
            "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": reads},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reads},
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": DNS_NAME, "namespace": DNS_NAMESPACE}],
        },
    ]


def _dns_configuration() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": DNS_NAME, "namespace": DNS_NAMESPACE},
        "data": {"Corefile": _SERVED_BY_CLUSTER},
    }


def _dns_service(address: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": DNS_NAMESPACE,
            "labels": {**_LABELS, "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": address,
            "selector": _LABELS,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                {"name": "metrics", "port": 9153, "protocol": "TCP"},
            ],
        },
    }


def _dns_deployment(image: str, node: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DNS_NAME, "namespace": DNS_NAMESPACE, "labels": _LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "serviceAccountName": DNS_NAME,
                    "priorityClassName": "system-cluster-critical",
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "dnsPolicy": "Default",
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                        # Port 53 itself, because network policies that open the way to it name this port.
                        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
                    },
                    "containers": [
                        {
                            "name": "coredns",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["-conf", "/etc/coredns/Corefile"],
                            "ports": [
                                {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                                {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                                {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
                            ],
                            "resources": {
                                "requests": {"cpu": "20m", "memory": "32Mi"},
                                "limits": {"memory": "170Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "livenessProbe": {
                                "httpGet": {"path": "/health", "port": 8080},
                                "timeoutSeconds": 5,
                                "failureThreshold": 5,
                            },
                            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns", "readOnly": True}],
                        }
                    ],
                    "volumes": [{"name": "configuration", "configMap": {"name": DNS_NAME}}],
                },
            },
        },
    }
