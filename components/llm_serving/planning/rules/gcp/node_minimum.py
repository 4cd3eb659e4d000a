"""``capacity[].min`` on GKE: how far a pool shrinks, not how many nodes it starts with."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.clouds.gcp import initial_nodes_per_zone
from llm_serving.planning.node_room import nodes_in_use
from llm_serving.planning.rules.models import Plans, plans_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.zones import zones_of_entry
from llm_serving.spec.gcp import GcpPoolSpec


def note_node_minimum(stack: StackShape) -> Iterator[Problem]:
    """Minima that nothing fills: GKE's autoscaler heeds them when it removes nodes and adds none to reach them
    (terraform-google-kubernetes-engine#1517, kubernetes/autoscaler#2288)."""
    plans, _ = plans_of(stack)
    for index, pool in enumerate(stack.gcp.pools):
        if _nodes_in_use(stack, pool, plans) >= sum(entry.min for entry in pool.capacity):
            continue
        for number, entry in enumerate(pool.capacity):
            machine = stack.cloud.machine(entry)
            if machine is None:
                continue
            zones = zones_of_entry(entry, machine, stack.zones)
            started = len(zones) * initial_nodes_per_zone(entry.min, len(zones))
            if zones and started < entry.min:
                reason = (
                    f"the pool starts with {started} nodes, as many in each of {', '.join(zones)}, and GKE adds "
                    "none to reach a minimum: it keeps those that pods have asked for"
                )
                hint = Suggestion("warmPool.placeholders of a model, or fewer zones in the entry", needs=Needs.CHOICE)
                yield Problem(f"pools[{index}].capacity[{number}].min", entry.min, reason, hint)


def _nodes_in_use(stack: StackShape, pool: GcpPoolSpec, plans: Plans) -> int:
    """Nodes that pods ask for without any demand."""
    room = stack.room_of(pool)
    models = [(stack.models[index], its) for index, its in plans.items() if stack.models[index].pool == pool.name]
    return 0 if room is None else nodes_in_use(models, room).all
