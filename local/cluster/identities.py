"""Identities that may talk to the control plane: one static token a program, and one for people.

Static tokens live as long as the cluster and need no clock, which suits a control plane on one machine's
loopback.
"""

import base64
import csv
import io
import secrets
from pathlib import Path
from typing import Any

from local.cluster import rest
from local.cluster.config import ClusterConfig, NodeConfig
from local.cluster.layout import POOL_CONTROLLER, Layout
from stacks.files import read_json, write_atomically, write_json

ADMIN = "admin"
VOLUME_PROVISIONER = "volume-provisioner"
NETWORK_POLICY = "network-policy"
KEDA = "keda"
KUBE_STATE_METRICS = "kube-state-metrics"
PROMETHEUS = "prometheus"
KARPENTER = "karpenter"
KARPENTER_NODES = "karpenter-nodes"

_IDENTITIES = {
    ADMIN: ("llm-serving-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kwok": ("llm-serving-kwok", "system:masters"),
    POOL_CONTROLLER: ("llm-serving-autoscaler", "system:masters"),
}


def users(config: ClusterConfig) -> dict[str, tuple[str, str]]:
    """Name -> user and group of everybody who talks to the API server."""
    return {
        **_IDENTITIES,
        **({} if config.node is None else _of_node(config.node)),
        **({} if config.autoscaling is None else _AUTOSCALING),
        # Also without Karpenter, which may come later: the API server reads its tokens when it starts.
        **(_KARPENTER if config.node is None else {}),
    }


_AUTOSCALING = {
    KEDA: ("llm-serving-keda", "system:masters"),
    KUBE_STATE_METRICS: ("llm-serving-kube-state-metrics", "system:masters"),
    PROMETHEUS: ("llm-serving-prometheus", "system:masters"),
}


_KARPENTER = {
    KARPENTER: ("llm-serving-karpenter", "system:masters"),
    KARPENTER_NODES: ("llm-serving-karpenter-nodes", "system:masters"),
}


def _of_node(node: NodeConfig) -> dict[str, tuple[str, str]]:
    return {
        "kubelet": (f"system:node:{node.name}", "system:nodes"),
        "kube-proxy": ("system:kube-proxy", "system:node-proxier"),
        VOLUME_PROVISIONER: ("llm-serving-volume-provisioner", "system:masters"),
        NETWORK_POLICY: ("llm-serving-network-policy", "system:masters"),
    }


def connect(layout: Layout, identity: str, **options: Any) -> rest.Kubernetes:
    """A connection of one of them to the API server; ``options`` go to :class:`rest.Kubernetes`.

    Raises:
        ClusterError: nothing was created there.
    """
    server = ClusterConfig.read(layout).server
    context = rest.tls(ca_pem=(layout.certificates / "ca.crt").read_text())
    return rest.Kubernetes(server, context=context, token=token(layout, identity), **options)


def make(layout: Layout, config: ClusterConfig) -> None:
    """Make a token for each identity that has none."""
    known: dict[str, str] = read_json(layout.credentials / "tokens.json") or {}
    tokens = {name: known.get(name) or secrets.token_urlsafe(32) for name in users(config)}
    if tokens == known and token_file(layout).exists():
        return
    write_json(layout.credentials / "tokens.json", tokens)
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, (user, group) in users(config).items():
        writer.writerow([tokens[name], user, user, *([group] if group else [])])
    write_atomically(token_file(layout), rows.getvalue())


def token_file(layout: Layout) -> Path:
    """The file of static tokens as the API server reads it."""
    return layout.credentials / "tokens.csv"


def token(layout: Layout, name: str) -> str:
    """The token of an identity."""
    return read_json(layout.credentials / "tokens.json")[name]


def kubeconfig(layout: Layout, server: str, name: str) -> dict[str, Any]:
    """A kubeconfig for an identity."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": "local", "user": name}}],
        "users": [{"name": name, "user": {"token": token(layout, name)}}],
        "clusters": [
            {
                "name": "local",
                "cluster": {"server": server, "certificate-authority-data": _encoded_authority(layout)},
            }
        ],
    }


def write_kubeconfigs(layout: Layout, config: ClusterConfig) -> None:
    """Write a kubeconfig for each identity; the port may have changed."""
    for name in users(config):
        write_json(kubeconfig_file(layout, name), kubeconfig(layout, config.server, name))


def kubeconfig_file(layout: Layout, name: str) -> Path:
    """The kubeconfig of an identity (JSON, which is YAML too)."""
    return layout.credentials / f"{name}.kubeconfig"


def _encoded_authority(layout: Layout) -> str:
    return base64.b64encode((layout.certificates / "ca.crt").read_bytes()).decode()
