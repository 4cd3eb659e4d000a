"""GPU pools: capacity of one kind of GPU, in order of preference."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import repaired
from llm_serving.spec.kubernetes import ExtendedResource, LabelKey, LabelValue
from llm_serving.spec.names import MAX_COUNT, Count, PoolName, PositiveCount
from llm_serving.spec.toleration import Toleration


class Market(StrEnum):
    """On which terms a cloud sells a machine."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVATION = "reservation"
    FLEX_START = "flex-start"
    CAPACITY_BLOCK = "capacity-block"


NON_PREEMPTIBLE_MARKETS = (Market.ON_DEMAND, Market.RESERVATION)
"""Capacity that is not taken away."""

RESERVED_MARKETS = (Market.RESERVATION, Market.CAPACITY_BLOCK)
"""Capacity that is paid for before any node starts; an entry names its reservation."""


_NAME = "[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_RESERVATION = re.compile(
    f"(projects/[a-z0-9.:-]+/reservations/)?{_NAME}(/reservationBlocks/{_NAME}(/reservationSubBlocks/{_NAME})?)?"
)
"""A block of a reservation is named behind it (GKE documentation, "Consuming reserved zonal resources")."""


def _check_reservation(value: str) -> str:
    if not _RESERVATION.fullmatch(value):
        reason = "not the name of a reservation: up to 63 lower-case letters, digits and '-', beginning with a letter"
        near = [text for text in repaired(value) if _RESERVATION.fullmatch(text)][:1]
        shared = "its name; one of another project: projects/<project>/reservations/<name>"
        hint = Suggestion(values=near) if near else Suggestion(shared, needs=Needs.FACT)
        raise ProblemsError([Problem("", value, reason, hint)])
    return value


ReservationName = Annotated[str, AfterValidator(_check_reservation)]


class SharingStrategy(StrEnum):
    """How several pods share a whole GPU."""

    TIME_SHARING = "time-sharing"


def _strategy(value: object) -> object:
    if value == "mps":
        reason = "pods reach the MPS daemon by hostIPC, which Pod Security restricted, that of every team, forbids"
        raise ProblemsError([Problem("", value, reason, Suggestion(values=[SharingStrategy.TIME_SHARING.value]))])
    return value


class SharingSpec(Frozen):
    """How several pods share each GPU of a pool: `partition`, or `strategy` with `clients`."""

    partition: Annotated[str, Field(max_length=20)] | None = None
    """MIG profile of the instances into which every GPU is divided, one for each pod, for example `1g.10gb`."""
    strategy: Annotated[SharingStrategy | None, BeforeValidator(_strategy)] = None
    """`time-sharing`: pods take turns on a whole GPU, and divide its memory.

    Nothing but the engines' own settings keeps a pod from the memory of the others.
    """
    clients: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None
    """Pods that share a GPU with `strategy`: 2 or more, on GKE at most 48.

    On a cluster that is there already its device plugin has the same number.
    """


class CapacityEntry(Frozen):
    """One kind of capacity of a pool. Counts are nodes of the whole pool, not per zone."""

    market: Market
    """On which terms: `on-demand`, `spot`, `reservation`, `flex-start` or `capacity-block`.

    ``flex-start`` is Google Cloud's, ``capacity-block`` AWS's: capacity for a time that was booked ahead."""
    machine_type: str
    """The cloud's name of the machine."""
    min: Count = 0
    """Nodes that stay once they are there; none is added to reach it.

    GKE's autoscaler heeds it when it removes nodes only (kubernetes/autoscaler#2288). Nodes come with the first pods
    that ask for them; ``warmPool.placeholders`` of a model hold some ready.
    """
    max: PositiveCount
    """Most nodes."""
    zones: tuple[str, ...] = ()
    """Zones to look in; those of the cluster in which the machine exists if left out.

    Empty for the cluster's zones in which the machine exists.
    """
    reservation: ReservationName | None = None
    """Name of the reservation to consume.

    Needed by ``reservation`` and ``capacity-block`` and refused elsewhere.
    """


class PoolSpec(Frozen):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node."""

    name: PoolName
    """Name of the pool, and of the label that pods select."""
    accelerator: str
    """The GPU's name in the catalog, for example `H100-80GB`."""
    capacity: Annotated[tuple[CapacityEntry, ...], Field(min_length=1)]
    """What to use, most preferred first."""
    local_ssd: bool | None = None
    """Use the machine's local SSD for caches; where the machine always has it if left out."""
    disk_gb: Annotated[int, Field(ge=50, le=65536)] = 200
    """Size of the boot disk in GB.

    Images of inference engines are large.
    """
    sharing: SharingSpec | None = None
    """How several pods share each GPU; a GPU is one pod's alone if left out."""
    labels: dict[LabelKey, LabelValue] = {}
    """More labels for the nodes."""
    idle_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    """How long a node stays after its last pod; 10 by default.

    How long a node stays after its last pod: longer than the pause between two peaks of a busy day.
    """
    return_to_preferred: bool = False
    """Move instances back as soon as more preferred capacity can be had, at the price of a cold start each; false by
    default.

    Each move ends an instance and costs a cold start; without it they go back when they are next started.
    """

    @property
    def max_nodes(self) -> int:
        """Nodes when all of its capacity is used."""
        return sum(entry.max for entry in self.capacity)

    @property
    def gpu_resource(self) -> None:
        """The extended resource to ask for is the accelerator's own (catalog)."""
        return None


class ExistingPoolSpec(Frozen):
    """A pool of nodes that are already there.

    A pool of nodes that are already there: on-premises machines, or a cluster that somebody else runs.
    """

    name: PoolName
    """Name of the pool."""
    accelerator: str
    """The accelerator's name in the catalog, for example `RTX-A6000`."""
    gpus_per_node: PositiveCount = 1
    """Accelerators of one node; all nodes of a pool have the same number. 1 by default.

    Of a CPU: into how many parts a node is divided, each for one instance.
    """
    nodes: PositiveCount = 1
    """How many nodes there are; 1 by default."""
    cpu: Annotated[float, Field(gt=0, le=4096)]
    """Cores that pods can use on one node."""
    memory_gib: Annotated[float, Field(gt=0, le=128 * 1024)]
    """Memory that pods can use on one node, in GiB."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels of the nodes."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of the nodes that pods must tolerate.

    Taints of the nodes that pods must tolerate, as core/v1 tolerations.
    """
    sharing: SharingSpec | None = None
    """How the owner's device plugin shares each GPU among pods; a GPU is one pod's alone if left out.

    With MIG its strategy `single`, so that instances are asked for as `gpu_resource` like whole GPUs.
    """
    gpu_resource: ExtendedResource | None = None
    """Extended resource to ask for; left out: the accelerator's own, for example `nvidia.com/gpu`.

    ``None`` for the accelerator's own (catalog).
    """

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
