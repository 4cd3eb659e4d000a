"""Node pools, and the nodes that come out of them."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from llm_serving.planning.simulation.objects import Object, items, member

POOL_ANNOTATION = "local.llm-serving.dev/pool"
"""Which pool a simulated node belongs to. An annotation, because pods cannot select by it and no real cloud has it as
label.
"""
SHAPE_ANNOTATION = "local.llm-serving.dev/shape"
"""Fingerprint of the hardware that a node was made with: a pool whose hardware changes replaces its nodes."""

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"

_PREFIX_LIMIT = 58
"""A node's name is a DNS label of 63 characters at most; five go to the instance's own ending."""


@dataclass(frozen=True)
class NodePool:
    """What a cloud's node pool gives, and between which sizes it scales.

    Attributes:
        name: the pool's name in its cluster.
        min: nodes below which the pool does not shrink, over all zones.
        max: nodes at most, over all zones.
        labels: labels of every node. Hostname, zone, region, system and architecture are added where they are
            missing.
        taints: ``{"key", "value", "effect"}`` of every node.
        capacity: resources of a node as Kubernetes quantities (``cpu``, ``memory``, ``ephemeral-storage``,
            ``pods``, ``nvidia.com/gpu``).
        allocatable: what pods get of it; the same names.
        zones: zones over which nodes are spread evenly.
        compute_class: the ComputeClass that the pool belongs to, if any.
        prefix: start of the nodes' names; the pool's name where empty.
        provider_id: pattern of ``spec.providerID`` with ``{zone}`` and ``{name}``.
        stockout: the cloud has no such machine now: the autoscaler tries, fails, and goes on to its next
            choice.
        deleted: the pool is being removed.
        initial: nodes that the pool starts with; ``None`` for its minimum. Fewer where a cloud's autoscaler adds no
            nodes to reach a minimum.
    """

    name: str
    min: int
    max: int
    capacity: dict[str, str]
    allocatable: dict[str, str]
    zones: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict[str, str])
    taints: tuple[dict[str, str], ...] = ()
    compute_class: str | None = None
    prefix: str = ""
    provider_id: str = "gce://local/{zone}/{name}"
    stockout: bool = False
    deleted: bool = False
    initial: int | None = None

    @property
    def kept(self) -> int:
        """Nodes that are there whether pods ask for them or not."""
        return self.min if self.initial is None else min(self.initial, self.min)

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.max:
            raise ValueError(f"pool {self.name!r}: 0 <= min <= max does not hold: min {self.min}, max {self.max}")
        if not self.zones:
            raise ValueError(f"pool {self.name!r} has no zone")
        # Also from JSON and from callers with lists.
        object.__setattr__(self, "zones", tuple(self.zones))
        object.__setattr__(self, "taints", tuple(dict(taint) for taint in self.taints))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "NodePool":
        """Read back what :meth:`to_json` wrote."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        """Plain data that JSON can hold, for :meth:`from_json`."""
        return asdict(self)

    def shape(self) -> str:
        """Fingerprint of a node's hardware."""
        text = json.dumps([self.capacity, self.allocatable], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def node_labels(self, name: str, zone: str) -> dict[str, str]:
        """The labels of the node ``name`` in a zone."""
        return {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            REGION: region_of(zone),
            **self.labels,
            HOSTNAME: name,
            ZONE: zone,
        }

    def node_taints(self) -> list[dict[str, str]]:
        """The taints of a node as the API writes them."""
        return [{key: value for key, value in taint.items() if value} for taint in self.taints]

    def node(self, ending: str, zone: str) -> dict[str, Any]:
        """The Node object of a new machine, as its kubelet registers it: not ready yet.

        Args:
            ending: last part of the node's name, which tells the machines of a pool apart.
            zone: one of the pool's zones.
        """
        name = f"{(self.prefix or self.name)[:_PREFIX_LIMIT].rstrip('-')}-{ending}"
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": self.node_labels(name, zone),
                "annotations": {POOL_ANNOTATION: self.name, SHAPE_ANNOTATION: self.shape()},
            },
            "spec": {
                "providerID": self.provider_id.format(zone=zone, name=name),
                **({"taints": self.node_taints()} if self.taints else {}),
            },
            "status": {"capacity": self.capacity, "allocatable": self.allocatable},
        }


def region_of(zone: str) -> str:
    """The region of a zone: ``europe-west4-a`` (Google) and ``eu-west-1a`` (Amazon) end in a letter."""
    return re.sub(r"-?[a-z]$", "", zone) if re.search(r"\d-?[a-z]$", zone) else zone


def pool_of(node: Object) -> str | None:
    """The pool that a node belongs to; ``None`` for a node that no pool made."""
    return member(node, "metadata", "annotations").get(POOL_ANNOTATION)


def zone_of(node: Object) -> str:
    """The zone of a node; empty where it has none."""
    return member(node, "metadata", "labels").get(ZONE, "")


def is_ready(node: Object) -> bool:
    """The node's kubelet says that it is ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in items(node, "status", "conditions"))
