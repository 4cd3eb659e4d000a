"""What differs between the clouds that a stack can run on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import pulumi
import pulumi_kubernetes as k8s

from llm_serving.serving import TeamNamespace
from llm_serving.spec import ExistingPoolSpec, PoolSpec
from llm_serving.spec.aws import AwsPoolSpec

if TYPE_CHECKING:
    from llm_serving.cloud.aws import AwsGpuPool
    from llm_serving.cloud.existing import ExistingPool
    from llm_serving.cloud.gcp import GcpGpuPool

Access = Literal["reader", "writer"]
"""What a workload may do with the model cache."""


SpecT = TypeVar("SpecT", PoolSpec, AwsPoolSpec, ExistingPoolSpec)
PoolT = TypeVar("PoolT", "GcpGpuPool", "AwsGpuPool", "ExistingPool")


class Cloud(ABC, Generic[SpecT, PoolT]):
    """The components of one cloud below the models.

    The cluster and what it needs exist once this is made. Pools, caches and identities are made on request: they need
    the cluster's Kubernetes provider or belong to a team.

    Attributes:
        foundation: the component of the cluster, which everything on the cluster must outlive.
        kubeconfig: for the Kubernetes provider.
        cluster_identifier: names the cluster to the Kubernetes provider. Without it the provider takes a changed
            kubeconfig for another cluster and replaces every object.
        pools: settings of the pools.
        reach: ranges for network policies (``contract.NetworkReach``).
    """

    foundation: pulumi.Resource
    kubeconfig: pulumi.Output[str]
    cluster_identifier: str
    pools: Sequence[SpecT]
    reach: pulumi.Output[dict[str, Any]]

    def checked_reach(self, kubernetes: k8s.Provider) -> pulumi.Output[dict[str, Any]]:
        """``reach``, known only of a cluster that models can run on: what the namespaces of teams wait for."""
        return self.reach

    def prepare_nodes(self, kubernetes: k8s.Provider) -> Sequence[pulumi.Resource]:
        """What the cluster needs on it before any pool can have nodes: what the cloud does not do itself."""
        return ()

    @abstractmethod
    def make_pool(self, spec: SpecT, kubernetes: k8s.Provider) -> PoolT:
        """The nodes of one pool."""

    @abstractmethod
    def make_model_cache(
        self, team: str, namespace: TeamNamespace, kubernetes: k8s.Provider
    ) -> pulumi.Output[dict[str, Any]]:
        """The volume that holds a team's weights (``contract.ModelCacheVolume``)."""

    @abstractmethod
    def make_identity(self, name: str, namespace: str, account: str, access: Access) -> pulumi.Output[dict[str, Any]]:
        """The cloud identity of a workload (``contract.WorkloadIdentityBinding``).

        Args:
            name: name of the component.
            namespace: namespace of the workload.
            account: its Kubernetes service account.
            access: what it may do with the model cache.
        """

    @abstractmethod
    def is_reached_privately(self, source: str) -> bool:
        """Whether loaders reach a source of weights without the internet."""

    @abstractmethod
    def outputs(self, pools: Mapping[str, PoolT]) -> Mapping[str, Any]:
        """What the stack puts out of this cloud, by field of :class:`stacks.outputs.StackOutputs`."""
