"""The identity of a workload where no cloud gives one: the Kubernetes service account alone."""

from typing import Any, TypedDict

import pulumi

from llm_serving.component import Frozen, token, validated
from llm_serving.contract import WorkloadIdentityBinding
from llm_serving.spec.names import NamespaceName


class ExistingWorkloadIdentityArgs(TypedDict):
    """Arguments of `ExistingWorkloadIdentity`."""

    namespace: str
    """Namespace of the workload."""
    service_account: str
    """Name of its Kubernetes service account, which `ModelService` creates."""


class ExistingWorkloadIdentityInputs(Frozen):
    """Arguments of :class:`ExistingWorkloadIdentity`, validated."""

    namespace: NamespaceName
    service_account: NamespaceName


class ExistingWorkloadIdentity(pulumi.ComponentResource):
    """Identity of a workload on a cluster without workload identity. Creates nothing."""

    binding: pulumi.Output[dict[str, Any]]
    """Who the pods are (contract `WorkloadIdentityBinding`)."""

    def __init__(
        self, name: str, args: ExistingWorkloadIdentityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        inputs = validated(ExistingWorkloadIdentityInputs, args, "ExistingWorkloadIdentity", name)
        super().__init__(token("ExistingWorkloadIdentity"), name, {}, opts)
        binding = WorkloadIdentityBinding(namespace=inputs.namespace, service_account=inputs.service_account)
        self.binding = pulumi.Output.from_input(binding.to_data())
        self.register_outputs({"binding": self.binding})
