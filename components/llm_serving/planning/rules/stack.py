"""What the rules look at: everything a stack asks for, in one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llm_serving import catalog
from llm_serving.planning.host import NO_SIDECAR, Sidecar
from llm_serving.planning.nodes import NodeShape, existing_pool_node, pool_node
from llm_serving.spec import (
    AddonsSpec,
    ClusterSpec,
    ExistingPoolSpec,
    LoaderSpec,
    ModelSpec,
    NetworkSpec,
    PoolSpec,
    ReleaseSpec,
    TeamSpec,
)


@dataclass(frozen=True)
class StackShape:
    """A stack's wishes. A part of a stack is one too: what is left out is not checked.

    Attributes:
        cloud: ``gcp``, ``aws`` or ``existing``.
        region: the cloud's region; empty for clusters that are already there.
        network: its ranges; ``None`` where the network is somebody else's.
        cluster: its settings; ``None`` where the cluster is somebody else's.
        pools: GPU pools.
        models: models to serve.
        releases: every release that exists, by model and version.
        teams: teams that share the cluster.
        loader: what fills the model cache; ``None`` where somebody else does.
        addons: what the cluster needs beside the models, and who brings it.
        sidecar: what the cloud's model cache puts beside every engine.
    """

    cloud: str
    region: str = ""
    network: NetworkSpec | None = None
    cluster: ClusterSpec | None = None
    pools: Sequence[PoolSpec | ExistingPoolSpec] = ()
    models: Sequence[ModelSpec] = ()
    releases: Mapping[tuple[str, str], ReleaseSpec] = field(default_factory=dict[tuple[str, str], ReleaseSpec])
    teams: Sequence[TeamSpec] = ()
    loader: LoaderSpec | None = None
    addons: AddonsSpec = field(default_factory=AddonsSpec)
    sidecar: Sidecar = NO_SIDECAR

    def pool(self, name: str) -> PoolSpec | ExistingPoolSpec | None:
        """The first pool of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def node(self, name: str) -> NodeShape | None:
        """The node of a pool, or ``None`` where the pool or a machine of it is not known; other rules say
        so."""
        pool = self.pool(name)
        if isinstance(pool, ExistingPoolSpec):
            return existing_pool_node(pool)
        if pool is None:
            return None
        try:
            return pool_node(self.cloud, pool, max_pods=self.cluster.max_pods_per_node if self.cluster else 32)
        except (catalog.UnknownFact, ValueError):
            return None


def most_nodes(pool: PoolSpec | ExistingPoolSpec) -> int:
    """Nodes of a pool when all of its capacity is used."""
    if isinstance(pool, ExistingPoolSpec):
        return pool.nodes
    return sum(entry.max for entry in pool.capacity)
