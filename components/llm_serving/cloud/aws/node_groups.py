"""Managed node groups of EKS: nodes that are always there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from llm_serving.cloud.aws.efa import NetworkInterface
from llm_serving.cloud.aws.markets import MarketTerms
from llm_serving.cloud.aws.node_images import GPU_AMI_TYPES, THROUGHPUT_MIB, start_settings, volumes
from llm_serving.cloud.aws.nodes import NODE_GROUP_TIMEOUTS, launch_template
from llm_serving.component import child
from llm_serving.spec.aws import AwsNodeImage

CAPACITY_BLOCK = "capacity-block"


@dataclass(frozen=True)
class NodeGroup:
    """A managed node group with its launch template.

    Attributes:
        name: of the node group.
        cluster_name: of the cluster.
        version: Kubernetes version of the nodes; ``None`` for that which the cluster has when they are made.
        node_role_arn: role of the nodes.
        security_group_id: of the nodes.
        subnet_ids: where they are.
        image: what they start from.
        machine_type: EC2's name of the machine.
        terms: how it is bought.
        reservation: id of the capacity reservation; ``None`` without one.
        nodes: how many there are.
        max_pods: most pods on one.
        reserved: what the kubelet keeps of it.
        disk_gb: size of the boot disk in GB.
        local_ssd: put images and pods on local SSDs, as one array.
        clients: pods that share each GPU; ``None`` where none do.
        interfaces: network interfaces; none for what the machine has by itself.
        placement_group: name of the group that keeps the nodes close to each other.
        labels: of the nodes.
        taints: of the nodes; value by key.
        tags: of all parts.
    """

    name: str
    cluster_name: pulumi.Input[str]
    version: str | None
    node_role_arn: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[list[str]]
    image: AwsNodeImage
    machine_type: str
    terms: MarketTerms
    reservation: str | None
    nodes: int
    max_pods: int
    reserved: Mapping[str, str]
    disk_gb: int
    local_ssd: bool
    clients: int | None
    interfaces: Sequence[NetworkInterface]
    placement_group: pulumi.Input[str] | None
    labels: Mapping[str, str]
    taints: Mapping[str, str]
    tags: Mapping[str, str]


def managed_node_group(parent: pulumi.Resource, resource: str, group: NodeGroup) -> aws.eks.NodeGroup:
    """The node group; EKS renews its nodes one at a time and within disruption budgets."""
    template = _template(parent, resource, group)
    return aws.eks.NodeGroup(
        resource,
        node_group_name=group.name,
        cluster_name=group.cluster_name,
        node_role_arn=group.node_role_arn,
        version=group.version,
        subnet_ids=group.subnet_ids,
        ami_type=GPU_AMI_TYPES[group.image],
        capacity_type=group.terms.node_group_type,
        # Of a capacity block the launch template names the machine (EKS documentation, "Create a managed node group
        # with Capacity Blocks for ML").
        instance_types=None if _is_block(group) else [group.machine_type],
        launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
        # Nothing scales it.
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            desired_size=group.nodes, min_size=group.nodes, max_size=group.nodes
        ),
        # GPUs are scarce: a node goes before its successor comes, so that an update needs no spare one.
        update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy="MINIMAL"),
        node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        labels=dict(group.labels),
        taints=[
            aws.eks.NodeGroupTaintArgs(key=key, value=value, effect="NO_SCHEDULE")
            for key, value in group.taints.items()
        ],
        tags=dict(group.tags),
        opts=child(parent, custom_timeouts=NODE_GROUP_TIMEOUTS),
    )


def _template(parent: pulumi.Resource, resource: str, group: NodeGroup) -> aws.ec2.LaunchTemplate:
    more: dict[str, Any] = {}
    if group.interfaces:
        more["network_interfaces"] = [
            aws.ec2.LaunchTemplateNetworkInterfaceArgs(
                network_card_index=each.card,
                device_index=each.device,
                interface_type=each.type,
                # EKS gives its group only to nodes whose template names no interfaces.
                security_groups=[group.security_group_id],
                delete_on_termination="true",
            )
            for each in group.interfaces
        ]
    if group.placement_group is not None:
        more["placement"] = aws.ec2.LaunchTemplatePlacementArgs(group_name=group.placement_group)
    if group.reservation is not None:
        target = aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=group.reservation
        )
        more["capacity_reservation_specification"] = aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(
            capacity_reservation_target=target
        )
    if _is_block(group):
        more["instance_type"] = group.machine_type
        more["instance_market_options"] = aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type=CAPACITY_BLOCK)
    return launch_template(
        parent,
        resource,
        volumes=volumes(group.image, group.disk_gb),
        throughput=THROUGHPUT_MIB,
        tags={**group.tags, "Name": group.name},
        user_data=start_settings(
            group.image, group.max_pods, group.reserved, local_ssd=group.local_ssd, clients=group.clients
        ),
        **more,
    )


def _is_block(group: NodeGroup) -> bool:
    return group.terms.reservation_type == CAPACITY_BLOCK
