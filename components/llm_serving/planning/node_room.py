"""Which pods find room on the nodes of a pool, as the scheduler counts: GPUs, ephemeral storage and number of pods.

Cores and memory need no count: each instance gets the part of them that it has of the node's GPUs
(:mod:`llm_serving.planning.host`), so that pods whose GPUs find room have cores and memory too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from llm_serving.planning.cost import NodesInUse
from llm_serving.planning.placement import ModelPlan
from llm_serving.planning.replicas import plan_replicas
from llm_serving.spec import ModelSpec


@dataclass(frozen=True, order=True)
class PodSize:
    """What a pod takes of a node that the pods of other models may want too.

    Attributes:
        gpus: GPUs.
        storage_gib: ephemeral storage in GiB: cached weights, and its part of images.
    """

    gpus: int
    storage_gib: float = 0


@dataclass(frozen=True)
class NodeRoom:
    """What pods of models find on an empty node.

    Attributes:
        gpus: GPUs.
        storage_gib: ephemeral storage in GiB; infinite where it is not known.
        pods: pods; infinite where it is not known.
    """

    gpus: int
    storage_gib: float = inf
    pods: float = inf

    def holds(self, pod: PodSize) -> bool:
        """Whether the pod finds room."""
        return pod.gpus <= self.gpus and pod.storage_gib <= self.storage_gib and self.pods >= 1

    def without(self, pod: PodSize) -> "NodeRoom":
        """What is left beside the pod."""
        return NodeRoom(self.gpus - pod.gpus, self.storage_gib - pod.storage_gib, self.pods - 1)


def pods_of_instance(plan: ModelPlan) -> list[PodSize]:
    """The pods of one instance: one on each of its nodes."""
    return [PodSize(plan.gpus_per_node, plan.image_gib + plan.cached_gib)] * plan.nodes


def pods_of_fewest(model: ModelSpec, plans: Mapping[str, ModelPlan]) -> list[PodSize]:
    """The pods of a model's fewest instances of every release, without placeholders; plans by the release's version."""
    return [
        pod
        for instances in plan_replicas(model)
        for pod in pods_of_instance(plans[instances.version]) * instances.replicas
    ]


def pods_that_fit(pods: Sequence[PodSize], room: NodeRoom, nodes: int) -> int:
    """How many pods, largest first, find one of so many nodes with enough room (first fit)."""
    free = [room] * nodes
    count = 0
    for pod in sorted(pods, reverse=True):
        slot = next((number for number, left in enumerate(free) if left.holds(pod)), None)
        if slot is None:
            continue
        free[slot] = free[slot].without(pod)
        count += 1
    return count


def nodes_that_hold(pods: Sequence[PodSize], room: NodeRoom) -> int:
    """The fewest nodes on which all pods find room (first fit).

    Raises:
        ValueError: a pod finds none on an empty node.
    """
    if not all(room.holds(pod) for pod in pods):
        raise ValueError(f"a pod that no node holds: {max(pods)} on {room}")
    return next(nodes for nodes in range(len(pods) + 1) if pods_that_fit(pods, room, nodes) == len(pods))


def nodes_in_use(models: Iterable[tuple[ModelSpec, Mapping[str, ModelPlan]]], room: NodeRoom) -> NodesInUse:
    """Nodes of a pool that the fewest instances of its models, and their placeholders, take; plans by the release's
    version.

    Raises:
        ValueError: a pod finds no room on an empty node.
    """
    base, pods = list[PodSize](), list[PodSize]()
    for model, plans in models:
        pods += pods_of_fewest(model, plans)
        pods += pods_of_instance(plans[model.releases.stable]) * model.warm_pool.placeholders
        for instances in plan_replicas(model):
            base += pods_of_instance(plans[instances.version]) * instances.base
    return NodesInUse(base=nodes_that_hold(base, room), all=nodes_that_hold(pods, room))


def shortage(pods: Sequence[PodSize], room: NodeRoom, nodes: int) -> str:
    """Which of a node's resources is too small, where not all pods fit: ``GPUs``, ``storage`` or ``pods``."""
    if pods_that_fit(pods, NodeRoom(room.gpus), nodes) < len(pods):
        return "GPUs"
    return "storage" if pods_that_fit(pods, replace(room, pods=inf), nodes) < len(pods) else "pods"
