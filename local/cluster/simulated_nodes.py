"""Nodes whose kubelet is KWOK: which they are, how they come and go."""

from collections.abc import Iterable
from typing import Any

from local.cluster import rest

_KWOK_NODE = {"kwok.x-k8s.io/node": "fake"}
KWOK_SELECTOR = ",".join(f"{key}={value}" for key, value in _KWOK_NODE.items())
"""Annotation of the nodes that KWOK keeps alive, as its flag has it."""


def create(client: rest.Kubernetes, node: dict[str, Any]) -> rest.Object:
    """Register a node, as its kubelet would; KWOK makes it ready."""
    annotations = {**node["metadata"].get("annotations", {}), **_KWOK_NODE}
    return client.create({**node, "metadata": {**node["metadata"], "annotations": annotations}})


def remove(client: rest.Kubernetes, node: rest.Object, pods: Iterable[rest.Object]) -> None:
    """Remove a node whose machine has gone, and its pods: they would stay for minutes otherwise."""
    name = node["metadata"]["name"]
    for pod in pods:
        if pod["spec"].get("nodeName") == name:
            client.delete(pod, grace_seconds=0)
    client.delete(node)


def is_simulated(node: rest.Object) -> bool:
    """KWOK is its kubelet."""
    return (node["metadata"].get("annotations") or {}).items() >= _KWOK_NODE.items()
