"""GPU pools: capacity of one kind of GPU, in order of preference."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.names import Count, PoolName, PositiveCount
from llm_serving.spec.toleration import Toleration


class Market(StrEnum):
    """On which terms a cloud sells a machine."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVATION = "reservation"
    FLEX_START = "flex-start"


NON_PREEMPTIBLE_MARKETS = (Market.ON_DEMAND, Market.RESERVATION)
"""Capacity that is not taken away."""


class CapacityEntry(Frozen):
    """One kind of capacity of a pool. Counts are nodes of the whole pool, not per zone.

    Attributes:
        market: on which terms.
        machine_type: the cloud's name of the machine.
        min: fewest nodes.
        max: most nodes.
        zones: zones to look in; empty for the cluster's zones in which the machine exists.
        reservation: name of the reservation to consume; needed by ``reservation`` and refused elsewhere.
    """

    market: Market
    machine_type: str
    min: Count = 0
    max: PositiveCount
    zones: tuple[str, ...] = ()
    reservation: str | None = None


class PoolSpec(Frozen):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node.

    Attributes:
        name: name of the pool, and of the label that pods select.
        accelerator: the GPU's name in the catalog, for example ``H100-80GB``.
        capacity: what to use, most preferred first.
        local_ssd: use the machine's local SSD for caches; ``None`` for "where the machine always has it".
        disk_gb: size of the boot disk in GB; images of inference engines are large.
        labels: more labels for the nodes.
        idle_minutes: how long a node stays after its last pod: longer than the pause between two peaks of a busy day.
        return_to_preferred: move instances back as soon as more preferred capacity can be had. Each move ends an
            instance and costs a cold start; without it they go back when they are next started.
    """

    name: PoolName
    accelerator: str
    capacity: Annotated[tuple[CapacityEntry, ...], Field(min_length=1)]
    local_ssd: bool | None = None
    disk_gb: Annotated[int, Field(ge=50, le=65536)] = 200
    labels: dict[str, str] = {}
    idle_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    return_to_preferred: bool = False

    @property
    def max_nodes(self) -> int:
        """Nodes when all of its capacity is used."""
        return sum(entry.max for entry in self.capacity)

    @property
    def gpu_resource(self) -> None:
        """The extended resource to ask for is the accelerator's own (catalog)."""
        return None


class ExistingPoolSpec(Frozen):
    """A pool of nodes that are already there: on-premises machines, or a cluster that somebody else runs.

    Attributes:
        name: name of the pool.
        accelerator: the accelerator's name in the catalog, for example ``RTX-A6000``.
        gpus_per_node: accelerators of one node; all nodes of a pool have the same number. Of a CPU: into how many parts
            a node is divided, each for one instance.
        nodes: how many nodes there are.
        cpu: cores that pods can use on one node.
        memory_gib: memory that pods can use on one node, in GiB.
        node_selector: labels of the nodes.
        tolerations: taints of the nodes that pods must tolerate, as core/v1 tolerations.
        gpu_resource: extended resource to ask for; ``None`` for the accelerator's own (catalog).
    """

    name: PoolName
    accelerator: str
    gpus_per_node: PositiveCount = 1
    nodes: PositiveCount = 1
    cpu: Annotated[float, Field(gt=0)]
    memory_gib: Annotated[float, Field(gt=0)]
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    gpu_resource: str | None = None

    @property
    def capacity(self) -> tuple[CapacityEntry, ...]:
        """Nothing of it is bought."""
        return ()

    @property
    def labels(self) -> dict[str, str]:
        """Nothing labels nodes that are already there."""
        return {}

    @property
    def local_ssd(self) -> None:
        """Which disks a node has is its owner's."""
        return None

    @property
    def max_nodes(self) -> int:
        """The nodes that are there."""
        return self.nodes


Pool = PoolSpec | ExistingPoolSpec
"""A pool wherever it is; ``capacity`` is empty where the stack buys none of its nodes."""
