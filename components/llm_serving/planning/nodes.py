"""What a node offers to pods: the machine less what the cloud, the operating system and the kubelet keep.

The formulas are the published ones of GKE and EKS. They leave out daemon sets, whose share :mod:`.placement`
takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import LocalSsd, MachineType, UnknownFact
from llm_serving.spec import CapacityEntry, ExistingPoolSpec, PoolSpec
from llm_serving.spec.names import PositiveCount

MIB_PER_GIB = 1024
GIB_PER_GB = 1e9 / 2**30

KERNEL_SHARE = 0.03
"""Share of a machine's memory that Linux does not show. GKE's own example ("Plan GKE Standard node sizes")
has 13,498,416 KiB allocatable on a node of 16 GiB; with GKE's formula the node's capacity was 15.53 GiB, 2.9
% less than the machine's."""

EVICTION_GIB = 100 / MIB_PER_GIB
"""Hard eviction threshold ``memory.available`` of GKE and EKS."""

_GIB_BRACKETS = (4.0, 4.0, 8.0, 112.0, float("inf"))
_MEMORY_SHARES = (0.25, 0.20, 0.10, 0.06, 0.02)
_STREAMING_SHARES = (0.10, 0.08, 0.04, 0.024, 0.008)
_CPU_BRACKETS = (1.0, 1.0, 2.0, float("inf"))
_CPU_SHARES = (0.06, 0.01, 0.005, 0.0025)


class NodeShape(Frozen):
    """One node of a GPU pool as pods see it.

    Attributes:
        accelerator: GPU in the catalog.
        gpus: GPUs of one node.
        cpu: cores that pods can ask for, daemon sets included.
        memory_gib: memory that pods can ask for in GiB, daemon sets included.
        ephemeral_gib: ephemeral storage that pods can ask for in GiB; 0 where it is not known.
        local_ssd_gib: part of it that is local SSD.
        cloud: ``gcp``, ``aws`` or ``existing``; decides which GPUs are suggested where a model does not fit,
            and how long a node takes to start.
    """

    accelerator: str
    gpus: PositiveCount
    cpu: Annotated[float, Field(gt=0)]
    memory_gib: Annotated[float, Field(gt=0)]
    ephemeral_gib: Annotated[float, Field(ge=0)] = 0
    local_ssd_gib: Annotated[float, Field(ge=0)] = 0
    cloud: str = "existing"


@dataclass(frozen=True)
class Allocatable:
    """What pods can ask for on one node, daemon sets included.

    Attributes:
        cpu: cores, in steps of a thousandth.
        memory_gib: memory in GiB.
        ephemeral_gib: ephemeral storage in GiB.
        local_ssd_gib: the part of it that is local SSD; 0 where ephemeral storage is on the boot disk.
        pods: most pods on the node.
    """

    cpu: float
    memory_gib: float
    ephemeral_gib: float
    local_ssd_gib: float
    pods: int


def node_allocatable(
    cloud: str,
    machine_type: str,
    *,
    max_pods: int = 32,
    disk_gb: float = 200,
    local_ssd: bool | None = None,
    image_streaming: bool = True,
) -> Allocatable:
    """What pods can ask for on a node of this machine type.

    ``local_ssd``: put ephemeral storage on local SSD; ``None`` for "where the machine always has it".
    ``image_streaming``: GKE keeps more memory where container images are streamed; no meaning elsewhere.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
        ValueError: for a cloud without a formula.
    """
    machine = catalog.machine_type(cloud, machine_type)
    try:
        reserved_memory = _RESERVED_MEMORY[cloud](machine, max_pods, image_streaming)
        ephemeral = _EPHEMERAL[cloud]
    except KeyError:
        raise ValueError(f"no formula for nodes of {cloud!r}; known: {', '.join(_RESERVED_MEMORY)}") from None
    disks = _disks_used(machine, local_ssd)
    ssd_gib = machine.local_ssd_gib * disks / machine.local_ssd_disks if disks else 0.0
    storage = ephemeral(disk_gb * GIB_PER_GB, ssd_gib, disks)
    return Allocatable(
        cpu=round(machine.vcpus - _by_bracket(machine.vcpus, _CPU_BRACKETS, _CPU_SHARES), 3),
        memory_gib=round(_visible_gib(machine) - reserved_memory - EVICTION_GIB, 3),
        ephemeral_gib=round(storage, 1),
        local_ssd_gib=round(storage, 1) if disks else 0.0,
        pods=max_pods,
    )


def known_machine(cloud: str, entry: CapacityEntry) -> MachineType | None:
    """The machine of a capacity entry, or ``None`` where the catalog does not know it; a rule refuses it then."""
    try:
        return catalog.machine_type(cloud, entry.machine_type)
    except UnknownFact:
        return None


def machine_node(
    cloud: str,
    machine_type: str,
    *,
    max_pods: int = 32,
    disk_gb: float = 200,
    local_ssd: bool | None = None,
) -> NodeShape:
    """The node that a GPU machine becomes.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
        ValueError: for a machine without GPU.
    """
    machine = catalog.machine_type(cloud, machine_type)
    if machine.accelerator is None:
        raise ValueError(f"{machine_type} has no GPU")
    free = node_allocatable(cloud, machine_type, max_pods=max_pods, disk_gb=disk_gb, local_ssd=local_ssd)
    return NodeShape(
        accelerator=machine.accelerator,
        gpus=machine.gpus,
        cpu=free.cpu,
        memory_gib=free.memory_gib,
        ephemeral_gib=free.ephemeral_gib,
        local_ssd_gib=free.local_ssd_gib,
        cloud=cloud,
    )


def pool_node(cloud: str, pool: PoolSpec, *, max_pods: int = 32) -> NodeShape:
    """The least that every node of a pool offers: pods must fit whichever capacity entry the node comes from.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
        ValueError: for a machine without GPU.
    """
    nodes = [
        machine_node(cloud, entry.machine_type, max_pods=max_pods, disk_gb=pool.disk_gb, local_ssd=pool.local_ssd)
        for entry in pool.capacity
    ]
    return NodeShape(
        accelerator=nodes[0].accelerator,
        gpus=min(node.gpus for node in nodes),
        cpu=min(node.cpu for node in nodes),
        memory_gib=min(node.memory_gib for node in nodes),
        ephemeral_gib=min(node.ephemeral_gib for node in nodes),
        local_ssd_gib=min(node.local_ssd_gib for node in nodes),
        cloud=cloud,
    )


def existing_pool_node(pool: ExistingPoolSpec) -> NodeShape:
    """The node of a pool that is already there; its sizes are what the user says pods can ask for."""
    return NodeShape(accelerator=pool.accelerator, gpus=pool.gpus_per_node, cpu=pool.cpu, memory_gib=pool.memory_gib)


def gpu_resource(pool: PoolSpec | ExistingPoolSpec) -> str | None:
    """The extended resource by which a pool's accelerators are counted; ``None`` where they are not (a CPU).

    Raises:
        UnknownFact: for an accelerator that is not in the catalog.
    """
    given = pool.gpu_resource if isinstance(pool, ExistingPoolSpec) else None
    return given or catalog.accelerator(pool.accelerator).resource


def _visible_gib(machine: MachineType) -> float:
    return machine.memory_gib * (1 - KERNEL_SHARE)


def _disks_used(machine: MachineType, local_ssd: bool | None) -> int:
    wanted = machine.local_ssd is LocalSsd.BUNDLED if local_ssd is None else local_ssd
    return machine.local_ssd_disks if wanted else 0


def _gke_reserved_memory(machine: MachineType, _max_pods: int, image_streaming: bool) -> float:
    """GKE documentation: "Plan GKE Standard node sizes" and "Use Image streaming", memory reservation for
    it."""
    memory = _visible_gib(machine)
    if memory < 1:
        return 255 / MIB_PER_GIB
    kept = _by_bracket(memory, _GIB_BRACKETS, _MEMORY_SHARES)
    return kept + (_by_bracket(memory, _GIB_BRACKETS, _STREAMING_SHARES) if image_streaming else 0)


def _eks_reserved_memory(_machine: MachineType, max_pods: int, _image_streaming: bool) -> float:
    """EKS AMI, ``kubeReserved`` of nodeadm: 255 MiB and 11 MiB a pod."""
    return (255 + 11 * max_pods) / MIB_PER_GIB


def _gke_ephemeral(disk_gib: float, ssd_gib: float, disks: int) -> float:
    """GKE documentation, "Plan GKE Standard node sizes": of a boot disk 10 % for eviction and the least of 50
    %, 6 GiB + 35 % and 100 GiB for the system; of local SSDs 10 % and 50, 75 or 100 GiB for 1, 2 or more
    disks."""
    if disks:
        system = {1: 50.0, 2: 75.0}.get(disks, 100.0)
        return ssd_gib * 0.9 - system
    return disk_gib * 0.9 - min(disk_gib * 0.5, 6 + disk_gib * 0.35, 100.0)


def _eks_ephemeral(disk_gib: float, ssd_gib: float, disks: int) -> float:
    """EKS AMI: 1 GiB reserved, 10 % for eviction (``nodefs.available``)."""
    return (ssd_gib if disks else disk_gib) * 0.9 - 1


def _by_bracket(amount: float, brackets: tuple[float, ...], shares: tuple[float, ...]) -> float:
    """A share of the first part, another one of the next, as in an income tax."""
    total = 0.0
    for size, share in zip(brackets, shares, strict=True):
        part = min(amount, size)
        total += part * share
        amount -= part
    return total


_RESERVED_MEMORY: dict[str, Callable[[MachineType, int, bool], float]] = {
    "gcp": _gke_reserved_memory,
    "aws": _eks_reserved_memory,
}
_EPHEMERAL: dict[str, Callable[[float, float, int], float]] = {
    "gcp": _gke_ephemeral,
    "aws": _eks_ephemeral,
}
