"""What only AWS has: the settings of an EKS cluster, of its VPC and of the bucket of the model cache, and what a pool
on EKS has beside what every pool has."""

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import AWS_ACCOUNT, AWS_REGION, EKS_VERSION, IAM_PRINCIPAL
from llm_serving.spec.names import ClusterName, PoolName, PositiveCount, version_text
from llm_serving.spec.network import Cidr
from llm_serving.spec.pool import PoolSpec

AccountId = Annotated[str, AWS_ACCOUNT]
"""Number of an AWS account; a text, because it may begin with 0."""

Region = Annotated[str, AWS_REGION]
"""A region such as ``us-east-1`` or ``us-gov-west-1``."""


class AwsControlPlaneAccess(Frozen):
    """Who reaches the Kubernetes API. Nodes and pods always reach it by an address inside the network."""

    mode: Literal["private", "authorized"] = "private"
    """`private` (from inside the network alone) or `authorized` (by a public address too, from some ranges)."""
    authorized: tuple[Cidr, ...] = ()
    """Ranges that may connect to the public address; needed by `authorized` and refused elsewhere."""


class AwsLogType(StrEnum):
    """What of the control plane can be logged (EKS documentation, "Send control plane logs to CloudWatch Logs")."""

    API = "api"
    AUDIT = "audit"
    AUTHENTICATOR = "authenticator"
    CONTROLLER_MANAGER = "controllerManager"
    SCHEDULER = "scheduler"


class AwsSystemPool(Frozen):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster."""

    machine_type: str = "m7i.xlarge"
    """The cloud's name of the machine."""
    min: PositiveCount = 1
    """Nodes a zone that are always there, in a managed node group: what makes other nodes runs on them."""
    max: PositiveCount = 3
    """Most nodes a zone; those above `min` come from Karpenter with pods that find no room."""


KubernetesVersion = Annotated[str, BeforeValidator(version_text), EKS_VERSION]


class AwsAdministrator(Frozen):
    """Somebody who may do everything in the cluster."""

    principal: Annotated[str, IAM_PRINCIPAL]
    """ARN of an IAM role or user."""


class AwsClusterSpec(Frozen):
    """The cluster of one environment."""

    name: ClusterName
    """Fixed for the life of a stack."""
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    """Zones in which nodes may run, two at least.

    All within the stack's region.
    """
    version: KubernetesVersion = "1.35"
    """Kubernetes version, as in `1.35`: EKS changes it when this does, one minor version at a time."""
    access: AwsControlPlaneAccess = AwsControlPlaneAccess()
    """Who reaches the control plane."""
    administrators: tuple[AwsAdministrator, ...] = ()
    """Who may do everything in the cluster: the role that runs Pulumi, and people. Nobody else may, not even who made
    it.

    One at least.
    """
    log_types: tuple[AwsLogType, ...] = (AwsLogType.AUDIT, AwsLogType.AUTHENTICATOR)
    """What the control plane logs: `api`, `audit`, `authenticator`, `controllerManager`, `scheduler`."""
    max_pods_per_node: Annotated[int, Field(ge=8, le=250)] = 32
    """Most pods on a node.

    Every pod has an address of the subnets; EKS recommends at most 110 on nodes of up to 30 vCPUs and 250 on others
    (github.com/awslabs/amazon-eks-ami, ``max-pods-calculator.sh``).
    """
    encrypt_secrets: bool = True
    """Encrypt Kubernetes Secrets with a key of our own.

    Encrypt Kubernetes Secrets with a key of our own in AWS KMS; EKS never goes back from it.
    """
    deletion_protection: bool = True
    """Refuse to delete the cluster and its key; switching it off needs an `up` of its own."""
    system_pool: AwsSystemPool = AwsSystemPool()
    """Nodes for everything that needs no GPU."""


class AwsNetworkSpec(Frozen):
    """Ranges of the network and how it meets the internet. Ranges are fixed for the life of a stack.

    The VPC of one environment.
    """

    vpc: Cidr = IPv4Network("10.0.0.0/16")
    """Range of the VPC, a /16 to /21: nodes, load balancers and, without `pods`, pods."""
    pods: Cidr | None = None
    """A second range of the VPC, a /16 to /21, from which pods have their addresses."""
    services: Cidr = IPv4Network("172.20.0.0/16")
    """Range of the cluster's Services."""
    nat: Literal["none", "one", "per-zone"] = "per-zone"
    """How nodes reach the internet: by `one` NAT gateway, by one `per-zone`, or, with `none`, not at all."""
    endpoints: tuple[str, ...] = ()
    """Services of AWS that are reached by an interface endpoint, for example `ecr.api`; S3 always has a gateway one."""
    flow_log_days: Literal[0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] = 30
    """Days for which flow logs are kept; 0 makes none."""


class AwsModelCacheSpec(Frozen):
    """Settings of the model cache.

    The S3 bucket that holds the weights.
    """

    noncurrent_days: Annotated[int, Field(ge=1, le=3650)] = 14
    """How long an overwritten or deleted version of an object is kept."""
    force_destroy: bool = False
    """Let a destroy delete a bucket that still holds objects, and its key.

    Let ``pulumi destroy`` delete a bucket that still holds objects.
    """


class AwsRegistrySpec(Frozen):
    """A registry of images (ECR) that is there already: that of the prepared account, one for all environments."""

    account: AccountId | None = None
    """Number of its account; the stack's own where it is left out."""
    region: Region | None = None
    """Its region; the stack's own where it is left out."""
    name: ClusterName = "llm-serving"
    """What the names of its repositories begin with, before `/`."""
    pull_through: ClusterName | None = None
    """Prefix of its pull-through rule of Docker Hub, through which nodes pull engines."""


class AwsProvisioner(StrEnum):
    """Who adds and removes the nodes of a pool."""

    KARPENTER = "karpenter"
    NODE_GROUP = "node-group"


class AwsNodeImage(StrEnum):
    """The image that GPU nodes start from, both with NVIDIA's driver (EKS documentation, "EKS-optimized accelerated
    AMIs")."""

    AL2023 = "al2023"
    BOTTLEROCKET = "bottlerocket"


class AwsPoolSpec(PoolSpec):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node.

    On EKS it is one NodePool of Karpenter, or one managed node group, for each entry of its capacity.
    """

    name: PoolName
    """Name of the pool, and the beginning of the names of its NodePools or node groups."""
    provisioner: AwsProvisioner = AwsProvisioner.KARPENTER
    """Who adds and removes nodes: `karpenter`, or `node-group`, whose nodes are as many as each entry's `min`.

    Nothing scales a managed node group by itself: its entries have ``min`` = ``max``.
    """
    node_image: AwsNodeImage = AwsNodeImage.AL2023
    """What nodes start from: `al2023` or `bottlerocket`."""
    efa: bool = False
    """Give nodes their EFA network interfaces, for instances of several nodes.

    They are in one zone and one placement group then.
    """
