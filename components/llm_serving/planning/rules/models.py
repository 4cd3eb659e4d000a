"""Models: team, pool and release exist, the release fits the pool's nodes, and the pool is large enough for
all."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion, nearest, nearest_or_few
from llm_serving.planning.node_room import NodeRoom, PodSize, pods_of_instance, pods_that_fit, shortage
from llm_serving.planning.nodes import gpu_resource
from llm_serving.planning.placement import RELEASE, ModelPlan, plan_model
from llm_serving.planning.quantization import QuantizationPlan
from llm_serving.planning.replicas import Role, object_name, plan_replicas, releases_of
from llm_serving.planning.rules.quantizations import quantization_plans
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.tenancy import max_gpus
from llm_serving.spec import ModelSpec, Pool, ReleaseSpec
from llm_serving.spec.loader import HUB


def check_models(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``models``, and the GPU quotas of ``teams``."""
    for index, model in enumerate(stack.models):
        path = f"models[{index}]"
        yield from _team(path, stack, model)
        yield from _pool(path, stack, model)
        yield from _releases(path, stack, model)
    yield from _names(stack)
    plans, problems = plans_of(stack)
    yield from problems
    quantizations, _ = quantization_plans(stack)
    yield from _capacity(stack, plans, quantizations)
    yield from _team_quotas(stack, plans, quantizations)


Plans = dict[int, dict[str, ModelPlan]]
"""The plans of every release of a model, by the model's index and the release's version, the stable one first."""

ROLE_PATHS = {Role.STABLE: RELEASE, Role.CANARY: "releases.canary.release", Role.PREVIOUS: "releases.previous"}
"""Where a model's settings name a release."""


def plans_of(stack: StackShape) -> tuple[Plans, list[Problem]]:
    """The plans of every model whose pool and releases are known and fit, and what refuses the others."""
    plans: Plans = {}
    problems: list[Problem] = []
    for index, model in enumerate(stack.models):
        node = stack.node(model.pool)
        served = releases_of(model)
        if node is None or not _known_gpu(node.accelerator):
            continue
        model_plans: dict[str, ModelPlan] = {}
        for role, version in served:
            release = stack.releases.get((model.name, version))
            if release is None:
                continue
            try:
                model_plans[version] = plan_model(model, release, node, stack.cloud, stack.sidecar)
            except ProblemsError as error:
                problems += [_at(problem, role).under(f"models[{index}]") for problem in error.problems]
        if len(model_plans) == len(served):
            plans[index] = model_plans
    return plans, problems


def pods_of_model(model: ModelSpec, plans: dict[str, ModelPlan]) -> list[PodSize]:
    """The pods of a model at its most: those of every release that has instances."""
    return [
        pod for instances in plan_replicas(model) for pod in pods_of_instance(plans[instances.version]) * instances.most
    ]


def _known_gpu(name: str) -> bool:
    return any(gpu.name == name for gpu in catalog.accelerators())


def _team(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    names = [team.name for team in stack.teams]
    if model.team not in names:
        yield Problem(f"{path}.team", model.team, "no such team", nearest_or_few(model.team, names))


def _pool(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    if stack.pool(model.pool) is None:
        names = [pool.name for pool in stack.pools]
        yield Problem(f"{path}.pool", model.pool, "no such pool", nearest_or_few(model.pool, names))


def _releases(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    for role, version in releases_of(model):
        place = f"{path}.{ROLE_PATHS[role]}"
        release = stack.releases.get((model.name, version))
        if release is not None:
            yield from _identity(place, model, version, release)
            yield from _licence(path, place, stack, model, release)
            if role is Role.STABLE:
                yield from _cache(path, stack, model)
            continue
        versions = [known for name, known in stack.releases if name == model.name]
        if versions:
            yield Problem(place, version, f"{model.name} has no such release", nearest_or_few(version, versions))
        elif role is Role.STABLE:
            models = {name for name, _ in stack.releases}
            reason = "there are no releases of a model of this name"
            yield Problem(f"{path}.name", model.name, reason, nearest(model.name, models))


def _cache(path: str, stack: StackShape, model: ModelSpec) -> Iterator[Problem]:
    """What the cache cannot hold yet."""
    if model.compile_cache and (stack.loader is None or not stack.cloud.has_workload_identity):
        reason = "the Job that compiles writes to the cache as the loader does, and there is none with an identity here"
        yield Problem(
            f"{path}.compileCache", True, reason, Suggestion("false; or a loader, on a cloud", values=[False])
        )
    if model.compile_cache and not model.engine.launcher:
        reason = "the launcher keeps the compile cache, and the engine runs without it"
        yield Problem(f"{path}.engine.launcher", False, reason, _with_launcher(path))


def _with_launcher(path: str) -> Suggestion:
    return Suggestion(values=[True], edits=[{f"/{path}.compileCache": False}])


def _licence(path: str, place: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    loader = stack.loader
    lacks_token = loader is not None and loader.source == HUB and loader.token_secret is None
    if release.model.gated and release.model.source is None and lacks_token:
        yield Problem(
            place,
            release.version,
            f"{release.model.repository} is gated, and the loader has no token for the hub",
            Suggestion(
                "loader.token, a secret of the stack; loader.tokenSecret, the name of a Secret in the team's "
                "namespace; or a mirror as loader.source",
                needs=Needs.FACT,
            ),
        )
    if release.model.gated and not model.accept_license:
        yield Problem(
            f"{path}.acceptLicense",
            model.accept_license,
            f"{release.model.repository} is gated: its licence ({release.model.license}) must be accepted",
            Suggestion("true, after reading it", values=[True]),
        )


def _names(stack: StackShape) -> Iterator[Problem]:
    """No two objects of a namespace get the same name: a release's are called ``<model>-<version>``."""
    taken = {(model.team, model.name): f"model {model.name}" for model in stack.models}
    for index, model in enumerate(stack.models):
        for role, version in releases_of(model):
            name = object_name(model.name, version)
            for wanted in (name, f"{name}-base"):
                other = taken.setdefault((model.team, wanted), f"release {version} of {model.name}")
                if other != f"release {version} of {model.name}":
                    reason = f"release {version} of {model.name} needs the name {wanted}, which {other} has"
                    renamed = Suggestion(f"another name for {other}", needs=Needs.ELSEWHERE)
                    yield Problem(f"models[{index}].{ROLE_PATHS[role]}", version, reason, renamed)
            longest = _LONGEST_GROUP_NAME if model.engine.nodes > 1 else _LONGEST_NAME
            if len(name) > longest:
                reason = f"its objects would be called {name}: {len(name)} characters, at most {longest} work"
                yield Problem(f"models[{index}].{ROLE_PATHS[role]}", version, reason, _SHORTER)


_SHORTER = Suggestion("a release with a shorter version", needs=Needs.ELSEWHERE)

_LONGEST_NAME = 63 - len("-placeholder")
"""A Service's name is a DNS label (63 characters), and a role is put behind it."""

_LONGEST_GROUP_NAME = 48 - len("-base")
"""LeaderWorkerSet labels pods ``<set>-<group>-<revision>``: a value of 63 characters, 10 of them the revision's."""


def _at(problem: Problem, role: Role) -> Problem:
    """A problem that planning found, where the settings name the release that it is about."""
    path = ROLE_PATHS[role] if problem.path == RELEASE else problem.path
    return Problem(path, problem.value, problem.reason, problem.suggestion)


def _identity(place: str, model: ModelSpec, version: str, release: ReleaseSpec) -> Iterator[Problem]:
    wanted = (model.name, version)
    if (release.name, release.version) != wanted:
        yield Problem(
            place,
            version,
            f"the release found under {wanted[0]} {wanted[1]} calls itself {release.name} {release.version}",
            Suggestion("correct name and version in the release's file, or its place", needs=Needs.ELSEWHERE),
        )


def _capacity(stack: StackShape, plans: Plans, quantizations: dict[int, QuantizationPlan]) -> Iterator[Problem]:
    """All instances of a pool's models find room on its nodes at their maximum, and the Jobs that quantize beside
    them."""
    of_pool: dict[str, list[int]] = defaultdict(list)
    for index in plans:
        of_pool[stack.models[index].pool].append(index)
    for index in quantizations:
        of_pool.setdefault(stack.quantizations[index].pool, [])
    for name, indexes in of_pool.items():
        pool, room = stack.pool(name), stack.room(name)
        if pool is None or room is None:
            continue
        pods: list[PodSize] = []
        for index in indexes:
            wanted = pods_of_model(stack.models[index], plans[index])
            if pods_that_fit([*pods, *wanted], room, pool.max_nodes) == len(pods) + len(wanted):
                pods += wanted
            else:
                yield _no_room(stack, pool, room, index, plans[index], pods)
        for index, plan in quantizations.items():
            if stack.quantizations[index].pool != name:
                continue
            if pods_that_fit([*pods, plan.pod], room, pool.max_nodes) == len(pods) + 1:
                pods.append(plan.pod)
            else:
                yield _no_room_to_quantize(pool, room, index, plan, pods)


def _no_room_to_quantize(
    pool: Pool, room: NodeRoom, index: int, plan: QuantizationPlan, others: list[PodSize]
) -> Problem:
    """A Job that does not fit its pool beside the pods of models."""
    taken = f", and {len(others)} pod(s) of models and other quantizations want them at their most" if others else ""
    reason = (
        f"the Job takes {plan.gpus} GPU(s) and {plan.pod.storage_gib:.0f} GiB of its node's disk; at most "
        f"{pool.max_nodes} node(s) have {room.gpus} GPU(s) and {room.storage_gib:.0f} GiB each{taken}"
    )
    larger = "" if room.holds(plan.pod) else ", with larger disks"
    hint = Suggestion(f"more nodes in pool {pool.name}{larger}", needs=Needs.CHOICE)
    return Problem(f"quantizations[{index}].pool", pool.name, reason, hint)


def _no_room(
    stack: StackShape, pool: Pool, room: NodeRoom, index: int, plans: dict[str, ModelPlan], others: list[PodSize]
) -> Problem:
    """A model that does not fit its pool beside the pods of others."""
    model, nodes = stack.models[index], pool.max_nodes
    wanted = pods_of_model(model, plans)
    pods = [*others, *wanted]
    held = pods_that_fit(pods, room, nodes)
    shared = f", {len(others)} of other models among them" if others else ""
    missing = shortage(pods, room, nodes)
    if missing == "storage":
        largest = max(pod.storage_gib for pod in wanted)
        return Problem(
            f"models[{index}].pool",
            pool.name,
            f"each of its {len(wanted)} pod(s) keeps up to {largest:.0f} GiB on the disk of its node (cached weights, "
            f"and a part of the images), of which pods can have {room.storage_gib:.0f} GiB: at most {nodes} node(s) "
            f"hold {held} of {len(pods)} pod(s){shared}",
            Suggestion(
                _more_storage(stack, pool, pods, more_nodes_help=largest <= room.storage_gib), needs=Needs.CHOICE
            ),
        )
    if missing == "pods":
        return Problem(
            "cluster.maxPodsPerNode",
            stack.max_pods_per_node,
            f"a node of pool {pool.name} runs {stack.cloud.daemon_pods} pods of its own, and has room for "
            f"{max(0, room.pods):g} of models: at most {nodes} node(s) hold {held} of {len(pods)}",
            Suggestion(values=[(stack.cloud.daemon_pods or 0) + room.gpus]),
        )
    planned = plan_replicas(model)
    beside = sum(instances.most for instances in planned if instances.role is not Role.STABLE)
    of_others = f" ({beside} of them of releases beside the stable one)" if beside else ""
    count, fitting = sum(instances.most for instances in planned), _most_that_fit(model, plans, others, room, nodes)
    return Problem(
        f"models[{index}].{'replicas' if model.autoscaling is None else 'autoscaling.max'}",
        model.most_replicas,
        f"{count} instance(s) of up to {max(plan.gpus for plan in plans.values())} GPU(s){of_others} do not fit pool "
        f"{pool.name}: at most {nodes} node(s) with {room.gpus} GPU(s) hold {held} of {len(pods)} pod(s){shared}",
        Suggestion(values=[fitting]) if fitting else Suggestion(f"more nodes in pool {pool.name}", needs=Needs.CHOICE),
    )


def _most_that_fit(
    model: ModelSpec, plans: dict[str, ModelPlan], others: list[PodSize], room: NodeRoom, nodes: int
) -> int:
    """The most instances of the stable release with which the model fits; 0 where none does."""
    scaling = model.autoscaling
    # Every instance has a GPU of its own, or a share of a node's CPU that is counted like one.
    highest = min(model.most_replicas - 1, nodes * int(room.gpus))

    def fits(most: int) -> bool:
        change = {"replicas": most} if scaling is None else {"autoscaling": scaling.model_copy(update={"max": most})}
        pods = [*others, *pods_of_model(model.model_copy(update=change), plans)]
        return pods_that_fit(pods, room, nodes) == len(pods)

    counts = range(max(1, model.fewest_replicas if scaling else 1), highest + 1)
    fitting = bisect_left(counts, True, key=lambda most: not fits(most))
    return counts[fitting - 1] if fitting else 0


def _more_storage(stack: StackShape, pool: Pool, pods: list[PodSize], *, more_nodes_help: bool) -> str:
    """What gives pods the storage that they want: larger disks; where nodes can have none, more nodes; where one pod
    wants more than a node has, another machine type."""

    def is_enough(changed: Pool) -> bool:
        room = stack.room_of(changed)
        return room is not None and pods_that_fit(pods, room, changed.max_nodes) == len(pods)

    larger_disk = stack.cloud.larger_storage(pool, is_enough)
    if larger_disk or more_nodes_help:
        return larger_disk or f"more nodes in pool {pool.name}"
    other = next((name for name in _machine_types(stack, pool) if is_enough(_of_machine(pool, name))), "")
    such_as = f", such as {other}" if other else ""
    return f"another machine type{such_as}, or a pool with more local storage"


def _machine_types(stack: StackShape, pool: Pool) -> list[str]:
    """The machine types with the pool's GPU, those with the fewest of it first."""
    nodes = stack.cloud.gpu_nodes()
    return sorted((name for name in nodes if nodes[name].accelerator == pool.accelerator), key=lambda n: nodes[n].gpus)


def _of_machine(pool: Pool, machine_type: str) -> Pool:
    capacity = tuple(entry.model_copy(update={"machine_type": machine_type}) for entry in pool.capacity)
    return pool.model_copy(update={"capacity": capacity})


def _is_counted(stack: StackShape, pool_name: str) -> bool:
    """Whether pods of a pool take something of a GPU quota; those on a CPU do not."""
    pool = stack.pool(pool_name)
    return pool is not None and _known_gpu(pool.accelerator) and gpu_resource(pool) is not None


def _team_quotas(stack: StackShape, plans: Plans, quantizations: dict[int, QuantizationPlan]) -> Iterator[Problem]:
    for number, team in enumerate(stack.teams):
        needed = sum(
            max_gpus(stack.models[index], max(plan.gpus for plan in model_plans.values()))
            for index, model_plans in plans.items()
            if stack.models[index].team == team.name and _is_counted(stack, stack.models[index].pool)
        )
        jobs = sum(
            plan.gpus
            for index, plan in quantizations.items()
            if (job := stack.quantizations[index]).team == team.name and _is_counted(stack, job.pool)
        )
        needed += jobs
        beside = f", and {jobs} for quantizations" if jobs else ""
        if team.gpu_quota is not None and needed > team.gpu_quota:
            yield Problem(
                f"teams[{number}].gpuQuota",
                team.gpu_quota,
                f"the team's models ask for up to {needed} GPUs: maxima, the instances that a change of release starts "
                f"beside the old ones, canaries, placeholders and a Job that compiles{beside}",
                Suggestion(values=[needed]),
            )
