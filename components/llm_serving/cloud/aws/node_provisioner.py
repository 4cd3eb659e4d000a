"""What gives an EKS cluster its nodes: Karpenter, and the device plugins of nodes whose image has none.

Owns Karpenter with its definitions, its role, the instance profile of its nodes, the queue of notices that instances
end, and the nodes for pods without GPU above those of the system node group. Leaves alone that node group, on which
Karpenter runs, the role of the nodes, which is the cluster's, and GPU pools (:mod:`llm_serving.cloud.aws.gpu_pools`):
they depend on this component, so that they are empty before Karpenter, which removes their finalizers, goes.
"""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pydantic import Field

from llm_serving.cloud.aws.arguments import AwsPoolArgs, AwsSystemPoolArgs
from llm_serving.component import Frozen, token, validated
from llm_serving.spec.aws import AccountId, AwsPoolSpec, AwsSystemPool, Region
from llm_serving.spec.names import ClusterName


class AwsNodeProvisionerArgs(TypedDict):
    """Arguments of AwsNodeProvisioner."""

    region: str
    """Region of the cluster."""
    account: str
    """Number of the account."""
    partition: NotRequired[str]
    """Partition of the region, `aws` by default."""
    name: str
    """Name of the cluster; names of what is made begin with it."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster once its system node group has nodes."""
    cluster_arn: pulumi.Input[str]
    """ARN of the cluster."""
    cluster_endpoint: pulumi.Input[str]
    """URL of the cluster's API."""
    node_role_name: pulumi.Input[str]
    """Name of the nodes' role, which has an access entry of type EC2_LINUX."""
    node_role_arn: pulumi.Input[str]
    """ARN of the nodes' role."""
    security_group_id: pulumi.Input[str]
    """Security group of the nodes."""
    subnet_ids: pulumi.Input[list[str]]
    """Subnets of the nodes, one for each of `zones`."""
    zones: list[str]
    """Zones of the cluster."""
    system_pool: NotRequired[AwsSystemPoolArgs]
    """CPU nodes; those above `min` are Karpenter's."""
    pools: NotRequired[list[AwsPoolArgs]]
    """GPU pools of the cluster: they decide which device plugins are installed."""
    max_pods_per_node: NotRequired[int]
    """Most pods on a node."""
    isolated: NotRequired[bool]
    """The network has no way to the internet, so that prices are those that Karpenter brings along."""
    tags: NotRequired[dict[str, str]]
    """Tags of all that is made, nodes included."""


class AwsNodeProvisionerInputs(Frozen):
    """The validated arguments."""

    region: Region
    account: AccountId
    partition: str = "aws"
    name: ClusterName
    cluster_name: Any
    cluster_arn: Any
    cluster_endpoint: Any
    node_role_name: Any
    node_role_arn: Any
    security_group_id: Any
    subnet_ids: Any
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    system_pool: AwsSystemPool = AwsSystemPool()
    pools: tuple[AwsPoolSpec, ...] = ()
    max_pods_per_node: Annotated[int, Field(ge=8, le=250)] = 32
    isolated: bool = False
    tags: dict[str, str] = {}


class AwsNodeProvisioner(pulumi.ComponentResource):
    """Karpenter, ready for node pools."""

    instance_profile: pulumi.Output[str]
    """Name of the instance profile of nodes. Whoever has it finds Karpenter running."""
    interruption_queue: pulumi.Output[str]
    """Name of the queue of notices that instances end."""

    def __init__(self, name: str, args: AwsNodeProvisionerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsNodeProvisionerInputs, args, "AwsNodeProvisioner", name)
        super().__init__(token("AwsNodeProvisioner"), name, None, opts)
        raise NotImplementedError(inputs)
