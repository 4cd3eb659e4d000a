"""A pool of GPU nodes on EKS: one NodePool of Karpenter, or one managed node group, for each entry of its capacity.

Owns the NodePools with their node classes, or the node groups with their launch templates, and the placement group of a
pool whose nodes work together. Leaves alone the cluster, the role and the security group of the nodes, Karpenter, and
the device plugins (:mod:`llm_serving.cloud.aws.node_provisioner`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws
from pydantic import Field

from llm_serving import catalog
from llm_serving.catalog import MachineType
from llm_serving.cloud.aws import node_classes
from llm_serving.cloud.aws.arguments import AwsPoolArgs
from llm_serving.cloud.aws.efa import NetworkInterface, network_interfaces
from llm_serving.cloud.aws.markets import TERMS, MarketTerms
from llm_serving.cloud.aws.names import NODE_GROUP_LIMIT, SHARING_LABEL
from llm_serving.cloud.aws.node_groups import NodeGroup, managed_node_group
from llm_serving.cloud.aws.scheduling import pool_scheduling
from llm_serving.cloud.bounded_names import bounded, digest
from llm_serving.cloud.checks import obey_rules
from llm_serving.component import Frozen, child, to_input_errors, token, validated
from llm_serving.contract import LABEL_MARKET, LABEL_POOL
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.clouds import AWS
from llm_serving.planning.clouds.aws import GPU_TAINT
from llm_serving.planning.rules.stack import AwsShape
from llm_serving.planning.rules.zones import zones_of_entry
from llm_serving.spec import CapacityEntry
from llm_serving.spec.aws import AwsNodeImage, AwsPoolSpec, AwsProvisioner, KubernetesVersion, Region
from llm_serving.spec.names import ClusterName

MOST_PREFERRED = 100
"""The greatest weight that a NodePool can have."""


class AwsGpuPoolArgs(TypedDict):
    """Arguments of AwsGpuPool."""

    region: str
    """Region of the cluster."""
    name: str
    """Name of the cluster; names of what is made outside of it begin with it."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster once its system node group has nodes."""
    node_group_role_arn: NotRequired[pulumi.Input[str]]
    """ARN of the role of nodes of managed node groups; needed where the pool's are."""
    version: NotRequired[str]
    """Kubernetes version of managed node groups; that which the cluster has when they are made if left out."""
    instance_profile: NotRequired[pulumi.Input[str]]
    """Instance profile of Karpenter's nodes, AwsNodeProvisioner's; needed unless nodes are of managed node groups."""
    security_group_id: pulumi.Input[str]
    """Security group of the nodes."""
    subnet_ids: pulumi.Input[list[str]]
    """Subnets of the nodes, one for each of `zones`."""
    zones: list[str]
    """Zones of the cluster."""
    pool: AwsPoolArgs
    """The pool."""
    max_pods_per_node: NotRequired[int]
    """Most pods on a node."""
    drain_seconds: NotRequired[int]
    """The longest orderly end of a pod on the pool, in seconds. Nodes that go wait for their pods an hour at least."""
    tags: NotRequired[dict[str, str]]
    """Tags of nodes and of all else that is made."""


class AwsGpuPoolInputs(Frozen):
    """The validated arguments."""

    region: Region
    name: ClusterName
    cluster_name: Any
    node_group_role_arn: Any = None
    version: KubernetesVersion | None = None
    instance_profile: Any = None
    security_group_id: Any
    subnet_ids: Any
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    pool: AwsPoolSpec
    max_pods_per_node: Annotated[int, Field(ge=8, le=250)] = 32
    drain_seconds: Annotated[int, Field(ge=0)] = 0
    tags: dict[str, str] = {}


@dataclass(frozen=True)
class PlannedNodes:
    """What is decided about the nodes of one capacity entry.

    Attributes:
        name: market and a hash of what makes other nodes of it. Another machine is another name, so that its nodes can
            come before the old ones go; reordering the capacity changes nothing.
        zones: zones of the nodes.
        local_ssd: images and pods are on the machine's local SSDs.
        interfaces: network interfaces; none for what the machine has by itself.
        weight: the entry of the greatest comes first.
    """

    name: str
    entry: CapacityEntry
    machine: MachineType
    zones: tuple[str, ...]
    local_ssd: bool
    interfaces: tuple[NetworkInterface, ...]
    weight: int

    @property
    def terms(self) -> MarketTerms:
        """What the market means."""
        return TERMS[self.entry.market]

    @property
    def placed_together(self) -> bool:
        """Whether its nodes are put close to each other: EC2 does so where it reserves for it, as with capacity blocks,
        and takes none of a reservation for another group than the reservation's (EC2 documentation, "Use Capacity
        Reservations with cluster placement groups")."""
        return bool(self.interfaces) and self.terms.reservation_type is None


class AwsGpuPool(pulumi.ComponentResource):
    """GPU nodes that come and go in the pool's order of preference."""

    node_pool_names: pulumi.Output[list[str]]
    """Names of the NodePools or managed node groups, most preferred first."""
    scheduling: pulumi.Output[dict[str, Any]]
    """How pods get onto the nodes (contract `PoolScheduling`)."""

    def __init__(self, name: str, args: AwsGpuPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsGpuPoolInputs, args, "AwsGpuPool", name)
        _check(inputs, name)
        super().__init__(token("AwsGpuPool"), name, None, opts)
        pool = inputs.pool
        planned = plan_nodes(pool, inputs.zones, inputs.max_pods_per_node)
        group = self._placement_group(name, inputs, planned)
        if pool.provisioner is AwsProvisioner.NODE_GROUP:
            names = [self._node_group(name, inputs, nodes, group).node_group_name for nodes in planned]
        else:
            names = [self._node_pool(name, inputs, nodes, group) for nodes in planned]

        scheduling = pool_scheduling(pool, inputs.max_pods_per_node).to_data()
        self.node_pool_names = pulumi.Output.all(*names).apply(list)
        self.scheduling = self.node_pool_names.apply(lambda _: scheduling)
        self.register_outputs({"nodePoolNames": self.node_pool_names, "scheduling": self.scheduling})

    def _placement_group(
        self, name: str, inputs: AwsGpuPoolInputs, planned: Sequence[PlannedNodes]
    ) -> aws.ec2.PlacementGroup | None:
        if not any(nodes.placed_together for nodes in planned):
            return None
        return aws.ec2.PlacementGroup(
            name, name=f"{inputs.name}-{inputs.pool.name}", strategy="cluster", tags=inputs.tags, opts=child(self)
        )

    def _node_pool(
        self, name: str, inputs: AwsGpuPoolInputs, nodes: PlannedNodes, group: aws.ec2.PlacementGroup | None
    ) -> pulumi.Output[str]:
        pool, terms = inputs.pool, nodes.terms
        resource = f"{name}-{nodes.name.removeprefix(f'{pool.name}-')}"

        def spec(known: Sequence[Any]) -> dict[str, Any]:
            profile, security_group, placement_group, subnets = known
            return node_classes.node_class_spec(
                image=pool.node_image,
                instance_profile=profile,
                subnet_ids=subnets,
                security_group_id=security_group,
                max_pods=inputs.max_pods_per_node,
                reserved=AWS.kube_reserved(nodes.machine, inputs.max_pods_per_node),
                disk_gb=pool.disk_gb,
                tags=inputs.tags,
                local_ssd=nodes.local_ssd,
                reservation=nodes.entry.reservation,
                interfaces=nodes.interfaces,
                placement_group=placement_group,
            )

        placement_group = group.name if group is not None and nodes.placed_together else None
        known = pulumi.Output.all(
            inputs.instance_profile,
            inputs.security_group_id,
            placement_group,
            _subnets(inputs, nodes.zones),
        )
        node_class = node_classes.node_class(self, resource, nodes.name, known.apply(spec))
        node_pool = node_classes.node_pool(
            self,
            resource,
            nodes.name,
            node_classes.node_pool_spec(
                node_class=nodes.name,
                machine=nodes.machine,
                capacity_type=terms.capacity_type,
                zones=nodes.zones,
                max_nodes=nodes.entry.max,
                idle_minutes=pool.idle_minutes,
                packs=pool.return_to_preferred,
                weight=nodes.weight,
                reservation_type=terms.reservation_type,
                labels=_labels(pool, nodes),
                taints=_taints(nodes),
                drain_seconds=inputs.drain_seconds,
            ),
            node_class,
        )
        # The SDK does not declare the outputs of a custom resource; this one is known in a preview already.
        created = cast("pulumi.Output[Any]", vars(node_pool)["metadata"])
        return created.apply(lambda _: nodes.name)

    def _node_group(
        self, name: str, inputs: AwsGpuPoolInputs, nodes: PlannedNodes, group: aws.ec2.PlacementGroup | None
    ) -> aws.eks.NodeGroup:
        pool = inputs.pool
        return managed_node_group(
            self,
            f"{name}-{nodes.name.removeprefix(f'{pool.name}-')}",
            NodeGroup(
                name=nodes.name,
                cluster_name=inputs.cluster_name,
                version=inputs.version,
                node_role_arn=inputs.node_group_role_arn,
                security_group_id=inputs.security_group_id,
                subnet_ids=_subnets(inputs, nodes.zones),
                image=pool.node_image,
                machine_type=nodes.machine.name,
                terms=nodes.terms,
                reservation=nodes.entry.reservation,
                nodes=nodes.entry.max,
                max_pods=inputs.max_pods_per_node,
                reserved=AWS.kube_reserved(nodes.machine, inputs.max_pods_per_node),
                disk_gb=pool.disk_gb,
                local_ssd=nodes.local_ssd,
                clients=_clients(pool),
                interfaces=nodes.interfaces,
                placement_group=group.name if group is not None and nodes.placed_together else None,
                labels=_labels(pool, nodes),
                taints=_taints(nodes),
                tags=inputs.tags,
            ),
        )


def plan_nodes(pool: AwsPoolSpec, cluster_zones: Sequence[str], max_pods_per_node: int) -> list[PlannedNodes]:
    """The nodes of each capacity entry, in the pool's order.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
    """
    planned: list[PlannedNodes] = []
    seen: Counter[str] = Counter()
    is_group = pool.provisioner is AwsProvisioner.NODE_GROUP
    for index, entry in enumerate(pool.capacity):
        machine = catalog.machine_type(AWS.name, entry.machine_type)
        node = AWS.machine_node(
            machine.name, max_pods=max_pods_per_node, disk_gb=pool.disk_gb, local_ssd=pool.local_ssd
        )
        zones = zones_of_entry(entry, machine, cluster_zones)
        other_nodes = {
            "machineType": machine.name,
            "reservation": entry.reservation,
            # A managed node group cannot change these; Karpenter replaces nodes one by one.
            **({"image": pool.node_image, "zones": zones} if is_group else {}),
        }
        twin = digest([entry.market, other_nodes])
        seen[twin] += 1
        tail = digest([entry.market, other_nodes, seen[twin]])
        planned.append(
            PlannedNodes(
                name=bounded(pool.name, entry.market.value, tail, limit=NODE_GROUP_LIMIT),
                entry=entry,
                machine=machine,
                zones=zones,
                local_ssd=node.local_ssd_gib > 0,
                interfaces=tuple(network_interfaces(machine)) if pool.efa else (),
                weight=max(1, MOST_PREFERRED - index),
            )
        )
    return planned


def _check(inputs: AwsGpuPoolInputs, name: str) -> None:
    """Refuse what no rule of a whole stack sees, and what the rules refuse."""
    obey_rules(
        "AwsGpuPool",
        name,
        {"pools[0]": "pool", "cluster.zones": "zones"},
        cloud=AWS,
        region=inputs.region,
        zones=inputs.zones,
        max_pods_per_node=inputs.max_pods_per_node,
        pools=(inputs.pool,),
        aws=AwsShape(pools=(inputs.pool,)),
    )
    if inputs.pool.provisioner is AwsProvisioner.KARPENTER:
        path, value = "instanceProfile", inputs.instance_profile
        reason, hint = "Karpenter's nodes have no role without it", "the output of that name of AwsNodeProvisioner"
    else:
        path, value = "nodeGroupRoleArn", inputs.node_group_role_arn
        reason, hint = "the nodes of managed node groups have no role without it", "that output of AwsCluster"
    if value is None:
        raise to_input_errors(ProblemsError([Problem(path, None, reason, hint)], f"AwsGpuPool {name!r}"))


def _labels(pool: AwsPoolSpec, nodes: PlannedNodes) -> dict[str, str]:
    shared = _clients(pool) is not None and pool.node_image is AwsNodeImage.AL2023
    return {
        **pool.labels,
        LABEL_POOL: pool.name,
        LABEL_MARKET: nodes.entry.market.value,
        **({SHARING_LABEL: pool.name} if shared else {}),
    }


def _taints(nodes: PlannedNodes) -> dict[str, str]:
    return {
        GPU_TAINT: "present",
        **({LABEL_MARKET: nodes.entry.market.value} if nodes.terms.tainted else {}),
    }


def _clients(pool: AwsPoolSpec) -> int | None:
    """Pods that share a GPU by turns."""
    return None if pool.sharing is None else pool.sharing.clients


def _subnets(inputs: AwsGpuPoolInputs, zones: Sequence[str]) -> pulumi.Output[list[str]]:
    """The subnets of some zones."""
    wanted = [index for index, zone in enumerate(inputs.zones) if zone in zones]
    return pulumi.Output.from_input(inputs.subnet_ids).apply(lambda ids: [str(ids[index]) for index in wanted])
