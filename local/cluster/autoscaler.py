"""Which nodes a cluster needs more or no longer: decisions of a cluster autoscaler, as functions of what is
there.

Kept from the real one: only pods that the scheduler marked unschedulable count, a new node must admit the
pod, several pods share one planned node, machines on their way are waited for, minimum and maximum hold over
all zones, zones are filled evenly, pools are tried in the order of the pod's ComputeClass, empty nodes go
after a while. Left out: consolidation of nodes that are not empty, and back-off in time after a stockout.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.cluster import compute_class, fit
from local.cluster.fit import Place
from local.cluster.pools import NodePool, pool_of, zone_of
from local.cluster.quantity import quantity

Object = Mapping[str, Any]

MAX_SIZE = "max node group size reached"
STOCKOUT = "in backoff after failed scale-up"
_TEMPLATE = "planned"


@dataclass(frozen=True)
class NewNode:
    """A machine to ask the cloud for."""

    pool: str
    zone: str


@dataclass
class ScaleUp:
    """What to add, and what to tell the pods.

    Attributes:
        nodes: machines to add, in the order in which they were decided.
        triggered: uid of a pod to the pool whose new node will hold it.
        refused: uid of a pod to the reasons why no pool can help, one count a pool.
        fits: uid of a pod to the name of the node that has room already.
    """

    nodes: list[NewNode] = field(default_factory=list)
    triggered: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Counter[str]] = field(default_factory=dict)
    fits: dict[str, str] = field(default_factory=dict)


def unschedulable(pod: Object) -> bool:
    """The scheduler has looked at it and found no place."""
    status, spec = pod.get("status") or {}, pod["spec"]
    if spec.get("nodeName") or pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        c["type"] == "PodScheduled" and c["status"] == "False" and c.get("reason") == "Unschedulable"
        for c in status.get("conditions") or []
    )


def occupies(pod: Object) -> bool:
    """It takes room on its node."""
    return bool(pod["spec"].get("nodeName")) and (pod.get("status") or {}).get("phase") not in (
        "Succeeded",
        "Failed",
    )


def places(nodes: Iterable[Object], pods: Iterable[Object]) -> list[Place]:
    """The cluster's nodes with what is on them."""
    by_node: dict[str, list[Object]] = {}
    for pod in pods:
        if occupies(pod):
            by_node.setdefault(pod["spec"]["nodeName"], []).append(pod)
    return [Place.of_node(node, by_node.get(node["metadata"]["name"], [])) for node in nodes]


def scale_up(
    pods: Sequence[Object],
    nodes: Sequence[Object],
    pools: Sequence[NodePool],
    classes: Mapping[str, Object],
    mistaken: Iterable[str] = (),
) -> ScaleUp:
    """Decide which machines to add.

    Args:
        pods: every pod of the cluster.
        nodes: every node, also those that are not ready yet.
        pools: the wanted pools.
        classes: the ComputeClasses by name.
        mistaken: uids of pods that seemed to fit on a node for so long that the scheduler must know better.
    """
    plan = ScaleUp()
    pools = [pool for pool in pools if not pool.deleted]
    there = places(nodes, pods)
    going = {n["metadata"]["name"] for n in nodes if n["metadata"].get("deletionTimestamp")}
    there = [place for place in there if place.name not in going]
    sizes: Counter[str] = Counter(pool_of(node) or "" for node in nodes if node["metadata"]["name"] not in going)
    zones = Counter((pool_of(node) or "", zone_of(node)) for node in nodes)
    waiting = sorted((pod for pod in pods if unschedulable(pod)), key=_urgency)
    planned: list[Place] = []
    planned_pool: dict[str, str] = {}
    for pod in waiting:
        uid = pod["metadata"]["uid"]
        world = [*there, *planned]
        old = [] if uid in set(mistaken) else there
        home = next((p for p in [*old, *planned] if not fit.obstacles(pod, p, world)), None)
        if home is not None:
            home.pods.append(pod)
            if home.name in planned_pool:
                plan.triggered[uid] = planned_pool[home.name]
            else:
                plan.fits[uid] = home.name
            continue
        reasons: Counter[str] = Counter()
        for pool in _candidates(pod, pools, classes, reasons):
            zone, place = _new_place(pod, pool, zones, world, reasons, len(planned))
            if place is None:
                continue
            if pool.stockout:
                reasons[STOCKOUT] += 1
                continue
            if sizes[pool.name] >= pool.max:
                reasons[MAX_SIZE] += 1
                continue
            place.pods.append(pod)
            planned.append(place)
            planned_pool[place.name] = pool.name
            plan.nodes.append(NewNode(pool.name, zone))
            plan.triggered[uid] = pool.name
            sizes[pool.name] += 1
            zones[pool.name, zone] += 1
            break
        else:
            plan.refused[uid] = reasons
    return plan


def _urgency(pod: Object) -> tuple[int, str, str]:
    meta = pod["metadata"]
    return (-int(pod["spec"].get("priority") or 0), meta.get("creationTimestamp") or "", meta["uid"])


def _candidates(
    pod: Object, pools: Sequence[NodePool], classes: Mapping[str, Object], reasons: Counter[str]
) -> list[NodePool]:
    """The pools to try, the best first."""
    wanted = (pod["spec"].get("nodeSelector") or {}).get(compute_class.LABEL)
    if wanted is None:
        # The least waste first: pools without GPUs, then small machines.
        return sorted(
            (pool for pool in pools),
            key=lambda p: (
                quantity(p.allocatable.get("nvidia.com/gpu", 0)),
                quantity(p.allocatable.get("cpu", 0)),
                p.name,
            ),
        )
    definition = classes.get(wanted)
    if definition is None:
        reasons[f"ComputeClass {wanted!r} does not exist"] += 1
        return []
    chosen = compute_class.order(pools, definition)
    reasons[fit.SELECTOR] += len(pools) - len(chosen)
    return chosen


def _new_place(
    pod: Object,
    pool: NodePool,
    zones: Mapping[tuple[str, str], int],
    world: Sequence[Place],
    reasons: Counter[str],
    number: int,
) -> tuple[str, Place | None]:
    """A planned node of the pool that admits the pod, in the emptiest of its zones that does."""
    first: list[str] = []
    for zone in sorted(pool.zones, key=lambda z: (zones.get((pool.name, z), 0), pool.zones.index(z))):
        name = f"{_TEMPLATE}-{number}"
        place = Place(
            name=name,
            labels=pool.node_labels(name, zone),
            taints=pool.node_taints(),
            allocatable={k: quantity(v) for k, v in pool.allocatable.items()},
        )
        found = fit.obstacles(pod, place, [*world, place])
        if not found:
            return zone, place
        first = first or found
    reasons.update(first)
    return "", None


def refusal(reasons: Counter[str]) -> str:
    """The reasons as the real autoscaler's event tells them."""
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()) if count)
    return f"pod didn't trigger scale-up: {told}" if told else "pod didn't trigger scale-up: there is no node pool"


def missing(pool: NodePool, nodes: Sequence[Object]) -> list[NewNode]:
    """The machines that a pool lacks to its minimum, spread over its zones."""
    if pool.deleted or pool.stockout:
        return []
    zones = Counter(zone_of(node) for node in nodes)
    added: list[NewNode] = []
    while len(nodes) + len(added) < pool.min:
        zone = min(pool.zones, key=lambda z: (zones[z], pool.zones.index(z)))
        zones[zone] += 1
        added.append(NewNode(pool.name, zone))
    return added


def removable(
    pool: NodePool,
    nodes: Sequence[Object],
    pods: Sequence[Object],
    empty_since: Mapping[str, float],
    now: float,
    delay: float,
    promised: Iterable[str] = (),
) -> list[str]:
    """The nodes of a pool that have been empty for ``delay`` seconds and are more than its minimum, newest
    first.

    Args:
        pool: the pool.
        nodes: its nodes.
        pods: every pod of the cluster.
        empty_since: since when each empty node is empty.
        now: the same clock.
        delay: seconds.
        promised: nodes on which a waiting pod will be put.
    """
    busy = {pod["spec"]["nodeName"] for pod in pods if occupies(pod) and not of_daemon_set(pod)} | set(promised)
    idle = [
        node
        for node in nodes
        if node["metadata"]["name"] not in busy and now - empty_since.get(node["metadata"]["name"], now) >= delay
    ]
    idle.sort(key=lambda node: node["metadata"].get("creationTimestamp") or "", reverse=True)
    return [node["metadata"]["name"] for node in idle[: max(0, len(nodes) - pool.min)]]


def of_daemon_set(pod: Object) -> bool:
    """It belongs to its node and goes with it."""
    return any(owner["kind"] in ("DaemonSet", "Node") for owner in pod["metadata"].get("ownerReferences") or [])
