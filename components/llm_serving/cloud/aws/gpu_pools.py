"""A pool of GPU nodes on EKS: one NodePool of Karpenter, or one managed node group, for each entry of its capacity."""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pydantic import Field

from llm_serving.cloud.aws.arguments import AwsPoolArgs
from llm_serving.component import Frozen, token, validated
from llm_serving.spec.aws import AwsPoolSpec, Region


class AwsGpuPoolArgs(TypedDict):
    """Arguments of AwsGpuPool."""

    region: str
    """Region of the cluster."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster once its system node group has nodes."""
    node_role_arn: pulumi.Input[str]
    """ARN of the nodes' role, for managed node groups."""
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
    tags: NotRequired[dict[str, str]]
    """Tags of nodes and of all else that is made."""


class AwsGpuPoolInputs(Frozen):
    """The validated arguments."""

    region: Region
    cluster_name: Any
    node_role_arn: Any
    instance_profile: Any = None
    security_group_id: Any
    subnet_ids: Any
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    pool: AwsPoolSpec
    max_pods_per_node: Annotated[int, Field(ge=8, le=250)] = 32
    tags: dict[str, str] = {}


class AwsGpuPool(pulumi.ComponentResource):
    """GPU nodes that come and go in the pool's order of preference."""

    node_pool_names: pulumi.Output[list[str]]
    """Names of the NodePools or managed node groups, most preferred first."""
    scheduling: pulumi.Output[dict[str, Any]]
    """How pods get onto the nodes (contract `PoolScheduling`)."""

    def __init__(self, name: str, args: AwsGpuPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsGpuPoolInputs, args, "AwsGpuPool", name)
        super().__init__(token("AwsGpuPool"), name, None, opts)
        raise NotImplementedError(inputs)
