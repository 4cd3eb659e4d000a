"""The identity of one workload: an IAM role that pods of one Kubernetes service account alone may take.

Owns the role, what it may do with the model cache, and the association that gives it to the pods. Leaves alone the
Kubernetes service account (it belongs to the workload) and the agent that hands out credentials (it is the cluster's).
"""

from typing import Any, Literal, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from llm_serving.cloud.aws import policies
from llm_serving.cloud.aws.names import role_name
from llm_serving.cloud.aws.roles import role
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import WorkloadIdentityBinding
from llm_serving.spec.aws import Region
from llm_serving.spec.names import ClusterName, NamespaceName

RIGHTS = {"reader": policies.read_weights, "writer": policies.write_weights}
"""A reader reads and lists objects; a writer also makes, replaces and deletes them. Neither changes who may."""


class AwsWorkloadIdentityArgs(TypedDict):
    """Arguments of AwsWorkloadIdentity."""

    region: str
    """Region of the cluster."""
    name: str
    """Name of the cluster. An account has one list of roles; the name keeps those of clusters apart."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster once it is there."""
    cluster_arn: pulumi.Input[str]
    """ARN of the cluster."""
    namespace: str
    """Namespace of the workload."""
    service_account: str
    """Kubernetes service account of the workload."""
    bucket_arn: pulumi.Input[str]
    """Bucket that the workload reads or writes."""
    key_arn: pulumi.Input[str]
    """Key with which the bucket's objects are encrypted."""
    role: NotRequired[str]
    """What the workload does with the bucket: `reader` or `writer`."""
    tags: NotRequired[dict[str, str]]
    """Tags of the role."""


class AwsWorkloadIdentityInputs(Frozen):
    """The validated arguments."""

    region: Region
    name: ClusterName
    cluster_name: Any
    cluster_arn: Any
    namespace: NamespaceName
    service_account: str
    bucket_arn: Any
    key_arn: Any
    role: Literal["reader", "writer"] = "reader"
    tags: dict[str, str] = {}


class AwsWorkloadIdentity(pulumi.ComponentResource):
    """A workload's own role with rights on one bucket, by EKS Pod Identity."""

    role_arn: pulumi.Output[str]
    """ARN of the role."""
    binding: pulumi.Output[dict[str, Any]]
    """How the workload shows who it is (contract `WorkloadIdentityBinding`)."""

    def __init__(self, name: str, args: AwsWorkloadIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsWorkloadIdentityInputs, args, "AwsWorkloadIdentity", name)
        super().__init__(token("AwsWorkloadIdentity"), name, None, opts)
        owner = (inputs.namespace, inputs.service_account)

        made, rights = role(
            self,
            name,
            role_name=role_name(inputs.region, inputs.name, *owner),
            trust=pulumi.Output.from_input(inputs.cluster_arn).apply(lambda arn: policies.trust_of_pods(arn, *owner)),
            policy=pulumi.Output.all(inputs.bucket_arn, inputs.key_arn).apply(
                lambda arns: RIGHTS[inputs.role](arns[0], arns[1])
            ),
            tags=inputs.tags,
        )
        association = aws.eks.PodIdentityAssociation(
            name,
            cluster_name=inputs.cluster_name,
            namespace=inputs.namespace,
            service_account=inputs.service_account,
            role_arn=made.arn,
            tags=inputs.tags,
            opts=child(self),
        )

        self.role_arn = made.arn
        # A pod that starts before the association has no credentials until it is started again; and whoever runs with
        # this identity waits until it may do what it is for.
        self.binding = pulumi.Output.all(association.association_id, *[right.id for right in rights]).apply(
            lambda _: WorkloadIdentityBinding(
                service_account=inputs.service_account, namespace=inputs.namespace
            ).to_data()
        )
        self.register_outputs({"roleArn": self.role_arn, "binding": self.binding})
