"""In which order a workload's pools are tried: GKE's ComputeClass.

Source: https://cloud.google.com/kubernetes-engine/docs/reference/crds/computeclass. Each entry of
``spec.priorities`` describes machines; a pool is matched against it by its name or by the labels that GKE
puts on its nodes. Not simulated: creation of pools by GKE itself (``nodePoolAutoCreation``) and moving back to a better
choice later (``activeMigration``).
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from llm_serving.planning.simulation.node_pool import NodePool
from llm_serving.planning.simulation.objects import Object, items, member

LABEL = "cloud.google.com/compute-class"
API_VERSION, KIND = "cloud.google.com/v1", "ComputeClass"


def _label(name: str) -> Callable[[NodePool, Any], bool]:
    return lambda pool, wanted: pool.labels.get(name) == str(wanted)


def _flag(name: str) -> Callable[[NodePool, Any], bool]:
    return lambda pool, wanted: (pool.labels.get(name) == "true") == bool(wanted)


def _gpu(pool: NodePool, wanted: Object) -> bool:
    """``count`` is of the machine's GPUs, however many pods share each of them."""
    count = wanted.get("count")
    has = pool.labels.get("cloud.google.com/gke-accelerator-count", pool.capacity.get("nvidia.com/gpu"))
    return pool.labels.get("cloud.google.com/gke-accelerator") == wanted.get("type") and (
        count is None or str(has) == str(count)
    )


def _reservation(pool: NodePool, wanted: Object) -> bool:
    names = {str(item.get("name")) for item in items(wanted, "specific")}
    return not names or pool.labels.get("cloud.google.com/reservation-name") in names


def _location(pool: NodePool, wanted: Object) -> bool:
    zones = cast(Sequence[str] | None, wanted.get("zones"))
    return not zones or not set(zones).isdisjoint(pool.zones)


_MATCHERS: dict[str, Callable[[NodePool, Any], bool]] = {
    "nodepools": lambda pool, wanted: pool.name in wanted,
    "machineType": _label("node.kubernetes.io/instance-type"),
    "machineFamily": _label("cloud.google.com/machine-family"),
    "spot": _flag("cloud.google.com/gke-spot"),
    "gpu": _gpu,
    "reservations": _reservation,
    "location": _location,
}
"""How each field of a priority is matched. Fields that describe no machine of ours (storage, nodeSystemConfig
and the like) do not choose between pools.
"""


def pools_in_order(pools: Sequence[NodePool], compute_class: Object) -> list[NodePool]:
    """The pools of a class in order of preference. Those that match no priority come last, or not at all.

    ``whenUnsatisfiable`` is ``DoNotScaleUp`` where it is missing, as on GKE from 1.33 on.
    """
    spec = member(compute_class, "spec")
    own = [pool for pool in pools if pool.compute_class == compute_class["metadata"]["name"]]
    ordered: list[NodePool] = []
    for priority in items(spec, "priorities"):
        ordered += [pool for pool in own if pool not in ordered and _matches(pool, priority)]
    if spec.get("whenUnsatisfiable", "DoNotScaleUp") == "ScaleUpAnyway":
        ordered += [pool for pool in own if pool not in ordered]
    return ordered


def _matches(pool: NodePool, priority: Object) -> bool:
    known = [(matcher, priority[name]) for name, matcher in _MATCHERS.items() if name in priority]
    return bool(known) and all(matcher(pool, wanted) for matcher, wanted in known)
