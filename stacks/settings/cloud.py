"""What the settings of all stacks have that bring up a cluster of their own."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from llm_serving.spec import CapacityEntry, EngineName, ImageReference, Market
from llm_serving.spec.aws import AwsClusterSpec
from llm_serving.spec.gcp import GcpClusterSpec
from stacks.settings.common import CommonSettings

ClusterT = TypeVar("ClusterT", GcpClusterSpec, AwsClusterSpec)


class CloudSettings(CommonSettings, Generic[ClusterT]):
    """A stack that buys its nodes and has a bucket for the weights.

    Attributes:
        cluster: the cluster.
    """

    cluster: ClusterT

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones of the cluster."""
        return self.cluster.zones

    @property
    def max_pods_per_node(self) -> int:
        """Most pods on a node of the cluster."""
        return self.cluster.max_pods_per_node

    @property
    def buys_nodes(self) -> bool:
        """The stack creates its nodes, so they need quota and are on its bill."""
        return True

    @property
    def system_capacity(self) -> tuple[tuple[str, CapacityEntry], ...]:
        """The CPU nodes of the cluster at their maximum, with what they are called."""
        pool = self.cluster.system_pool
        nodes = pool.max * len(self.zones)
        return (("systemPool", CapacityEntry(market=Market.ON_DEMAND, machine_type=pool.machine_type, max=nodes)),)

    @property
    def made_claim(self) -> None:
        """The weights are in a bucket."""
        return None

    @property
    def claim_of_others(self) -> str | None:
        """Name of the claim for the weights that somebody else makes in each namespace: none, there is a bucket."""
        return None

    @property
    def engine_images(self) -> Mapping[EngineName, ImageReference]:
        """Images in place of those that releases name, by engine: none."""
        return {}
