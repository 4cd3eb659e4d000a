"""How instances end and where they stay: an orderly end fits the cloud's notice, what must not be taken away finds
capacity that is not, and placeholders find a node."""

from collections import defaultdict
from collections.abc import Iterator
from math import ceil

from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.drain import longer_than_window, plan_drain, spot_notice_seconds
from llm_serving.planning.instances import plan_instances
from llm_serving.planning.markets import lasting_capacity, lasting_nodes, may_be_taken
from llm_serving.planning.rules.models import Plans, gpus_of_pods, instances_that_fit, plans_of
from llm_serving.planning.rules.stack import StackShape, most_nodes
from llm_serving.spec import ExistingPoolSpec, ModelSpec, PoolSpec, ServiceClass
from llm_serving.spec.pool import LASTING_MARKETS

LONG_SHUTDOWN_VERSION = "1.35.0-gke.1171000"
"""GKE documentation, "Spot VMs": the control plane's oldest version with a longer shutdown of Spot nodes."""


def check_disruption(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``drain``, ``onDemandBase`` and ``warmPool`` of models, and how spot nodes of pools end."""
    for index, pool in enumerate(stack.pools):
        if isinstance(pool, PoolSpec):
            yield from _spot_shutdown(f"pools[{index}].spotShutdownSeconds", stack, pool)
    for index, model in enumerate(stack.models):
        yield from _drain(f"models[{index}]", stack, model)
        yield from _base(f"models[{index}].onDemandBase", stack, model)
    plans, _ = plans_of(stack)
    yield from _room_for_bases(stack, plans)
    yield from _room_for_placeholders(stack, plans)


def disruption_notes(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may disappoint: requests that are cut, a model that may be gone all at once."""
    for index, pool in enumerate(stack.pools):
        version = stack.cluster.version if stack.cluster else None
        if isinstance(pool, PoolSpec) and pool.spot_shutdown_seconds > _DEFAULT_SHUTDOWN and version is None:
            reason = f"needs GKE {LONG_SHUTDOWN_VERSION}; an older cluster refuses it, and cluster.version is not given"
            path = f"pools[{index}].spotShutdownSeconds"
            yield Problem(path, pool.spot_shutdown_seconds, reason, f"cluster.version {LONG_SHUTDOWN_VERSION}")
    for index, model in enumerate(stack.models):
        pool = stack.pool(model.pool)
        if pool is None or not may_be_taken(pool):
            continue
        yield from _cut(f"models[{index}].drain.longestRequestSeconds", stack, model, pool)
        if model.service_class is ServiceClass.CRITICAL and not model.on_demand_base:
            reason = f"all its instances may run on spot capacity of pool {pool.name}, which can be taken away at once"
            hint = "an onDemandBase" if lasting_capacity(pool) else "onDemandBase, with on-demand capacity in the pool"
            yield Problem(f"models[{index}].serviceClass", model.service_class.value, reason, hint)


_DEFAULT_SHUTDOWN = PoolSpec.model_fields["spot_shutdown_seconds"].default


def _spot_shutdown(path: str, stack: StackShape, pool: PoolSpec) -> Iterator[Problem]:
    asked = pool.spot_shutdown_seconds
    if asked == _DEFAULT_SHUTDOWN:
        return
    if stack.cloud != "gcp":
        yield Problem(path, asked, f"{stack.cloud} lets nobody choose how long its notice is", "leave it out")
    elif not may_be_taken(pool):
        yield Problem(path, asked, "the pool has no spot capacity, so this would have no effect", "leave it out")
    elif stack.cluster is not None and stack.cluster.version and _older(stack.cluster.version):
        reason = f"needs GKE {LONG_SHUTDOWN_VERSION} or later, and cluster.version is {stack.cluster.version}"
        yield Problem(path, asked, reason, f"{_DEFAULT_SHUTDOWN}, or cluster.version {LONG_SHUTDOWN_VERSION}")


def _older(version: str) -> bool:
    """Whether a version, or the newest one that begins with it, comes before :data:`LONG_SHUTDOWN_VERSION`."""
    given, needed = _numbers(version), _numbers(LONG_SHUTDOWN_VERSION)
    return given < needed[: len(given)]


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.replace("-gke.", ".").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _drain(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    pool = stack.pool(model.pool)
    if pool is None:
        return
    notices = {spot_notice_seconds(stack.cloud, pool)}
    if model.on_demand_base and lasting_capacity(pool):
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
        yield Problem(path, base, reason, str(model.fewest_replicas))
    if isinstance(pool, PoolSpec) and not lasting_capacity(pool):
        markets = ", ".join(dict.fromkeys(entry.market.value for entry in pool.capacity))
        reason = f"all capacity of pool {pool.name} may be taken away (market {markets})"
        yield Problem(path, base, reason, f"capacity of market {' or '.join(LASTING_MARKETS)} in the pool")


def _room_for_bases(stack: StackShape, plans: Plans) -> Iterator[Problem]:
    """The bases of all models of a pool find room on nodes that stay."""
    taken: dict[str, list[int]] = defaultdict(list)
    for index, found in plans.items():
        model = stack.models[index]
        pool, node = stack.pool(model.pool), stack.node(model.pool)
        if not model.on_demand_base or pool is None or node is None:
            continue
        nodes = lasting_nodes(pool)
        if not nodes:
            continue
        plan = found[model.releases.stable]
        sizes = taken[pool.name]
        wanted = [*sizes, *gpus_of_pods(plan) * model.on_demand_base]
        missing = len(wanted) - instances_that_fit(wanted, node.gpus, nodes)
        if not missing:
            taken[pool.name] = wanted
            continue
        room = max(0, model.on_demand_base - ceil(missing / plan.nodes))
        shared = " beside those of other models" if sizes else ""
        yield Problem(
            f"models[{index}].onDemandBase",
            model.on_demand_base,
            f"{model.on_demand_base} x {plan.gpus} GPUs do not fit the capacity of pool {pool.name} that is not taken "
            f"away: at most {nodes} node(s) with {node.gpus} GPU(s) hold {room} instance(s){shared}",
            str(room) if room else f"more {' or '.join(LASTING_MARKETS)} nodes in pool {pool.name}",
        )


def _room_for_placeholders(stack: StackShape, plans: Plans) -> Iterator[Problem]:
    """With the fewest instances of all models running, every placeholder finds a node. With more instances they give
    way, which is what they are for."""
    running: dict[str, list[int]] = defaultdict(list)
    for index, found in plans.items():
        model = stack.models[index]
        for instances in plan_instances(model):
            running[model.pool] += gpus_of_pods(found[instances.version]) * instances.replicas
    for index, found in plans.items():
        model = stack.models[index]
        wanted, pool, node = model.warm_pool.placeholders, stack.pool(model.pool), stack.node(model.pool)
        if not wanted or pool is None or node is None:
            continue
        plan = found[model.releases.stable]
        sizes = [*running[pool.name], *gpus_of_pods(plan) * wanted]
        missing = len(sizes) - instances_that_fit(sizes, node.gpus, most_nodes(pool))
        if not missing:
            running[pool.name] = sizes
            continue
        room = max(0, wanted - ceil(missing / plan.nodes))
        yield Problem(
            f"models[{index}].warmPool.placeholders",
            wanted,
            f"{wanted} x {plan.gpus} GPUs beside the fewest instances of its models do not fit pool {pool.name}: at "
            f"most {most_nodes(pool)} node(s) with {node.gpus} GPU(s) hold {room} of them",
            str(room) if room else f"0, or more nodes in pool {pool.name}",
        )


def _cut(path: str, stack: StackShape, model: ModelSpec, pool: PoolSpec | ExistingPoolSpec) -> Iterator[Problem]:
    notice = spot_notice_seconds(stack.cloud, pool)
    try:
        drain = plan_drain(model.drain, notice)
    except ProblemsError:
        return
    if longer_than_window(model.drain, drain):
        reason = (
            f"a request that runs when a spot node of pool {pool.name} is taken away has {drain.shutdown_timeout} s to "
            f"end: a longer one is ended with an error, and counted"
        )
        hint = "a pool without spot capacity"
        if stack.cloud == "gcp" and isinstance(pool, PoolSpec) and pool.spot_shutdown_seconds == _DEFAULT_SHUTDOWN:
            hint = f"spotShutdownSeconds 120 in the pool, or {hint}"
        yield Problem(path, model.drain.longest_request_seconds, reason, hint)
