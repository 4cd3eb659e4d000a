"""How instances end and where they stay: an orderly end fits the cloud's notice, what must not be taken away finds
capacity that is not, and placeholders find a node."""

from collections import defaultdict
from collections.abc import Iterator
from math import ceil

from llm_serving.errors import LEAVE_OUT, Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.disruption import longer_than_window, plan_drain
from llm_serving.planning.node_room import PodSize, pods_of_fewest, pods_of_instance, pods_that_fit
from llm_serving.planning.purchase_options import is_preemptible, non_preemptible_capacity, non_preemptible_nodes
from llm_serving.planning.rules.models import Plans, plans_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import ModelSpec, Pool, ServiceClass
from llm_serving.spec.pool import NON_PREEMPTIBLE_MARKETS


def check_disruption(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``drain``, ``onDemandBase`` and ``warmPool`` of models."""
    for index, model in enumerate(stack.models):
        yield from _drain(f"models[{index}]", stack, model)
        yield from _base(f"models[{index}].onDemandBase", stack, model)
    plans, _ = plans_of(stack)
    yield from _room_for_bases(stack, plans)
    yield from _room_for_placeholders(stack, plans)


def note_disruption(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may disappoint: requests that are cut, a model that may be gone all at once."""
    for index, model in enumerate(stack.models):
        pool = stack.pool(model.pool)
        if pool is None or not is_preemptible(pool):
            continue
        yield from _cut(f"models[{index}].drain.longestRequestSeconds", stack, model, pool)
        if model.service_class is ServiceClass.CRITICAL and not model.on_demand_base:
            reason = f"all its instances may run on spot capacity of pool {pool.name}, which can be taken away at once"
            hint = (
                Suggestion(edits=[{"onDemandBase": model.fewest_replicas}])
                if non_preemptible_capacity(pool)
                else Suggestion("onDemandBase, with on-demand capacity in the pool", needs=Needs.CHOICE)
            )
            yield Problem(f"models[{index}].serviceClass", model.service_class.value, reason, hint)


def _drain(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    pool = stack.pool(model.pool)
    if pool is None:
        return
    notices = {stack.cloud.spot_notice_seconds(pool)}
    if model.on_demand_base and non_preemptible_capacity(pool):
        notices.add(None)  # of the base, whose nodes stay
    for notice in notices:
        try:
            plan_drain(model.drain, notice)
        except ProblemsError as error:
            yield from (problem.under(path) for problem in error.problems)


def _base(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    base, pool = model.on_demand_base, stack.pool(model.pool)
    if base is None:
        return
    if base > model.fewest_replicas:
        bound = "replicas" if model.autoscaling is None else "autoscaling.min"
        reason = f"more instances than there are at least ({bound} {model.fewest_replicas})"
        fewer = Suggestion(values=[model.fewest_replicas]) if model.fewest_replicas else LEAVE_OUT
        yield Problem(path, base, reason, fewer)
    if pool is not None and pool.capacity and not non_preemptible_capacity(pool):
        markets = ", ".join(dict.fromkeys(entry.market.value for entry in pool.capacity))
        reason = f"all capacity of pool {pool.name} may be taken away (market {markets})"
        other = f"leave it out, or capacity of market {' or '.join(NON_PREEMPTIBLE_MARKETS)} in the pool"
        yield Problem(path, base, reason, Suggestion(other, removal=True))


def _room_for_bases(stack: StackShape, plans: Plans) -> Iterator[Problem]:
    """The bases of all models of a pool find room on nodes that stay."""
    taken: dict[str, list[PodSize]] = defaultdict(list)
    for index, model_plans in plans.items():
        model = stack.models[index]
        pool, node_room = stack.pool(model.pool), stack.room(model.pool)
        if not model.on_demand_base or pool is None or node_room is None:
            continue
        nodes = non_preemptible_nodes(pool)
        if not nodes:
            continue
        plan = model_plans[model.releases.stable]
        sizes = taken[pool.name]
        wanted = [*sizes, *pods_of_instance(plan) * model.on_demand_base]
        missing = len(wanted) - pods_that_fit(wanted, node_room, nodes)
        if not missing:
            taken[pool.name] = wanted
            continue
        room = max(0, model.on_demand_base - ceil(missing / plan.nodes))
        shared = " beside those of other models" if sizes else ""
        yield Problem(
            f"models[{index}].onDemandBase",
            model.on_demand_base,
            f"{model.on_demand_base} x {plan.gpus} GPUs do not fit the capacity of pool {pool.name} that is not taken "
            f"away: at most {nodes} node(s) with {node_room.gpus} GPU(s) hold {room} instance(s){shared}",
            Suggestion(values=[room])
            if room
            else Suggestion(
                f"leave it out, or more {' or '.join(NON_PREEMPTIBLE_MARKETS)} nodes in pool {pool.name}", removal=True
            ),
        )


def _room_for_placeholders(stack: StackShape, plans: Plans) -> Iterator[Problem]:
    """With the fewest instances of all models running, every placeholder finds a node. With more instances they give
    way, which is what they are for."""
    running: dict[str, list[PodSize]] = defaultdict(list)
    for index, model_plans in plans.items():
        model = stack.models[index]
        running[model.pool] += pods_of_fewest(model, model_plans)
    for index, model_plans in plans.items():
        model = stack.models[index]
        wanted, pool, node_room = model.warm_pool.placeholders, stack.pool(model.pool), stack.room(model.pool)
        if not wanted or pool is None or node_room is None:
            continue
        plan = model_plans[model.releases.stable]
        sizes = [*running[pool.name], *pods_of_instance(plan) * wanted]
        missing = len(sizes) - pods_that_fit(sizes, node_room, pool.max_nodes)
        if not missing:
            running[pool.name] = sizes
            continue
        room = max(0, wanted - ceil(missing / plan.nodes))
        yield Problem(
            f"models[{index}].warmPool.placeholders",
            wanted,
            f"{wanted} x {plan.gpus} GPUs beside the fewest instances of its models do not fit pool {pool.name}: at "
            f"most {pool.max_nodes} node(s) with {node_room.gpus} GPU(s) hold {room} of them",
            Suggestion(f"{room}, or more nodes in pool {pool.name}", values=[room]),
        )


def _cut(path: str, stack: StackShape, model: ModelSpec, pool: Pool) -> Iterator[Problem]:
    notice = stack.cloud.spot_notice_seconds(pool)
    try:
        drain = plan_drain(model.drain, notice)
    except ProblemsError:
        return
    if longer_than_window(model.drain, drain):
        reason = (
            f"a request that runs when a spot node of pool {pool.name} is taken away has {drain.shutdown_timeout} s to "
            f"end: a longer one is ended with an error, and counted"
        )
        hints = [stack.cloud.longer_notice(pool), "a pool without spot capacity"]
        hint = Suggestion(", or ".join(filter(None, hints)), needs=Needs.CHOICE)
        yield Problem(path, model.drain.longest_request_seconds, reason, hint)
