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
    """

    cpu: float = 0
    memory_gib: float = 0


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


def shared_memory_gib(gpus: int) -> float:
    """Size of ``/dev/shm``: 1 GiB for one GPU, one more for each GPU of a group, whose workers exchange
    messages and NCCL buffers there (Kubernetes' default of 64 MiB makes NCCL fail)."""
    return 1.0 if gpus == 1 else 1.0 + gpus


def least_memory_gib(device: Device, gpus: int) -> float:
    """Host memory without which an instance is killed while it starts: front end, workers (catalog, ``devices.csv``)
    and a full ``/dev/shm``. Weights need none of their own: safetensors are mapped, their pages belong to the page
    cache, and the kernel takes them back when the container comes near its limit."""
    return device.front_memory_gib + device.worker_memory_gib * gpus + shared_memory_gib(gpus)


def least_cpu(device: Device, gpus: int) -> float:
    """Cores without which an instance crawls: those of the front end and scheduler, and of the worker of each GPU."""
    return device.front_cpu + device.worker_cpu * gpus
