"""The identity of one workload: a Google service account that one Kubernetes service account alone may act as.

Owns the service account and its role on the model cache. Leaves alone the Kubernetes service account (it belongs to the
workload) and grants nothing on the project.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp
from pydantic import StringConstraints

from llm_serving.cloud.gcp.names import account_id
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import WorkloadIdentityBinding
from llm_serving.spec.gcp import ProjectId
from llm_serving.spec.names import DNS_LABEL, NamespaceName

IMPERSONATE = "roles/iam.workloadIdentityUser"
BUCKET_ROLES = {"reader": "roles/storage.objectViewer", "writer": "roles/storage.objectUser"}
"""A reader reads and lists objects; a writer also makes, replaces and deletes them. Neither changes who may."""

ANNOTATION = "iam.gke.io/gcp-service-account"


class GcpWorkloadIdentityArgs(TypedDict):
    """Arguments of GcpWorkloadIdentity."""

    project: str
    """Id of the project."""
    name: str
    """Name of the cluster. All clusters of a project share its pool of identities; the name keeps accounts apart."""
    namespace: str
    """Namespace of the workload."""
    service_account: str
    """Kubernetes service account of the workload."""
    workload_pool: pulumi.Input[str]
    """Pool of Workload Identity."""
    bucket_name: pulumi.Input[str]
    """Bucket that the workload reads or writes."""
    role: NotRequired[str]
    """What the workload does with the bucket: `reader` or `writer`."""


class GcpWorkloadIdentityInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    name: Annotated[str, StringConstraints(pattern=DNS_LABEL)]
    namespace: NamespaceName
    service_account: str
    workload_pool: Any
    bucket_name: Any
    role: Literal["reader", "writer"] = "reader"


class GcpWorkloadIdentity(pulumi.ComponentResource):
    """A workload's own service account with one role on one bucket."""

    email: pulumi.Output[str]
    """Email of the Google service account."""
    binding: pulumi.Output[dict[str, Any]]
    """How the workload shows who it is (contract `WorkloadIdentityBinding`)."""

    def __init__(self, name: str, args: GcpWorkloadIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpWorkloadIdentityInputs, args, "GcpWorkloadIdentity", name)
        super().__init__(token("GcpWorkloadIdentity"), name, None, opts)

        account = gcp.serviceaccount.Account(
            name,
            project=inputs.project,
            account_id=account_id(inputs.name, inputs.namespace, inputs.service_account),
            display_name=f"{inputs.namespace}/{inputs.service_account} in {inputs.name}",
            opts=child(self),
        )
        impersonation = gcp.serviceaccount.IAMMember(
            f"{name}-workload",
            service_account_id=account.name,
            role=IMPERSONATE,
            member=pulumi.Output.concat(
                "serviceAccount:", inputs.workload_pool, f"[{inputs.namespace}/{inputs.service_account}]"
            ),
            opts=child(self),
        )
        access = gcp.storage.BucketIAMMember(
            f"{name}-bucket",
            bucket=inputs.bucket_name,
            role=BUCKET_ROLES[inputs.role],
            member=account.member,
            opts=child(self),
        )

        self.email = account.email
        # Whoever runs with this identity waits until it may do what it is for.
        self.binding = pulumi.Output.all(account.email, impersonation.role, access.role).apply(
            lambda known: WorkloadIdentityBinding(
                service_account=inputs.service_account,
                namespace=inputs.namespace,
                annotations={ANNOTATION: known[0]},
            ).to_data()
        )
        self.register_outputs({"email": self.email, "binding": self.binding})
