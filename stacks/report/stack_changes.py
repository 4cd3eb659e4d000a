"""What an update changes: cost, GPUs and quotas before and after, and which models it interrupts.

Pure. Before is what the last update put out, after is what the settings lead to, and interruptions are read from the
steps of the engine's preview. What cannot be known is ``None``.
"""

from collections.abc import Iterable, Iterator

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import UnknownFact
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.cost import CostEstimate
from llm_serving.planning.quota import Quota, capacity_quotas
from llm_serving.planning.replicas import placeholder_name
from llm_serving.spec import CapacityEntry, Market
from stacks.engine_events import UNCHANGED, Event, StepEvent, StepState
from stacks.outputs import StackOutputs
from stacks.report.cost_bounds import CostBounds, cost_bounds
from stacks.settings import Stack

_REPLACES = frozenset({"replace", "create-replacement", "delete-replaced"})
_TEMPLATES = {
    "Deployment": "spec.template",
    "LeaderWorkerSet": "spec.leaderWorkerTemplate",
}
"""Where the pods of a workload are described: a change there replaces all of them (Kubernetes, Deployments: "A rollout
is triggered if and only if the Deployment's Pod template is changed"; LeaderWorkerSet's rollout strategy)."""

_WITHOUT_NEW_NODES = ("autoscaling", "initialNodeCount")
"""Properties of a node pool that change nothing about nodes that are there."""


class StackFigures(CostBounds):
    """What a stack takes, from the fewest nodes on which its models serve to the most, in USD and GPUs.

    Attributes:
        min_gpus, max_gpus: GPUs of the nodes; ``None`` where a machine is not known.
        quotas: what each quota must be at least.
    """

    min_gpus: int | None
    max_gpus: int | None
    quotas: tuple[Quota, ...]


class Interruption(Frozen):
    """Pods of a model that end or move because of an update.

    Attributes:
        models: names of the models.
        object: what changes: ``Deployment qwen3-8b-1-0-0``.
        what: what happens to the instances.
        because: property paths that differ; empty where the object goes as a whole.
        certain: it will happen; else it may.
    """

    models: tuple[str, ...]
    object: str
    what: str
    because: tuple[str, ...]
    certain: bool


class StackChanges(Frozen):
    """What an update changes.

    Attributes:
        settings: the file that the stack comes from.
        before: what it takes since its last update; ``None`` where no update has completed, and where the nodes are
            somebody else's.
        after: what it will take; ``None`` where the nodes are somebody else's.
        is_new: no update of the stack has completed.
        starts: workloads that are new, by ``Deployment qwen3-8b-1-1-0``; ``None`` where no steps are known.
        interruptions: what ends, moves or starts again; ``None`` where no steps are known.
    """

    settings: str
    before: StackFigures | None
    after: StackFigures | None
    is_new: bool
    starts: tuple[str, ...] | None
    interruptions: tuple[Interruption, ...] | None


def compare_stack(stack: Stack, outputs: StackOutputs, events: Iterable[Event] | None = None) -> StackChanges:
    """What an update of a stack changes.

    Args:
        stack: the stack as its settings have it.
        outputs: what its last update put out.
        events: the engine's events of a preview; ``None`` where there was none.
    """
    steps = None if events is None else list(_changing_steps(events))
    return StackChanges(
        settings=stack.source,
        before=None if outputs.cost is None else figures(outputs.cost),
        after=figures(stack.cost) if stack.settings.buys_nodes else None,
        is_new=not outputs.fixed,
        starts=None if steps is None else tuple(_name(step) for step in steps if _model(step) and step.op == "create"),
        interruptions=None if steps is None else tuple(_interruptions(stack, steps)),
    )


def figures(cost: CostEstimate) -> StackFigures:
    """What the nodes of an estimate take."""
    cloud = cloud_named(cost.cloud)
    capacity = [
        (
            line.pool,
            CapacityEntry(market=Market(line.market), machine_type=line.machine_type, max=line.max_nodes),
        )
        for line in cost.lines
    ]
    return StackFigures(
        **dict(cost_bounds(cost)),
        min_gpus=_gpus(cost, [line.min_nodes for line in cost.lines]),
        max_gpus=_gpus(cost, [line.max_nodes for line in cost.lines]),
        quotas=tuple(capacity_quotas(cloud, cost.region, capacity)),
    )


def _gpus(cost: CostEstimate, nodes: list[int]) -> int | None:
    try:
        machines = [catalog.machine_type(cost.cloud, line.machine_type).gpus for line in cost.lines]
    except UnknownFact:
        return None
    return sum(gpus * count for gpus, count in zip(machines, nodes, strict=True))


def _changing_steps(events: Iterable[Event]) -> Iterator[StepEvent]:
    """Steps that change something, once each."""
    for event in events:
        if isinstance(event, StepEvent) and event.state is StepState.BEGUN and event.op not in UNCHANGED:
            yield event


def _interruptions(stack: Stack, steps: list[StepEvent]) -> Iterator[Interruption]:
    replaced = {step.urn for step in steps if step.op in _REPLACES}
    told: set[str] = set()
    for step in steps:
        models = (model,) if (model := _model(step)) else _models_of_pool(stack, step)
        if not models or step.urn in told or step.op == "create":
            continue
        told.add(step.urn)
        gone = step.urn in replaced or step.op == "delete"
        if _model(step):
            interruption = _of_workload(step, models, replaced=step.urn in replaced)
        elif gone:
            successors = [other for other in steps if other.op == "create" and _shares_pool(other, step)]
            both = "; until then old and new nodes count against quotas" if successors or step.urn in replaced else ""
            interruption = _interruption(step, models, f"instances on its nodes move{both}", because=())
        else:
            interruption = _of_node_pool(step, models)
        if interruption is not None:
            yield interruption


def _of_workload(step: StepEvent, models: tuple[str, ...], *, replaced: bool) -> Interruption | None:
    if replaced:
        return _interruption(step, models, "all instances end, and new ones start")
    if step.op == "delete":
        return _interruption(step, models, "its instances end", because=())
    template = tuple(path for path in step.changed if path.startswith(_TEMPLATES[step.kind]))
    if template:
        return _interruption(step, models, "instances restart one after the other", because=template)
    if "spec" in step.changed or not step.changed:
        return _interruption(step, models, "instances may restart: what differs is not known", certain=False)
    return None


def _of_node_pool(step: StepEvent, models: tuple[str, ...]) -> Interruption | None:
    others = tuple(path for path in step.changed if not path.startswith(_WITHOUT_NEW_NODES))
    if not others:
        return None
    what = "instances may move: the cloud decides whether nodes are replaced"
    return _interruption(step, models, what, because=others, certain=False)


def _interruption(
    step: StepEvent,
    models: tuple[str, ...],
    what: str,
    *,
    because: tuple[str, ...] | None = None,
    certain: bool = True,
) -> Interruption:
    paths = step.changed if because is None else because
    return Interruption(models=models, object=_name(step), what=what, because=paths, certain=certain)


def _name(step: StepEvent) -> str:
    return f"{step.kind} {step.name}"


def _model(step: StepEvent) -> str | None:
    """The model whose engines a workload runs; ``None`` for anything else."""
    kind, name = step.parent_component
    is_engine = kind == "ModelService" and step.kind in _TEMPLATES and step.name != placeholder_name(name)
    return name if is_engine else None


def _shares_pool(step: StepEvent, other: StepEvent) -> bool:
    return (step.type, step.parent) == (other.type, other.parent)


def _models_of_pool(stack: Stack, step: StepEvent) -> tuple[str, ...]:
    """The models on the nodes of a cloud's node pool."""
    kind, name = step.parent_component
    if not kind.endswith("GpuPool") or not step.custom or step.type.startswith("kubernetes:"):
        return ()
    return tuple(model.spec.name for model in stack.models if model.spec.pool == name)
