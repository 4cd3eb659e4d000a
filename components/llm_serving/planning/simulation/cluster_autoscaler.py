"""Which machines a cluster needs more or no longer: decisions of a cluster autoscaler, as functions of pods and nodes.

Kept from the real one: only pods that the scheduler marked unschedulable count, a new node must admit the
pod, several pods share one planned node, machines on their way are waited for, minimum and maximum hold over
all zones, zones are filled evenly, pools are tried in the order of the pod's ComputeClass, empty nodes go
after a while. Left out: consolidation of nodes that are not empty, and back-off in time after a stockout.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from llm_serving.planning.simulation import compute_class
from llm_serving.planning.simulation.node_pool import NodePool, pool_of, zone_of
from llm_serving.planning.simulation.objects import Object, items, member
from llm_serving.planning.simulation.quantities import parse_quantity
from llm_serving.planning.simulation.scheduling import REASON_NODE_AFFINITY, NodeInfo, rejection_reasons

REASON_MAX_SIZE = "max node group size reached"
REASON_STOCKOUT = "in backoff after failed scale-up"
_ENDED_PHASES = ("Succeeded", "Failed")


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

    nodes: list[NewNode] = field(default_factory=list[NewNode])
    triggered: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    fits: dict[str, str] = field(default_factory=dict[str, str])


def is_unschedulable(pod: Object) -> bool:
    """The scheduler has tried the pod and found no node for it."""
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        c["type"] == "PodScheduled" and c["status"] == "False" and c.get("reason") == "Unschedulable"
        for c in items(pod, "status", "conditions")
    )


def is_running_on_node(pod: Object) -> bool:
    """The pod is bound to a node and has not ended, so that its requests count there."""
    return bool(pod["spec"].get("nodeName")) and member(pod, "status").get("phase") not in _ENDED_PHASES


def is_daemon_set_pod(pod: Object) -> bool:
    """The pod belongs to its node and goes with it: of a DaemonSet, or a static pod."""
    return any(owner["kind"] in ("DaemonSet", "Node") for owner in items(pod, "metadata", "ownerReferences"))


def busy_nodes(pods: Iterable[Object]) -> set[str]:
    """Names of the nodes that run a pod which would have to go elsewhere."""
    return {pod["spec"]["nodeName"] for pod in pods if is_running_on_node(pod) and not is_daemon_set_pod(pod)}


def node_infos(nodes: Iterable[Object], pods: Iterable[Object]) -> list[NodeInfo]:
    """The cluster's nodes with the pods that run on them."""
    pods_by_node: dict[str, list[Object]] = {}
    for pod in pods:
        if is_running_on_node(pod):
            pods_by_node.setdefault(pod["spec"]["nodeName"], []).append(pod)
    return [NodeInfo.of_node(node, pods_by_node.get(node["metadata"]["name"], [])) for node in nodes]


def plan_scale_up(
    pods: Sequence[Object],
    nodes: Sequence[Object],
    pools: Sequence[NodePool],
    classes: Mapping[str, Object],
    misjudged: Iterable[str] = (),
) -> ScaleUp:
    """Decide which machines to add.

    Args:
        pods: every pod of the cluster.
        nodes: every node, also those that are not ready yet.
        pools: the wanted pools.
        classes: the ComputeClasses by name.
        misjudged: uids of pods that seemed to fit on a node for so long that the scheduler must know better.
    """
    plan = ScaleUp()
    pools = [pool for pool in pools if not pool.deleted]
    deleting = {node["metadata"]["name"] for node in nodes if node["metadata"].get("deletionTimestamp")}
    existing_nodes = [node for node in node_infos(nodes, pods) if node.name not in deleting]
    sizes = Counter(pool_of(node) or "" for node in nodes if node["metadata"]["name"] not in deleting)
    zone_sizes = Counter((pool_of(node) or "", zone_of(node)) for node in nodes)
    planned_nodes: list[NodeInfo] = []
    planned_pools: dict[str, str] = {}
    misjudged_uids = set(misjudged)
    for pod in sorted(filter(is_unschedulable, pods), key=_by_priority_and_age):
        uid = pod["metadata"]["uid"]
        all_nodes = [*existing_nodes, *planned_nodes]
        candidates = planned_nodes if uid in misjudged_uids else all_nodes
        target_node = next((node for node in candidates if not rejection_reasons(pod, node, all_nodes)), None)
        if target_node is not None:
            target_node.pods.append(pod)
            if target_node.name in planned_pools:
                plan.triggered[uid] = planned_pools[target_node.name]
            else:
                plan.fits[uid] = target_node.name
            continue
        reasons: Counter[str] = Counter()
        for pool in _pools_to_try(pod, pools, classes, reasons):
            zone, node = _plan_node(pod, pool, zone_sizes, all_nodes, reasons, f"planned-{len(planned_nodes)}")
            if node is None:
                continue
            if pool.stockout:
                reasons[REASON_STOCKOUT] += 1
                continue
            if sizes[pool.name] >= pool.max:
                reasons[REASON_MAX_SIZE] += 1
                continue
            node.pods.append(pod)
            planned_nodes.append(node)
            planned_pools[node.name] = pool.name
            plan.nodes.append(NewNode(pool.name, zone))
            plan.triggered[uid] = pool.name
            sizes[pool.name] += 1
            zone_sizes[pool.name, zone] += 1
            break
        else:
            plan.refused[uid] = reasons
    return plan


def _by_priority_and_age(pod: Object) -> tuple[int, str, str]:
    meta = pod["metadata"]
    return (-int(pod["spec"].get("priority") or 0), meta.get("creationTimestamp") or "", meta["uid"])


def _pools_to_try(
    pod: Object, pools: Sequence[NodePool], classes: Mapping[str, Object], reasons: Counter[str]
) -> list[NodePool]:
    """The pools that may help the pod, in the order of preference; adds to ``reasons`` why others may not."""
    class_name = member(pod, "spec", "nodeSelector").get(compute_class.LABEL)
    if class_name is None:
        # The least waste first: pools without GPUs, then small machines.
        return sorted(
            pools,
            key=lambda pool: (
                parse_quantity(pool.allocatable.get("nvidia.com/gpu", 0)),
                parse_quantity(pool.allocatable.get("cpu", 0)),
                pool.name,
            ),
        )
    definition = classes.get(class_name)
    if definition is None:
        reasons[f"ComputeClass {class_name!r} does not exist"] += 1
        return []
    preferred = compute_class.pools_in_order(pools, definition)
    reasons[REASON_NODE_AFFINITY] += len(pools) - len(preferred)
    return preferred


def _plan_node(
    pod: Object,
    pool: NodePool,
    zone_sizes: Mapping[tuple[str, str], int],
    all_nodes: Sequence[NodeInfo],
    reasons: Counter[str],
    name: str,
) -> tuple[str, NodeInfo | None]:
    """Zone and node of a machine that admits the pod, in the emptiest of the pool's zones that has one; ``None`` where
    no zone does, and then ``reasons`` gains those of the first zone.
    """
    first_reasons: list[str] = []
    for zone in sorted(pool.zones, key=lambda z: (zone_sizes.get((pool.name, z), 0), pool.zones.index(z))):
        node = NodeInfo(
            name=name,
            labels=pool.node_labels(name, zone),
            taints=pool.node_taints(),
            allocatable={resource: parse_quantity(amount) for resource, amount in pool.allocatable.items()},
        )
        rejections = rejection_reasons(pod, node, [*all_nodes, node])
        if not rejections:
            return zone, node
        first_reasons = first_reasons or rejections
    reasons.update(first_reasons)
    return "", None


def not_triggered_message(reasons: Counter[str]) -> str:
    """The reasons as the real autoscaler's event ``NotTriggerScaleUp`` tells them."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()) if count)
    return f"pod didn't trigger scale-up: {counts or 'there is no node pool'}"


def nodes_to_minimum(pool: NodePool, nodes: Sequence[Object]) -> list[NewNode]:
    """The machines that a pool with these nodes lacks to those that it keeps, spread over its zones."""
    if pool.deleted or pool.stockout:
        return []
    zone_sizes = Counter(zone_of(node) for node in nodes)
    added: list[NewNode] = []
    while len(nodes) + len(added) < pool.kept:
        zone = min(pool.zones, key=lambda z: (zone_sizes[z], pool.zones.index(z)))
        zone_sizes[zone] += 1
        added.append(NewNode(pool.name, zone))
    return added


def removable_nodes(
    pool: NodePool,
    nodes: Sequence[Object],
    pods: Iterable[Object],
    empty_since: Mapping[str, float],
    now: float,
    delay: float,
    reserved: Iterable[str] = (),
) -> list[str]:
    """Names of the pool's nodes that have been empty for ``delay`` seconds and are more than its minimum, newest first.

    Args:
        pool: the pool.
        nodes: its nodes.
        pods: every pod of the cluster.
        empty_since: since when each empty node is empty, by its name.
        now: the same clock.
        delay: seconds.
        reserved: nodes on which a waiting pod will be put.
    """
    in_use = busy_nodes(pods) | set(reserved)
    idle = [
        node
        for node in nodes
        if node["metadata"]["name"] not in in_use and now - empty_since.get(node["metadata"]["name"], now) >= delay
    ]
    idle.sort(key=lambda node: node["metadata"].get("creationTimestamp") or "", reverse=True)
    return [node["metadata"]["name"] for node in idle[: max(0, len(nodes) - pool.min)]]
