"""IAM policy documents: who may do what, each as a function of the ARNs that it is about.

Nothing here names an action with ``*``. Where a resource is ``*``, the action takes no other
(:data:`WITHOUT_RESOURCES`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = "2012-10-17"

Statement = Mapping[str, Any]
Document = dict[str, Any]

EC2_READS = (
    "ec2:DescribeCapacityReservations",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
)
"""What Karpenter 1.14 asks EC2 (``pkg/aws/sdk.go`` of github.com/aws/karpenter-provider-aws)."""

WITHOUT_RESOURCES = frozenset(
    {*EC2_READS, "ecr:GetAuthorizationToken", "iam:ListInstanceProfiles", "pricing:GetProducts"}
)
"""Actions that know no resource, so that ``*`` is the one that can be named (Service Authorization Reference)."""

NODE_POOL_TAG = "karpenter.sh/nodepool"
"""Karpenter puts it on all that it makes; the value is the NodePool's name."""
CLUSTER_NAME_TAG = "eks:eks-cluster-name"

PULLING = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def trust_of_pods(cluster_arn: str, namespace: str, service_account: str) -> Document:
    """Who may take a role: pods of one service account, by EKS Pod Identity (EKS documentation, "EKS Pod
    Identity role")."""
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster_arn,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": service_account,
                }
            },
        }
    )


def trust_of_service(service: str) -> Document:
    """Who may take a role: one service of AWS, for example ``ec2.amazonaws.com``."""
    return _document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def ec2_service(partition: str) -> str:
    """EC2 as a principal: of China it has another name."""
    return "ec2.amazonaws.com.cn" if partition == "aws-cn" else "ec2.amazonaws.com"


def read_weights(bucket_arn: str, key_arn: str, prefix: str = "") -> Document:
    """A model reads and lists weights.

    Args:
        bucket_arn: the bucket.
        key_arn: the key of AWS KMS with which its objects are encrypted.
        prefix: the folder that may be read, with ``/`` at its end; the whole bucket where it is empty.
    """
    return _document(*_reading(bucket_arn, prefix), _allow(["kms:Decrypt"], key_arn))


def write_weights(bucket_arn: str, key_arn: str, prefix: str = "") -> Document:
    """A loader reads, lists, writes and deletes weights, and gives up uploads that failed. The arguments are those of
    :func:`read_weights`; parts of an upload are decrypted again when it ends, hence both rights on the key (KMS
    documentation, "Amazon S3 multipart upload")."""
    writing = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
    return _document(
        *_reading(bucket_arn, prefix),
        _allow(["s3:ListBucketMultipartUploads"], bucket_arn),
        _allow(writing, f"{bucket_arn}/{prefix}*"),
        _allow(["kms:Decrypt", "kms:GenerateDataKey"], key_arn),
    )


def node(cluster_arn: str, repository_arns: Sequence[str]) -> Document:
    """A node joins its cluster, lets pods take their roles and pulls images.

    Args:
        cluster_arn: the EKS cluster.
        repository_arns: repositories of ECR; patterns too.
    """
    return _document(
        _allow(["eks-auth:AssumeRoleForPodIdentity"], cluster_arn),
        # The node's own name (github.com/awslabs/amazon-eks-ami, nodeadm).
        _allow(["ec2:DescribeInstances"], "*"),
        _allow(["ecr:GetAuthorizationToken"], "*"),
        *([_allow(list(PULLING), *repository_arns)] if repository_arns else []),
    )


def karpenter(
    partition: str,
    region: str,
    account: str,
    cluster: str,
    node_role_arn: str,
    instance_profile_arn: str,
    queue_arn: str,
) -> Document:
    """Karpenter's controller: it makes, tags and ends the instances of one cluster. It makes no instance profile: the
    one of the nodes is ours, and it may pass no other role.

    Args:
        partition: ``aws``, ``aws-us-gov`` or ``aws-cn``.
        region: the cluster's.
        account: number of the account.
        cluster: name of the EKS cluster.
        node_role_arn: role of the nodes.
        instance_profile_arn: profile that holds it.
        queue_arn: queue of the notices that instances end.
    """
    ec2 = f"arn:{partition}:ec2:{region}"
    owned = f"kubernetes.io/cluster/{cluster}"
    parts = [
        f"{ec2}:{account}:{kind}/*"
        for kind in ("fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume")
    ]
    requested = {
        "StringEquals": {f"aws:RequestTag/{owned}": "owned", f"aws:RequestTag/{CLUSTER_NAME_TAG}": cluster},
        "StringLike": {f"aws:RequestTag/{NODE_POOL_TAG}": "*"},
    }
    existing = {
        "StringEquals": {f"aws:ResourceTag/{owned}": "owned"},
        "StringLike": {f"aws:ResourceTag/{NODE_POOL_TAG}": "*"},
    }
    launch = ["ec2:CreateFleet", "ec2:RunInstances"]
    template = f"{ec2}:{account}:launch-template/*"
    return _document(
        _allow(list(EC2_READS), "*", condition={"StringEquals": {"aws:RequestedRegion": region}}),
        _allow(["pricing:GetProducts"], "*"),
        _allow(["ssm:GetParameter"], f"arn:{partition}:ssm:{region}::parameter/aws/service/*"),
        _allow(["eks:DescribeCluster"], f"arn:{partition}:eks:{region}:{account}:cluster/{cluster}"),
        # What it launches with is made by others, or by itself.
        _allow(
            launch,
            f"{ec2}::image/*",
            f"{ec2}::snapshot/*",
            *(
                f"{ec2}:{account}:{kind}/*"
                for kind in ("capacity-reservation", "placement-group", "security-group", "subnet")
            ),
        ),
        _allow(launch, template, condition=existing),
        # What it makes belongs to this cluster from its first moment, and it may touch nothing else.
        _allow([*launch, "ec2:CreateLaunchTemplate"], *parts, condition=requested),
        _allow(
            ["ec2:CreateTags"],
            *parts,
            condition={
                **requested,
                "StringEquals": {
                    **requested["StringEquals"],
                    "ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate", "RunInstances"],
                },
            },
        ),
        _allow(
            ["ec2:CreateTags"],
            f"{ec2}:{account}:instance/*",
            condition={
                **existing,
                "ForAllValues:StringEquals": {"aws:TagKeys": [CLUSTER_NAME_TAG, "karpenter.sh/nodeclaim", "Name"]},
            },
        ),
        _allow(
            ["ec2:DeleteLaunchTemplate", "ec2:TerminateInstances"],
            f"{ec2}:{account}:instance/*",
            template,
            condition=existing,
        ),
        _allow(
            ["iam:PassRole"],
            node_role_arn,
            condition={"StringEquals": {"iam:PassedToService": ec2_service(partition)}},
        ),
        # Before a node class goes Karpenter looks for a profile that an earlier release would have made for it, and for
        # those under a path of its own (``cleanupManagedInstanceProfiles`` of v1.14.0). There is none; but refused, it
        # would never let the node class go.
        _allow(
            ["iam:GetInstanceProfile"],
            instance_profile_arn,
            f"arn:{partition}:iam::{account}:instance-profile/{cluster}_*",
        ),
        _allow(["iam:ListInstanceProfiles"], "*"),
        _allow(["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], queue_arn),
    )


def write_flow_logs(log_group_arn: str) -> Document:
    """VPC Flow Logs writes into one log group (VPC documentation, "IAM role for publishing flow logs to CloudWatch
    Logs")."""
    return _document(
        _allow(["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], f"{log_group_arn}:*"),
    )


def pull_images(repository_arns: Sequence[str], pull_through_arns: Sequence[str] = ()) -> Document:
    """Whoever has it pulls images of ECR.

    Args:
        repository_arns: repositories; patterns too.
        pull_through_arns: those that a pull-through rule fills. The first pull of an image makes its repository (ECR
            documentation, "IAM permissions required to sync an upstream registry").
    """
    return _document(
        _allow(list(PULLING), *repository_arns, *pull_through_arns),
        *(
            [_allow(["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"], *pull_through_arns)]
            if pull_through_arns
            else []
        ),
    )


def bucket(bucket_arn: str, account: str) -> Document:
    """Of a bucket itself: nobody without TLS, and nobody of another account, whatever else is said. Rights are given by
    the roles of the account; a denial may name all actions."""
    of_bucket = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [bucket_arn, f"{bucket_arn}/*"]}
    return _document(
        {**of_bucket, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {
            **of_bucket,
            "Condition": {
                "StringNotEquals": {"aws:PrincipalAccount": account},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
            },
        },
    )


def interruption_queue(queue_arn: str, rule_arns: Sequence[str]) -> Document:
    """Of the queue itself: rules of EventBridge send notices to it, over TLS as everybody."""
    return _document(
        {
            **_allow(["sqs:SendMessage"], queue_arn, condition={"ArnEquals": {"aws:SourceArn": list(rule_arns)}}),
            "Principal": {"Service": "events.amazonaws.com"},
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"],
            "Resource": [queue_arn],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )


def _reading(bucket_arn: str, prefix: str) -> list[Statement]:
    condition = {"StringLike": {"s3:prefix": [f"{prefix}*"]}} if prefix else {}
    return [
        _allow(["s3:ListBucket"], bucket_arn, condition=condition),
        _allow(["s3:GetObject"], f"{bucket_arn}/{prefix}*"),
    ]


def _allow(actions: Sequence[str], *resources: str, condition: Mapping[str, Any] | None = None) -> Statement:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": dict(condition)} if condition else statement


def _document(*statements: Statement) -> Document:
    return {"Version": VERSION, "Statement": [dict(statement) for statement in statements]}
