"""Disks for claims, which on a real cloud its CSI driver makes, and what every provisioner of volumes here shares.

A disk is an object of the cluster alone: nothing of it is in an account, and nobody reads it. What is real is when it
comes (for a class that waits, once the scheduler has chosen a node), where it can be used (the zone of that node), and
that it goes with its claim.
"""

from collections.abc import Collection, Mapping
from typing import Any

from llm_serving.planning.simulation.node_pool import ZONE

Object = dict[str, Any]

_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Set by the scheduler on a claim of a class that waits for its first pod (Kubernetes, "Well-Known Labels,
Annotations and Taints")."""


def lacks_volume(claim: Mapping[str, Any]) -> bool:
    """It has none and is not on its way out."""
    return not claim["spec"].get("volumeName") and not claim["metadata"].get("deletionTimestamp")


def node_of(claim: Mapping[str, Any], storage_class: Mapping[str, Any]) -> str | None:
    """Where a disk for a claim is made: the node that the scheduler chose, or anywhere (empty); ``None`` while it has
    not chosen."""
    if storage_class.get("volumeBindingMode", "Immediate") == "Immediate":
        return ""
    return (claim["metadata"].get("annotations") or {}).get(_SELECTED_NODE)


def disk_for(claim: Mapping[str, Any], storage_class: Mapping[str, Any], zone: str) -> Object:
    """The object of a claim's disk.

    Args:
        claim: the claim.
        storage_class: its class.
        zone: whose nodes can use it; empty for every node.
    """
    driver = storage_class["provisioner"]
    source = {"csi": {"driver": driver, "volumeHandle": volume_name(claim)}}
    return volume_object(claim, storage_class["metadata"]["name"], driver, source, {ZONE: zone} if zone else {})


def volume_name(claim: Mapping[str, Any]) -> str:
    """The volume that a claim gets."""
    return f"pvc-{claim['metadata']['uid']}"


def volume_object(
    claim: Mapping[str, Any], storage_class: str, provisioner: str, source: Object, node_labels: Mapping[str, str]
) -> Object:
    """A volume that is the claim's alone and goes with it.

    Args:
        claim: the claim.
        storage_class: name of its class.
        provisioner: who makes it.
        source: what the volume is: a field of its spec.
        node_labels: of the nodes that can use it; none: all.
    """
    meta, spec = claim["metadata"], claim["spec"]
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in node_labels.items()]
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {_PROVISIONED_BY: provisioner}},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: meta[key] for key in ("name", "namespace", "uid")},
            },
            **source,
            **(affinity if expressions else {}),
        },
    }


def is_done_with(volume: Mapping[str, Any], provisioners: Collection[str]) -> bool:
    """A volume of one of these provisioners whose claim has gone."""
    ours = (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) in provisioners
    return ours and (volume.get("status") or {}).get("phase") in ("Released", "Failed")
