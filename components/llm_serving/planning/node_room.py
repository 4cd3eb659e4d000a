"""Which pods find room on the nodes of a pool, as the scheduler counts: GPUs, ephemeral storage and number of pods.

Cores and memory need no count: each instance gets the part of them that it has of the node's GPUs
(:mod:`llm_serving.planning.host`), so that pods whose GPUs find room have cores and memory too."""

from collections import Counter
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

    def holds(self, pod: PodSize) -> int:
        """How many pods of this size find room."""
        gpus = self.gpus // pod.gpus if pod.gpus else inf
        storage = self.storage_gib // pod.storage_gib if pod.storage_gib else inf
        return int(max(0, min(gpus, storage, self.pods, _MOST_PODS)))

    def without(self, pod: PodSize, count: int) -> "NodeRoom":
        """What is left beside so many of the pod."""
        return NodeRoom(self.gpus - count * pod.gpus, self.storage_gib - count * pod.storage_gib, self.pods - count)


_MOST_PODS = 10**9
"""Where a node has no bound: more than anything that is counted."""


def pods_of_instance(plan: ModelPlan) -> list[PodSize]:
    """The pods of one instance: one on each of its nodes."""
    return [PodSize(plan.gpus_per_node, plan.image_gib + plan.cached_gib)] * plan.nodes


def pods_of_fewest(model: ModelSpec, plans: Mapping[str, ModelPlan]) -> list[PodSize]:
    """The pods of a model's fewest instances of every release, without placeholders; plans by the release's version."""
    return [
        pod
        for instances in plan_replicas(model)
        for pod in pods_of_instance(plans[instances.version]) * instances.fewest
    ]


def pods_that_fit(pods: Sequence[PodSize], room: NodeRoom, nodes: int) -> int:
    """How many pods, largest first, find one of so many nodes with enough room (first fit)."""
    return _first_fit(pods, room, nodes)[0]


def nodes_that_hold(pods: Sequence[PodSize], room: NodeRoom) -> int:
    """The fewest nodes on which all pods find room (first fit).

    Raises:
        ValueError: a pod finds none on an empty node.
    """
    if not all(room.holds(pod) for pod in {*pods}):
        raise ValueError(f"a pod that no node holds: {max(pods)} on {room}")
    # First fit opens a node only where none before it has room: with more nodes it takes the same ones.
    return _first_fit(pods, room, len(pods))[1]


def _first_fit(pods: Sequence[PodSize], room: NodeRoom, nodes: int) -> tuple[int, int]:
    """How many pods find room, and how many nodes they take.

    Nodes with equal room are counted together, so that the steps depend on how many sizes there are, and not on how
    many pods and nodes.
    """
    runs: list[tuple[NodeRoom, int]] = [(room, nodes)]
    placed = 0
    for pod, count in sorted(Counter(pods).items(), reverse=True):
        left = count
        after: list[tuple[NodeRoom, int]] = []
        for free, number in runs:
            each = min(free.holds(pod), left)
            full = min(number, left // each) if each else 0
            rest = min(left - full * each, each) if full < number else 0
            after += [(free.without(pod, each), full), (free.without(pod, rest), 1 if rest else 0)]
            after.append((free, number - full - (1 if rest else 0)))
            left -= full * each + rest
        runs = [run for run in after if run[1]]
        placed += count - left
    return placed, sum(number for free, number in runs if free != room)


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
