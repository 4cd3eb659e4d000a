"""What a user should know although nothing is refused: what could not be checked, and what will
disappoint."""

from collections import defaultdict
from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.errors import Problem
from llm_serving.planning.node_room import PodSize, pods_of_instance, pods_that_fit
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import RELEASE, ModelPlan, weight_only_note
from llm_serving.planning.rules.autoscaling import note_autoscaling
from llm_serving.planning.rules.aws import note_aws
from llm_serving.planning.rules.disruption import note_disruption
from llm_serving.planning.rules.gateway import note_gateway
from llm_serving.planning.rules.gcp import note_gcp
from llm_serving.planning.rules.models import plans_of, pods_of_model
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.timeouts import note_timeouts
from llm_serving.spec import RESERVED_MARKETS, Market, ModelSpec


def notes(stack: StackShape) -> list[Problem]:
    """Warnings, in the order of the settings. Meant for stacks that :func:`check` does not refuse."""
    topics = (
        _region,
        note_gcp,
        note_aws,
        _pools,
        _models,
        note_autoscaling,
        note_disruption,
        note_timeouts,
        note_gateway,
    )
    return [note for topic in topics for note in topic(stack)]


def _region(stack: StackShape) -> Iterator[Problem]:
    known = catalog.regions(stack.cloud.name)
    if stack.region and known and stack.region not in known:
        yield Problem("region", stack.region, "the catalog knows no zones and prices of this region")


def _pools(stack: StackShape) -> Iterator[Problem]:
    for index, pool in enumerate(stack.pools):
        for number, entry in enumerate(pool.capacity):
            machine = stack.cloud.machine(entry)
            if machine is None:
                continue
            path = f"pools[{index}].capacity[{number}]"
            zones = entry.zones or stack.zones
            if entry.market in RESERVED_MARKETS and len(zones) > 1:
                reason = f"a reservation is in one zone, and in the others of {', '.join(zones)} no node can start"
                yield Problem(f"{path}.zones", None, reason, "the reservation's zone alone, unless each has one")
            if machine.notes and entry.market is Market.ON_DEMAND:
                yield Problem(f"{path}.market", entry.market.value, f"{machine.name}: {machine.notes}")


def _models(stack: StackShape) -> Iterator[Problem]:
    plans, _ = plans_of(stack)
    of_pool: dict[str, list[PodSize]] = defaultdict(list)
    for index, model_plans in plans.items():
        model = stack.models[index]
        node = stack.node(model.pool)
        release = stack.releases[model.name, model.releases.stable]
        if node is not None and (note := weight_only_note(release, catalog.accelerator(node.accelerator))):
            yield Problem(f"models[{index}].{RELEASE}", release.version, note)
        if node is not None:
            yield from _peers(f"models[{index}].engine.environment", model, model_plans[release.version], node)
        of_pool[model.pool] += pods_of_model(model, model_plans)
    for index, model_plans in plans.items():
        model = stack.models[index]
        plan = model_plans[model.releases.stable]
        name = model.pool
        pool, room = stack.pool(name), stack.room(name)
        if pool is None or room is None or not model.surge:
            continue
        pods = [*of_pool[name], *pods_of_instance(plan)]
        if pods_that_fit(pods, room, pool.max_nodes) < len(pods):
            reason = f"pool {name} has no room for the extra instance of a rollout, which then waits for ever"
            yield Problem(f"models[{index}].pool", name, reason, "one node more in the pool, or surge 0")


def _peers(path: str, model: ModelSpec, plan: ModelPlan, node: NodeShape) -> Iterator[Problem]:
    """GPUs copy to each other over PCIe only where nothing redirects it: with IOMMU or ACS, as in virtual machines and
    on many workstations, NCCL may hang in its first operation, and NCCL_P2P_DISABLE makes it go through host memory
    (NCCL documentation, "Troubleshooting", "PCI Access Control Services (ACS)"; github.com/NVIDIA/nccl/issues/2079,
    github.com/vllm-project/vllm/issues/33041)."""
    accelerator = catalog.accelerator(node.accelerator)
    if plan.gpus_per_node == 1 or not accelerator.reaches_peers_by_pcie or _PEERS in model.engine.environment:
        return
    reason = (
        f"the {plan.gpus_per_node} {accelerator.name} of an instance reach each other by {accelerator.interconnect}: "
        "where IOMMU or ACS redirect that, NCCL hangs when the engine starts"
    )
    yield Problem(path, None, reason, f'{_PEERS}: "1" where instances hang')


_PEERS = "NCCL_P2P_DISABLE"
