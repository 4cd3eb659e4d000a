"""The settings of a stack on a cluster that is already there."""

from typing import Annotated, Literal

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.contract import Port
from llm_serving.planning.nodes import DEFAULT_MAX_PODS
from llm_serving.planning.rules.stack import AwsShape, GcpShape
from llm_serving.spec import CacheStorageSpec, CapacityEntry, EngineName, ExistingPoolSpec, ImageReference
from llm_serving.spec.forms import CONTEXT
from llm_serving.spec.names import ObjectName
from llm_serving.spec.network import Cidr
from stacks.settings.common import CommonSettings

ContextName = Annotated[str, CONTEXT]
"""A name in a kubeconfig: it may have spaces inside, and no control characters."""


class ExistingClusterSettings(Frozen):
    """A cluster that is already there.

    Attributes:
        name: how the summary calls it.
        context: context of the kubeconfig to use; ``None`` for its current one. The kubeconfig itself is the secret
            ``llm-serving:kubeconfig`` or, without it, the file that ``KUBECONFIG`` names.
        cache_claim: PersistentVolumeClaim in every team's namespace that holds the weights.
        cache_storage: make that claim; ``None`` where it is there.
        clients: address ranges from which clients reach the models; pods of a team's namespace always do.
        storage: address ranges of an object store that loaders and engines reach; where there are none, a ``loader``
            that reads one reaches the internet.
        storage_ports: TCP ports of that store.
        api_server: address ranges of the API server as pods see them, for what asks it; none: private ones.
        api_server_ports: TCP ports of the API server.
    """

    name: ContextName
    context: ContextName | None = None
    cache_claim: ObjectName = "model-cache"
    cache_storage: CacheStorageSpec | None = None
    clients: tuple[Cidr, ...] = ()
    storage: tuple[Cidr, ...] = ()
    storage_ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443,)
    api_server: tuple[Cidr, ...] = ()
    api_server_ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443, 6443)


class ExistingSettings(CommonSettings):
    """A stack that serves on a cluster that somebody else runs: on-premises GPUs, kind.

    Attributes:
        cloud: ``existing``.
        cluster: which cluster.
        pools: nodes that are there.
        engine_images: images built on the spot, by engine, in place of those that releases name: for machines of
            developers, because what answers is then no longer what the release pins.
    """

    cloud: Literal["existing"]
    cluster: ExistingClusterSettings
    pools: tuple[ExistingPoolSpec, ...] = ()
    engine_images: dict[EngineName, ImageReference] = {}

    def pulled(self, image: ImageReference) -> ImageReference:
        """An image as nodes pull it: from where it is."""
        return image

    @property
    def made_claim(self) -> CacheStorageSpec | None:
        """The claim for the weights that is made for each team; ``None`` where it is there."""
        return self.cluster.cache_storage

    @property
    def claim_of_others(self) -> str | None:
        """Name of the claim for the weights that somebody else makes in each namespace; ``None`` where we make it."""
        return self.cluster.cache_claim if self.cluster.cache_storage is None else None

    @property
    def account(self) -> str:
        """Whose quotas and bill it is: nobody's that this project knows."""
        return ""

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones are not known."""
        return ()

    @property
    def max_pods_per_node(self) -> int:
        """Nothing is planned with it: the owner says what pods can use of a node."""
        return DEFAULT_MAX_PODS

    @property
    def gcp_shape(self) -> GcpShape:
        """Nothing is on Google Cloud."""
        return GcpShape()

    @property
    def aws_shape(self) -> AwsShape:
        """Nothing is on AWS."""
        return AwsShape()

    @property
    def region(self) -> str:
        """A cluster that is already there has no region that prices or zones are known of."""
        return ""

    @property
    def system_capacity(self) -> tuple[tuple[str, CapacityEntry], ...]:
        """Nobody buys any."""
        return ()

    @property
    def buys_nodes(self) -> bool:
        """The nodes are their owner's: no quota is asked for, and no cost is known."""
        return False

    @property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        return {"cloud": self.cloud, "cluster.name": self.cluster.name, **self.fixed_disks}

    @property
    def location(self) -> dict[str, str]:
        """Where the stack runs, as people are shown it: what, and its value."""
        return {"cluster": f"{self.cluster.name} (existing)"}
