"""Models: team, pool and release exist, the release fits the pool's nodes, and the pool is large enough for
all."""

from collections import defaultdict
from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.errors import Problem, ProblemsError, nearest
from llm_serving.planning.drain import plan_drain, spot_notice_seconds
from llm_serving.planning.nodes import gpu_resource
from llm_serving.planning.placement import RELEASE, ModelPlan, plan_model
from llm_serving.planning.rules.stack import StackShape, most_nodes
from llm_serving.spec import ModelSpec, ReleaseSpec
from llm_serving.spec.loader import HUB


def check_models(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``models``, and the GPU quotas of ``teams``."""
    for index, model in enumerate(stack.models):
        path = f"models[{index}]"
        yield from _team(path, stack, model)
        yield from _pool(path, stack, model)
        yield from _release(path, stack, model)
        yield from _drain(path, stack, model)
    plans, problems = plans_of(stack)
    yield from problems
    yield from _capacity(stack, plans)
    yield from _team_quotas(stack, plans)


def plans_of(stack: StackShape) -> tuple[dict[int, ModelPlan], list[Problem]]:
    """The plan of every model whose pool and release are known, by index, and what refuses the others."""
    plans: dict[int, ModelPlan] = {}
    problems: list[Problem] = []
    for index, model in enumerate(stack.models):
        release = stack.releases.get((model.name, model.releases.stable))
        node = stack.node(model.pool)
        if release is None or node is None or not _known_gpu(node.accelerator):
            continue
        try:
            plans[index] = plan_model(model, release, node, stack.sidecar)
        except ProblemsError as error:
            problems += [problem.under(f"models[{index}]") for problem in error.problems]
    return plans, problems


def instances_that_fit(sizes: list[int], gpus_per_node: int, nodes: int) -> int:
    """How many instances, largest first, find a node with enough free GPUs (first fit)."""
    free = [gpus_per_node] * nodes
    placed = 0
    for size in sorted(sizes, reverse=True):
        slot = next((number for number, gpus in enumerate(free) if gpus >= size), None)
        if slot is None:
            continue
        free[slot] -= size
        placed += 1
    return placed


def _known_gpu(name: str) -> bool:
    return any(gpu.name == name for gpu in catalog.accelerators())


def _drain(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    pool = stack.pool(model.pool)
    if pool is None:
        return
    try:
        plan_drain(model.drain, spot_notice_seconds(stack.cloud, pool))
    except ProblemsError as error:
        yield from (problem.under(path) for problem in error.problems)


def _team(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    names = [team.name for team in stack.teams]
    if model.team not in names:
        yield Problem(f"{path}.team", model.team, "no such team", nearest(model.team, names))


def _pool(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    if stack.pool(model.pool) is None:
        names = [pool.name for pool in stack.pools]
        yield Problem(f"{path}.pool", model.pool, "no such pool", nearest(model.pool, names))


def _release(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    version = model.releases.stable
    release = stack.releases.get((model.name, version))
    if release is None:
        versions = [known for name, known in stack.releases if name == model.name]
        if versions:
            reason = f"{model.name} has no such release"
            yield Problem(f"{path}.{RELEASE}", version, reason, nearest(version, versions))
        else:
            models = {name for name, _ in stack.releases}
            reason = "there are no releases of a model of this name"
            yield Problem(f"{path}.name", model.name, reason, nearest(model.name, models))
        return
    yield from _identity(path, model, release)
    if release.model.gated and stack.loader is not None and stack.loader.source == HUB:
        yield Problem(
            f"{path}.{RELEASE}",
            version,
            f"{release.model.repository} is gated, and the loader has no token for the hub",
            "a loader.source with a folder that holds it, or no loader and a cache that you fill",
        )
    if release.model.gated and not model.accept_license:
        yield Problem(
            f"{path}.acceptLicense",
            model.accept_license,
            f"{release.model.repository} is gated: its licence ({release.model.license}) must be accepted",
            "true, after reading it",
        )


def _identity(path: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    wanted = (model.name, model.releases.stable)
    if (release.name, release.version) != wanted:
        yield Problem(
            f"{path}.{RELEASE}",
            model.releases.stable,
            f"the release found under {wanted[0]} {wanted[1]} calls itself {release.name} {release.version}",
            "correct name and version in the release's file, or its place",
        )


def _capacity(stack: StackShape, plans: dict[int, ModelPlan]) -> Iterator[Problem]:
    """All instances of a pool's models find room on its nodes at their maximum."""
    of_pool: dict[str, list[int]] = defaultdict(list)
    for index in plans:
        of_pool[stack.models[index].pool].append(index)
    for name, indexes in of_pool.items():
        pool, node = stack.pool(name), stack.node(name)
        if pool is None or node is None:
            continue
        nodes = most_nodes(pool)
        sizes: list[int] = []
        for index in indexes:
            model = stack.models[index]
            before = instances_that_fit(sizes, node.gpus, nodes)
            sizes += [plans[index].gpus] * model.replicas
            room = instances_that_fit(sizes, node.gpus, nodes)
            if room == len(sizes):
                continue
            shared = f", {before} instance(s) of other models among them" if before else ""
            yield Problem(
                f"models[{index}].replicas",
                model.replicas,
                f"{model.replicas} x {plans[index].gpus} GPUs do not fit pool {name}: at most {nodes} node(s) with "
                f"{node.gpus} GPU(s) hold {room} instance(s){shared}",
                str(room - before) if room > before else f"more nodes in pool {name}",
            )
            sizes = sizes[: len(sizes) - model.replicas]


def _is_counted(stack: StackShape, model: ModelSpec) -> bool:
    """Whether a model's instances take something of a GPU quota; those on a CPU do not."""
    pool = stack.pool(model.pool)
    return pool is not None and _known_gpu(pool.accelerator) and gpu_resource(pool) is not None


def _team_quotas(stack: StackShape, plans: dict[int, ModelPlan]) -> Iterator[Problem]:
    for number, team in enumerate(stack.teams):
        needed = sum(
            plan.gpus * (stack.models[index].replicas + stack.models[index].surge)
            for index, plan in plans.items()
            if stack.models[index].team == team.name and _is_counted(stack, stack.models[index])
        )
        if team.gpu_quota is not None and needed > team.gpu_quota:
            yield Problem(
                f"teams[{number}].gpuQuota",
                team.gpu_quota,
                f"the team's models ask for {needed} GPUs, with the instances that a rollout with surge adds",
                str(needed),
            )
