"""A cloud that sells machines: what a machine becomes as a node.

The formulas of what a node keeps for itself are each cloud's own, as it publishes them. They leave out daemon sets,
whose share :mod:`llm_serving.planning.host` takes.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping

from llm_serving import catalog
from llm_serving.catalog import LocalSsd, MachineType
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.gpu_sharing import share_gpus
from llm_serving.planning.nodes import DEFAULT_MAX_PODS, GIB_PER_GB, Allocatable, NodeShape, by_bracket
from llm_serving.planning.purchase_options import is_preemptible, is_queued
from llm_serving.spec import Pool, PoolSpec

KERNEL_SHARE = 0.03
"""Share of a machine's memory that Linux does not show. GKE's own example ("Plan GKE Standard node sizes")
has 13,498,416 KiB allocatable on a node of 16 GiB; with GKE's formula the node's capacity was 15.53 GiB, 2.9
% less than the machine's."""

EVICTION_GIB = 100 / 1024
"""Hard eviction threshold ``memory.available`` of GKE and EKS: 100 MiB."""

DEFAULT_DISK_GB = 200

_DISK_STEP_GB = 50
_LARGEST_DISK_GB = 10_000
"""Of the sizes of boot disks that are suggested."""

_CPU_BRACKETS = (1.0, 1.0, 2.0, float("inf"))
_CPU_SHARES = (0.06, 0.01, 0.005, 0.0025)
"""Of the cores, GKE and EKS keep the same."""


class MachineCloud(Cloud):
    """Nodes are machines of the catalog.

    Attributes:
        kernel_share: share of a machine's memory that Linux does not show.
    """

    kernel_share: float = KERNEL_SHARE

    @abstractmethod
    def reserved_memory_gib(self, machine: MachineType, max_pods: int, image_streaming: bool) -> float:
        """Memory that the operating system and the kubelet keep, in GiB."""

    @abstractmethod
    def ephemeral_gib(self, disk_gib: float, ssd_gib: float, disks: int) -> float:
        """Ephemeral storage that pods can ask for, in GiB: on ``disks`` local SSDs of together ``ssd_gib``, or, where
        there are none, on the boot disk."""

    @abstractmethod
    def notice_seconds(self, pool: Pool) -> int:
        """Time that pods of a spot node of ``pool`` get from the cloud's notice to their end."""

    def visible_gib(self, machine: MachineType) -> float:
        """Memory of a machine that Linux shows, in GiB."""
        return machine.memory_gib * (1 - self.kernel_share)

    def spot_notice_seconds(self, pool: Pool) -> int | None:
        """That of the pool's spot capacity, where it has some."""
        return self.notice_seconds(pool) if is_preemptible(pool) else None

    def node_allocatable(
        self,
        machine_type: str,
        *,
        max_pods: int = DEFAULT_MAX_PODS,
        disk_gb: float = DEFAULT_DISK_GB,
        local_ssd: bool | None = None,
        image_streaming: bool = True,
    ) -> Allocatable:
        """What pods can ask for on a node of this machine type.

        Args:
            machine_type: the cloud's name of the machine.
            max_pods: most pods on the node.
            disk_gb: size of the boot disk in GB.
            local_ssd: put ephemeral storage on local SSD; ``None`` for "where the machine always has it".
            image_streaming: container images are streamed, for which GKE keeps more memory.

        Raises:
            UnknownFact: for a machine type that is not in the catalog.
        """
        machine = catalog.machine_type(self.name, machine_type)
        disks = _disks_used(machine, local_ssd)
        ssd_gib = machine.local_ssd_gib * disks / machine.local_ssd_disks if disks else 0.0
        storage = self.ephemeral_gib(disk_gb * GIB_PER_GB, ssd_gib, disks)
        reserved = self.reserved_memory_gib(machine, max_pods, image_streaming)
        return Allocatable(
            cpu=round(machine.vcpus - reserved_cores(machine), 3),
            memory_gib=round(self.visible_gib(machine) - reserved - EVICTION_GIB, 3),
            ephemeral_gib=round(storage, 1),
            local_ssd_gib=round(storage, 1) if disks else 0.0,
            pods=max_pods,
        )

    def machine_node(
        self,
        machine_type: str,
        *,
        max_pods: int = DEFAULT_MAX_PODS,
        disk_gb: float = DEFAULT_DISK_GB,
        local_ssd: bool | None = None,
    ) -> NodeShape:
        """The node that a GPU machine becomes.

        Raises:
            UnknownFact: for a machine type that is not in the catalog.
            ValueError: for a machine without GPU.
        """
        machine = catalog.machine_type(self.name, machine_type)
        if machine.accelerator is None:
            raise ValueError(f"{machine_type} has no GPU")
        free = self.node_allocatable(machine_type, max_pods=max_pods, disk_gb=disk_gb, local_ssd=local_ssd)
        return NodeShape(
            accelerator=machine.accelerator,
            gpus=machine.gpus,
            cpu=free.cpu,
            memory_gib=free.memory_gib,
            ephemeral_gib=free.ephemeral_gib,
            local_ssd_gib=free.local_ssd_gib,
            cloud=self.name,
        )

    def pool_node(self, pool: Pool, *, max_pods: int = DEFAULT_MAX_PODS) -> NodeShape:
        """The smallest of each quantity over the pool's capacity entries."""
        if not isinstance(pool, PoolSpec):
            raise ValueError(f"pool {pool.name} is of nodes that {self.name} does not sell")
        nodes = [
            self.machine_node(entry.machine_type, max_pods=max_pods, disk_gb=pool.disk_gb, local_ssd=pool.local_ssd)
            for entry in pool.capacity
        ]
        node = NodeShape(
            accelerator=nodes[0].accelerator,
            gpus=min(node.gpus for node in nodes),
            cpu=min(node.cpu for node in nodes),
            memory_gib=min(node.memory_gib for node in nodes),
            ephemeral_gib=min(node.ephemeral_gib for node in nodes),
            local_ssd_gib=min(node.local_ssd_gib for node in nodes),
            queued=is_queued(pool),
            cloud=self.name,
        )
        return share_gpus(node, pool.sharing)

    def larger_storage(self, pool: Pool, is_enough: Callable[[Pool], bool]) -> str:
        """Local SSD where every machine can have it, and a boot disk that is just large enough."""
        if not isinstance(pool, PoolSpec) or self.pool_node(pool).local_ssd_gib:
            return ""
        machines = [self.machine(entry) for entry in pool.capacity]
        can_have_ssd = all(machine is not None and machine.local_ssd is not LocalSsd.NONE for machine in machines)
        sizes = range(pool.disk_gb + _DISK_STEP_GB, _LARGEST_DISK_GB + 1, _DISK_STEP_GB)
        size = next((size for size in sizes if is_enough(pool.model_copy(update={"disk_gb": size}))), None)
        with_ssd = pool.model_copy(update={"local_ssd": True})
        hints = ["localSsd: true"] if can_have_ssd and is_enough(with_ssd) else []
        hints += [] if size is None else [f"diskGb: {size}"]
        return f"{', or '.join(hints)} in the pool" if hints else ""

    def gpu_nodes(self) -> Mapping[str, NodeShape]:
        """Every GPU machine of the catalog, with the boot disk that a pool has by default."""
        machines = catalog.machine_types(self.name)
        return {machine.name: self.machine_node(machine.name) for machine in machines if machine.accelerator}


def reserved_cores(machine: MachineType) -> float:
    """Cores that the operating system and the kubelet keep."""
    return by_bracket(machine.vcpus, _CPU_BRACKETS, _CPU_SHARES)


def _disks_used(machine: MachineType, local_ssd: bool | None) -> int:
    wanted = machine.local_ssd is LocalSsd.BUNDLED if local_ssd is None else local_ssd
    return machine.local_ssd_disks if wanted else 0
