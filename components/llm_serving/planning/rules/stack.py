"""What the rules look at: everything that a stack's settings request, in one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import inf

from llm_serving.catalog import UnknownFact
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.host import NO_SIDECAR, SidecarRequests
from llm_serving.planning.node_room import NodeRoom
from llm_serving.planning.nodes import DEFAULT_MAX_PODS, NodeShape
from llm_serving.spec import (
    AddonsSpec,
    CacheStorageSpec,
    GatewaySpec,
    LauncherSpec,
    LoaderSpec,
    ModelSpec,
    Pool,
    QuantizationSpec,
    ReleaseSpec,
    TeamSpec,
    Weights,
)
from llm_serving.spec.aws import AwsClusterSpec, AwsNetworkSpec, AwsPoolSpec, AwsRegistrySpec
from llm_serving.spec.gcp import GcpClusterSpec, GcpNetworkSpec, GcpPoolSpec, GcpRegistrySpec


@dataclass(frozen=True)
class GcpShape:
    """What a stack has on Google Cloud only. What is left out is not checked.

    Attributes:
        network: the ranges of its network.
        cluster: its cluster.
        pools: its GPU pools, in the order of :attr:`StackShape.pools`.
        registry: the registry of images that is there already.
        labels: put on every resource.
    """

    network: GcpNetworkSpec | None = None
    cluster: GcpClusterSpec | None = None
    pools: Sequence[GcpPoolSpec] = ()
    registry: GcpRegistrySpec | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class AwsShape:
    """What a stack has on AWS only. What is left out is not checked.

    Attributes:
        account: number of its account.
        network: the ranges of its VPC.
        cluster: its cluster.
        pools: its GPU pools, in the order of :attr:`StackShape.pools`.
        registry: the registry of images that is there already.
        labels: put on every resource.
    """

    account: str = ""
    network: AwsNetworkSpec | None = None
    cluster: AwsClusterSpec | None = None
    pools: Sequence[AwsPoolSpec] = ()
    registry: AwsRegistrySpec | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class StackShape:
    """A stack's wishes. A part of a stack is one too: what is left out is not checked.

    Attributes:
        cloud: where it runs.
        region: the cloud's region; empty for existing clusters.
        zones: zones of its cluster; empty where they are not known.
        max_pods_per_node: most pods on a node of its cluster.
        gcp: what only Google Cloud has.
        aws: what only AWS has.
        pools: GPU pools.
        models: models to serve.
        quantizations: weights to quantize.
        releases: every release that exists, by model and version.
        teams: teams that share the cluster.
        loader: what fills the model cache; ``None`` where somebody else does.
        launcher: what runs the engines.
        weights: who that is, where the stack says so.
        cache_storage: the claim for the weights that is made in the namespace of each team; ``None`` where none is.
        addons: what the cluster needs beside the models, and who brings it.
        gateway: the gateway in front of all models; ``None`` where there is none.
        sidecar: what the cloud's model cache puts beside every engine.
        today: the day on which it is checked; ``None``: what ends on a day is not checked.
    """

    cloud: Cloud
    region: str = ""
    zones: Sequence[str] = ()
    max_pods_per_node: int = DEFAULT_MAX_PODS
    gcp: GcpShape = field(default_factory=GcpShape)
    aws: AwsShape = field(default_factory=AwsShape)
    pools: Sequence[Pool] = ()
    models: Sequence[ModelSpec] = ()
    quantizations: Sequence[QuantizationSpec] = ()
    releases: Mapping[tuple[str, str], ReleaseSpec] = field(default_factory=dict[tuple[str, str], ReleaseSpec])
    teams: Sequence[TeamSpec] = ()
    loader: LoaderSpec | None = None
    launcher: LauncherSpec = field(default_factory=LauncherSpec)
    weights: Weights | None = None
    cache_storage: CacheStorageSpec | None = None
    addons: AddonsSpec = field(default_factory=AddonsSpec)
    gateway: GatewaySpec | None = None
    sidecar: SidecarRequests = NO_SIDECAR
    today: date | None = None

    def pool(self, name: str) -> Pool | None:
        """The first pool of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def node(self, name: str) -> NodeShape | None:
        """The node of a pool, or ``None`` where the pool or a machine of it is not known; other rules say
        so."""
        pool = self.pool(name)
        if pool is None:
            return None
        return self._node(pool)

    def room(self, name: str) -> NodeRoom | None:
        """What pods of models find on an empty node of a pool; ``None`` where the node is not known."""
        pool = self.pool(name)
        return None if pool is None else self.room_of(pool)

    def room_of(self, pool: Pool) -> NodeRoom | None:
        """That of a pool that need not be one of the stack's, such as one with a larger disk."""
        node, daemons = self._node(pool), self.cloud.daemon_pods
        if node is None:
            return None
        return NodeRoom(
            gpus=node.gpus,
            storage_gib=node.ephemeral_gib or inf,
            pods=inf if daemons is None else self.max_pods_per_node - daemons,
        )

    def _node(self, pool: Pool) -> NodeShape | None:
        try:
            return self.cloud.pool_node(pool, max_pods=self.max_pods_per_node)
        except (UnknownFact, ValueError):
            return None
