"""Cores and memory of one engine instance on its node: how much it may have and how little it can live
with."""

from dataclasses import dataclass
from math import floor

from llm_serving.catalog import Device
from llm_serving.planning.nodes import NodeShape

DAEMON_CPU = 0.8
DAEMON_MEMORY_GIB = 1.5
"""Kept on every GPU node for daemon sets: network, DNS cache, logs, metrics, storage drivers, device plugin
and GPU metrics. An assumption on the safe side: the requests of GKE's own daemon sets add up to about 0.6
cores and 1 GiB."""


@dataclass(frozen=True)
class SidecarRequests:
    """What the containers beside the engine ask for, such as the model cache's driver: it comes out of the
    instance's part of the node.

    Attributes:
        cpu: cores.
        memory_gib: memory in GiB.
        storage_gib: what they write to the node's ephemeral storage, in GiB, beside cached weights.
        caches_weights: they keep a copy of the pod's weights there too.
    """

    cpu: float = 0
    memory_gib: float = 0
    storage_gib: float = 0
    caches_weights: bool = False

    def cached_gib(self, weights_gib: float) -> float:
        """Ephemeral storage of the node that they fill for an instance with these weights, in GiB."""
        return self.storage_gib + (weights_gib if self.caches_weights else 0)


NO_SIDECAR = SidecarRequests()


@dataclass(frozen=True)
class HostShare:
    """What one instance gets.

    Attributes:
        cpu: cores to request.
        memory_gib: memory, request and limit alike.
        shm_gib: size of ``/dev/shm``; counts towards the memory limit as it fills.
    """

    cpu: float
    memory_gib: float
    shm_gib: float


def host_share(node: NodeShape, gpus: int, sidecar: SidecarRequests = NO_SIDECAR) -> HostShare:
    """The instance's part of the node: as much of what daemon sets leave as it has of the GPUs, less its
    sidecar's, so that a node full of instances is a node that is exactly used."""
    part = gpus / node.gpus
    cpu = (node.cpu - DAEMON_CPU) * part - sidecar.cpu
    memory = (node.memory_gib - DAEMON_MEMORY_GIB) * part - sidecar.memory_gib
    return HostShare(
        cpu=max(0.0, floor(cpu * 10) / 10),
        memory_gib=max(0.0, floor(memory * 10) / 10),
        shm_gib=shared_memory_gib(gpus),
    )


IMAGE_GIB = 30
"""Ephemeral storage of a node for the engine's image, unpacked, and what engines write: beside what is cached of
weights. An assumption on the safe side: vLLM's image takes about 20 GiB."""


def image_storage_gib(node: NodeShape, gpus: int) -> float:
    """The instance's part of :data:`IMAGE_GIB`, as much as it has of the GPUs: pods request it, because the scheduler
    counts nothing for images. 0 where the node's storage is not known."""
    return IMAGE_GIB * gpus / node.gpus if node.ephemeral_gib else 0


def shared_memory_gib(gpus: int) -> float:
    """Size of ``/dev/shm``: 1 GiB for one GPU, one more for each GPU of a group, whose workers exchange
    messages and NCCL buffers there (Kubernetes' default of 64 MiB makes NCCL fail)."""
    return 1.0 if gpus == 1 else 1.0 + gpus


def least_memory_gib(device: Device, gpus: int) -> float:
    """Host memory without which an instance is killed while it starts: front end, workers (catalog, ``devices.csv``)
    and a full ``/dev/shm``. Weights need none of their own: safetensors are mapped, their pages belong to the page
    cache, and the kernel takes them back when the container comes near its limit."""
    return device.front_memory_gib + device.worker_memory_gib * gpus + shared_memory_gib(gpus)


STREAM_BUFFER_BYTES = 40 * 10**9
"""Host memory that the Run:ai streamer takes in each process that loads, unless it is told: as much as there are
weights, up to 40 GB (its documentation, "Environment variables", RUNAI_STREAMER_MEMORY_LIMIT); where processes share
the reading ("distributed"), without a limit."""


def stream_buffer_bytes(device: Device, gpus: int, host: HostShare) -> int:
    """Most that the streamer may buffer in each of an instance's processes on a node, in bytes: what their memory
    leaves beside what an instance cannot live without, and never more than the streamer takes by itself."""
    free_gib = max(0.0, host.memory_gib - least_memory_gib(device, gpus))
    return min(STREAM_BUFFER_BYTES, int(free_gib * 2**30 / gpus))


def least_cpu(device: Device, gpus: int) -> float:
    """Cores without which an instance crawls: those of the front end and scheduler, and of the worker of each GPU."""
    return device.front_cpu + device.worker_cpu * gpus
