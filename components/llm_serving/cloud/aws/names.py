"""Names that this package gives to things on AWS, each within the limit of its service."""

from llm_serving.cloud.bounded_names import bounded, digest
from llm_serving.planning.clouds.aws import partition

ROLE_LIMIT = 64
"""IAM documentation, "IAM and AWS STS quotas"."""
BUCKET_LIMIT = 63
"""S3 documentation, "General purpose bucket naming rules"."""
QUEUE_LIMIT = 80
"""SQS API, ``CreateQueue``."""
RULE_LIMIT = 64
"""EventBridge API, ``PutRule``."""
NODE_GROUP_LIMIT = 63
"""EKS API, ``CreateNodegroup``; also the longest value of a label, such as Karpenter's name of a node's NodePool."""


def role_name(region: str, cluster: str, *owner: str) -> str:
    """Name of the IAM role of one owner in a cluster. An account has one list of roles for all regions, and ``-`` is a
    letter of every name: the hash tells apart what reads alike."""
    tail = digest([region, cluster, *owner], length=8)
    return f"{'-'.join((cluster, *owner))[: ROLE_LIMIT - len(tail) - 1].rstrip('-')}-{tail}"


def bucket_name(account: str, region: str, cluster: str) -> str:
    """Name of the bucket of a cluster's weights, which no other in the world has: accounts are in front. The region at
    the end keeps it from the endings that S3 refuses, the number in front from such beginnings; no dots, which would
    break TLS to the bucket's own host."""
    return bounded(account, cluster, region, limit=BUCKET_LIMIT)


def queue_name(cluster: str) -> str:
    """Name of the queue of notices that a cluster's nodes end."""
    return bounded(cluster, "interruptions", limit=QUEUE_LIMIT)


def rule_name(cluster: str, event: str) -> str:
    """Name of the EventBridge rule that sends one kind of event to a cluster's queue."""
    return bounded(cluster, event, limit=RULE_LIMIT)


def managed_policy(region: str, name: str) -> str:
    """ARN of a policy that AWS keeps itself, by its path and name."""
    return f"arn:{partition(region)}:iam::aws:policy/{name}"


GPU_RESOURCE = "nvidia.com/gpu"
EFA_RESOURCE = "vpc.amazonaws.com/efa"
"""What the device plugin of EFA offers (EKS documentation, "Manage EFA devices on Amazon EKS")."""
SHARING_LABEL = "nvidia.com/device-plugin.config"
"""On nodes: which of its configurations NVIDIA's device plugin uses there (github.com/NVIDIA/k8s-device-plugin)."""
