"""The shape of a node as pods see it: the machine less what the cloud, the operating system and the kubelet keep.

How much that is, each cloud says (:mod:`llm_serving.planning.clouds`).
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.spec import Pool
from llm_serving.spec.names import PositiveCount

GIB_PER_GB = 1e9 / 2**30

DEFAULT_MAX_PODS = 32
"""Pods a node where a cluster does not say."""


class NodeShape(Frozen):
    """One node of the pool as pods see it.

    One node of a GPU pool as pods see it.
    """

    accelerator: str
    """GPU in the catalog, for example `H100-80GB`."""
    gpus: PositiveCount
    """GPUs of one node that pods can ask for: whole ones, or the parts of shared ones."""
    partition: str | None = None
    """MIG profile of the instances into which its GPUs are divided; whole GPUs if left out."""
    clients: PositiveCount = 1
    """Pods that take turns on each of its GPUs; 1 by default."""
    cpu: Annotated[float, Field(gt=0)]
    """Cores that pods can ask for, daemon sets included."""
    memory_gib: Annotated[float, Field(gt=0)]
    """Memory that pods can ask for in GiB, daemon sets included."""
    ephemeral_gib: Annotated[float, Field(ge=0)] = 0
    """Ephemeral storage that pods can ask for in GiB; 0 where it is not known."""
    local_ssd_gib: Annotated[float, Field(ge=0)] = 0
    """Part of it that is local SSD."""
    queued: bool = False
    """Nodes of the pool may come from a queue that names no end, as flex-start's does."""
    cloud: str = "existing"
    """`gcp`, `aws` or `existing`; decides what is suggested where a model does not fit.

    Name of the cloud that the node is of (:func:`llm_serving.planning.clouds.cloud_named`).
    """

    @property
    def is_shared(self) -> bool:
        """Whether what a pod asks for is a part of a GPU."""
        return self.partition is not None or self.clients > 1

    @property
    def gpu_label(self) -> str:
        """What a pod asks for, as people read it: ``L4``, ``L4 shared by 4``, ``A100-40GB 1g.10gb``."""
        if self.partition is not None:
            return f"{self.accelerator} {self.partition}"
        return f"{self.accelerator} shared by {self.clients}" if self.clients > 1 else self.accelerator


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


def gpu_resource(pool: Pool) -> str | None:
    """The extended resource by which a pool's accelerators are counted; ``None`` where they are not (a CPU).

    Raises:
        UnknownFact: for an accelerator that is not in the catalog.
    """
    return pool.gpu_resource or catalog.accelerator(pool.accelerator).resource


def by_bracket(amount: float, brackets: tuple[float, ...], shares: tuple[float, ...]) -> float:
    """A share of the first part, another one of the next, as in an income tax."""
    total = 0.0
    for size, share in zip(brackets, shares, strict=True):
        part = min(amount, size)
        total += part * share
        amount -= part
    return total
