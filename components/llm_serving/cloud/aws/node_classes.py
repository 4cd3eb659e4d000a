"""Objects of Karpenter: node classes, which say what a node is made of, and node pools, which say when there is one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from llm_serving.catalog.models import MachineType
from llm_serving.cloud.aws.efa import NetworkInterface
from llm_serving.cloud.aws.node_images import alias, node_class_volumes
from llm_serving.component import child
from llm_serving.spec.aws import AwsNodeImage

CAPACITY_TYPE = "karpenter.sh/capacity-type"
RESERVATION_TYPE = "karpenter.k8s.aws/capacity-reservation-type"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"

FOREGROUND = {"pulumi.com/deletionPropagationPolicy": "foreground"}
"""A NodePool is gone when its nodes are: Karpenter makes it their owner. Otherwise it would be gone at once, and
Karpenter soon after, while its nodes still wait for it with their finalizers."""

LONGEST_DRAIN_SECONDS = 3600
"""How long a node that goes waits for its pods, whatever disruption budgets say; GKE waits as long (its documentation,
"Standard cluster upgrades")."""

DELETION = pulumi.CustomTimeouts(delete=f"{2 * LONGEST_DRAIN_SECONDS}s")

GRADUALLY = [
    {"nodes": "100%", "reasons": ["Empty"]},
    # A node goes when its successor is there; the next one follows.
    {"nodes": "1", "reasons": ["Drifted", "Underutilized"]},
]
"""How many nodes of a pool may go at once, by the reason (Karpenter documentation, "Disruption budgets")."""


def node_class_spec(
    *,
    image: AwsNodeImage,
    instance_profile: str,
    subnet_ids: Sequence[str],
    security_group_id: str,
    max_pods: int,
    reserved: Mapping[str, str],
    disk_gb: int,
    tags: Mapping[str, str],
    local_ssd: bool = False,
    reservation: str | None = None,
    interfaces: Sequence[NetworkInterface] = (),
    placement_group: str | None = None,
) -> dict[str, Any]:
    """``spec`` of an ``EC2NodeClass`` (Karpenter documentation, "NodeClasses").

    Args:
        image: what nodes start from.
        instance_profile: holds their role.
        subnet_ids: where they may be.
        security_group_id: their security group.
        max_pods: most pods on one.
        reserved: what the kubelet keeps of it.
        disk_gb: size of the boot disk in GB.
        tags: of instances, volumes and interfaces.
        local_ssd: put images and pods on local SSDs, as one array.
        reservation: id of the capacity reservation to use.
        interfaces: network interfaces; none for what the machine has by itself.
        placement_group: name of the group that keeps them close to each other.
    """
    optional: dict[str, Any] = {
        "instanceStorePolicy": "RAID0" if local_ssd else None,
        "capacityReservationSelectorTerms": [{"id": reservation}] if reservation else None,
        "networkInterfaces": [
            {"networkCardIndex": each.card, "deviceIndex": each.device, "interfaceType": each.type}
            for each in interfaces
        ],
        "placementGroupSelector": {"name": placement_group} if placement_group else None,
        "tags": dict(tags),
    }
    return {
        "amiSelectorTerms": [{"alias": alias(image)}],
        "instanceProfile": instance_profile,
        "subnetSelectorTerms": [{"id": subnet} for subnet in subnet_ids],
        "securityGroupSelectorTerms": [{"id": security_group_id}],
        "kubelet": {"maxPods": max_pods, "kubeReserved": dict(reserved)},
        "blockDeviceMappings": node_class_volumes(image, disk_gb),
        # One hop: pods do not reach the node's credentials.
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpProtocolIPv6": "disabled",
            "httpPutResponseHopLimit": 1,
            "httpTokens": "required",
        },
        **{key: value for key, value in optional.items() if value},
    }


def node_pool_spec(
    *,
    node_class: str,
    machine: MachineType,
    capacity_type: str,
    zones: Sequence[str],
    max_nodes: int,
    idle_minutes: int,
    packs: bool,
    weight: int | None = None,
    reservation_type: str | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Mapping[str, str] | None = None,
    drain_seconds: int = 0,
) -> dict[str, Any]:
    """``spec`` of a ``NodePool`` (Karpenter documentation, "NodePools").

    Args:
        node_class: name of its ``EC2NodeClass``.
        machine: of its nodes.
        capacity_type: how it is bought: ``on-demand``, ``spot`` or ``reserved``.
        zones: where.
        max_nodes: most nodes. Karpenter knows no least number; nodes come with pods.
        idle_minutes: how long a node stays after its last pod, or, where ``packs``, after it could be spared.
        packs: move pods to save a node, or to one that costs less.
        weight: the pool of the greatest comes first, 1 to 100.
        reservation_type: kind of the reservation, for ``reserved``.
        labels: of the nodes.
        taints: of the nodes; value by key, all of them ``NoSchedule``.
        drain_seconds: the longest orderly end of a pod on it.
    """
    wanted = {
        INSTANCE_TYPE: [machine.name],
        CAPACITY_TYPE: [capacity_type],
        ZONE: list(zones),
        **({RESERVATION_TYPE: [reservation_type]} if reservation_type else {}),
    }
    return {
        **({} if weight is None else {"weight": weight}),
        # By `nodes` alone pods that come at once get as many as they like: Karpenter takes off what each machine has,
        # which is no `nodes` (``subtractMax`` of sigs.k8s.io/karpenter v1.14.0, ``pkg/controllers/provisioning``).
        "limits": {"nodes": str(max_nodes), "cpu": str(max_nodes * int(machine.vcpus))},
        "disruption": {
            "consolidationPolicy": "WhenEmptyOrUnderutilized" if packs else "WhenEmpty",
            "consolidateAfter": f"{idle_minutes}m",
            "budgets": GRADUALLY,
        },
        "template": {
            **({"metadata": {"labels": dict(labels)}} if labels else {}),
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": node_class},
                "requirements": [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()],
                **(
                    {"taints": [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in taints.items()]}
                    if taints
                    else {}
                ),
                # Age is no reason: an instance that moves costs a cold start.
                "expireAfter": "Never",
                "terminationGracePeriod": f"{max(LONGEST_DRAIN_SECONDS, drain_seconds)}s",
            },
        },
    }


def node_class(
    parent: pulumi.Resource,
    resource: str,
    name: str,
    spec: pulumi.Input[dict[str, Any]],
    after: Sequence[pulumi.Resource] = (),
) -> apiextensions.CustomResource:
    """An ``EC2NodeClass``; ``after`` is what it outlives nothing of: Karpenter, which removes its finalizer."""
    return apiextensions.CustomResource(
        resource,
        api_version="karpenter.k8s.aws/v1",
        kind="EC2NodeClass",
        metadata=meta.v1.ObjectMetaArgs(name=name),
        spec=spec,
        opts=child(parent, depends_on=list(after), custom_timeouts=DELETION),
    )


def node_pool(
    parent: pulumi.Resource, resource: str, name: str, spec: Mapping[str, Any], of_class: apiextensions.CustomResource
) -> apiextensions.CustomResource:
    """A ``NodePool``, which goes when its nodes are gone, and its class after it."""
    return apiextensions.CustomResource(
        resource,
        api_version="karpenter.sh/v1",
        kind="NodePool",
        metadata=meta.v1.ObjectMetaArgs(name=name, annotations=FOREGROUND),
        spec=dict(spec),
        opts=child(parent, depends_on=[of_class], custom_timeouts=DELETION),
    )
