"""The summary of a stack: network, pools, nodes, models and their pods, endpoints, cost an hour.

Rendering only. What is shown was decided by ``planning``, put out by the program, or read from the cluster.
"""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llm_serving.catalog import machine_type
from llm_serving.planning.cost import CostEstimate
from llm_serving.planning.replicas import ReleaseReplicas, Role, describe_role, plan_replicas
from llm_serving.spec import Market
from stacks.outputs import ModelOutputs, StackOutputs
from stacks.report.cluster_view import ClusterView, PodState, PodView
from stacks.report.tables import plain_table, usd
from stacks.settings import ServedModel, ServedRelease, Stack

_STYLES = {
    PodState.READY: "green",
    PodState.STARTING: "yellow",
    PodState.WAITING_FOR_CAPACITY: "yellow",
    PodState.FAILING: "red",
}


def plan_summary(stack: Stack) -> Group:
    """What the settings of a stack lead to, before anything exists."""
    return Group(
        stack_table(stack, StackOutputs()),
        pools_table(stack),
        models_table(stack),
        *_cost(stack),
        *_notes(stack),
    )


def stack_summary(stack: Stack, outputs: StackOutputs, view: ClusterView) -> Group:
    """What there is after an update."""
    parts: list[RenderableType] = [
        stack_table(stack, outputs),
        pools_table(stack, view),
        nodes_table(view),
        models_table(stack, view, outputs),
        *_cost(stack, view),
        *_notes(stack),
    ]
    parts += [Text(f"warning: {line}", style="yellow") for line in warnings(stack, view)]
    parts += [Text(f"error: {line}", style="bold red") for line in errors(view)]
    return Group(*parts)


def warnings(stack: Stack, view: ClusterView) -> list[str]:
    """What may resolve itself: pods that wait for capacity, and models with fewer pods than asked for."""
    waiting = [pod for pod in view.pods if pod.state is PodState.WAITING_FOR_CAPACITY]
    lines = [f"{pod.namespace}/{pod.name} waits for capacity: {pod.reason}" for pod in waiting]
    for model in stack.models:
        for instances in plan_replicas(model.spec):
            pods = len(view.pods_of(model.spec.name, model.spec.team, instances.version))
            if pods < instances.replicas:
                lines.append(f"{model.spec.name} {instances.version}: {pods} of {instances.replicas} pods exist")
    return lines


def errors(view: ClusterView) -> list[str]:
    """What does not resolve itself: pods that fail."""
    failing = [pod for pod in view.pods if pod.state is PodState.FAILING]
    return [f"{pod.namespace}/{pod.name} fails: {pod.reason}" for pod in failing]


def pools_table(stack: Stack, view: ClusterView | None = None) -> Table:
    """A row for each kind of capacity, most preferred first."""
    table = plain_table(
        "Pools", "pool", "GPU", "market", "machine", "GPUs a node", "min-max nodes", *(("nodes now",) if view else ())
    )
    for pool in stack.settings.pools:
        if not pool.capacity:
            gpus = stack.cloud.pool_node(pool).gpus
            table.add_row(pool.name, pool.accelerator, "existing", "", str(gpus), str(pool.max_nodes))
        for index, entry in enumerate(pool.capacity):
            table.add_row(
                pool.name if index == 0 else "",
                pool.accelerator if index == 0 else "",
                entry.market.value,
                entry.machine_type,
                str(_gpus(entry.machine_type, stack)),
                f"{entry.min}-{entry.max}",
                *((str(_node_count(view, pool.name, entry.market.value, entry.machine_type)),) if view else ()),
            )
    return table


def nodes_table(view: ClusterView) -> Table:
    """A row a node."""
    table = plain_table("Nodes", "node", "pool", "machine", "zone", "market", "GPUs", "ready")
    for node in sorted(view.nodes, key=lambda node: (node.pool, node.name)):
        pool = node.pool or "system"
        ready = Text("yes", style="green") if node.ready else Text("no", style="red")
        table.add_row(node.name, pool, node.machine_type, node.zone, node.market, str(node.gpus), ready)
    return table


def models_table(stack: Stack, view: ClusterView | None = None, outputs: StackOutputs | None = None) -> Table:
    """A row for each release of each model; after an update with its pods."""
    last = "endpoint, inside the cluster" if view else "why this many GPUs"
    columns = ("model", "release", "role", "pool", "instances x GPUs", "KV cache", "requests")
    table = plain_table("Models", *columns, *(("pod on node",) if view else ()), last)
    urls = outputs.models if outputs else {}
    for model in stack.models:
        for served, instances in zip(model.releases, plan_replicas(model.spec), strict=True):
            plan = served.plan
            table.add_row(
                model.spec.name,
                served.release.spec.version,
                describe_role(model.spec.releases, served.role),
                model.spec.pool,
                f"{replica_range(instances)} x {plan.gpus}",
                f"{plan.kv_cache_gib:.1f} GiB",
                f"{plan.max_concurrency:.1f} x {served.release.spec.context_length}",
                *((_pods(model, instances, view),) if view else ()),
                _url(urls.get(model.spec.name), served) if view else plan.reasons.get("tensor_parallelism", ""),
            )
    return table


def replica_range(instances: ReleaseReplicas) -> str:
    """How many instances of a release there are: one number, or the fewest and the most."""
    if instances.most == instances.replicas:
        return str(instances.replicas)
    return f"{instances.replicas}-{instances.most}"


def _url(model: ModelOutputs | None, served: ServedRelease) -> str:
    """Where a release answers: the stable one under the model's own address; empty before the first update."""
    if model is None:
        return ""
    return model.url if served.role is Role.STABLE else model.release_urls.get(served.release.spec.version, "")


def _pods(model: ServedModel, instances: ReleaseReplicas, view: ClusterView) -> Text:
    pods: list[PodView] = view.pods_of(model.spec.name, model.spec.team, instances.version)
    if not pods:
        return Text(f"none of {instances.replicas}", style="yellow")
    text = Text()
    for index, pod in enumerate(pods):
        text.append("\n" if index else "")
        text.append(pod.node or "no node", style=_STYLES[pod.state])
        text.append("" if pod.state is PodState.READY else f" ({pod.state.value})")
    return text


def stack_table(stack: Stack, outputs: StackOutputs) -> Table:
    """Where the stack runs, and the addresses that an update gave it."""
    table = plain_table("Stack", "what", "value")
    table.add_row("settings", stack.source)
    for name, value in stack.settings.location.items():
        table.add_row(name, value)
    addresses = {
        "registry": outputs.registry,
        "model cache": outputs.model_cache,
        "control plane": outputs.cluster.endpoint if outputs.cluster else None,
    }
    for name, address in addresses.items():
        if address is not None:
            table.add_row(name, address)
    return table


def _cost(stack: Stack, view: ClusterView | None = None) -> list[RenderableType]:
    settings = stack.settings
    if not settings.buys_nodes:
        return []
    return [cost_table(stack.cost, view)]


def _notes(stack: Stack) -> list[RenderableType]:
    return [Text(f"note: {note}", style="dim") for note in stack.notes]


def cost_table(cost: CostEstimate, view: ClusterView | None) -> Group:
    """Cost an hour of the GPU nodes: of those that are there, and from the fewest to the most."""
    now = ("now",) if view else ()
    table = plain_table("Cost an hour (USD)", "pool", "market", "machine", "one node", *now, "at minimum", "at maximum")
    present: list[float] = []
    for line in cost.lines:
        nodes = _node_count(view, line.pool, line.market, line.machine_type) if view else 0
        usd_now = line.usd_for(nodes)
        present.append(usd_now or 0)
        table.add_row(
            line.pool,
            line.market,
            line.machine_type,
            usd(line.usd_per_hour),
            *((usd(usd_now),) if view else ()),
            usd(line.min_usd_per_hour),
            usd(line.max_usd_per_hour),
        )
    table.add_section()
    known = "sum" if cost.complete else "sum of what is known"
    total = (usd(sum(present)),) if view else ()
    table.add_row(known, "", "", "", *total, usd(cost.min_usd_per_hour), usd(cost.max_usd_per_hour))
    floor = "at minimum: nodes that the fewest instances take, most preferred capacity first, and that a pool keeps"
    notes = [floor] if any(line.min_nodes and line.market != Market.RESERVATION for line in cost.lines) else []
    notes += [f"unknown price: {line}" for line in cost.unknown] + [f"left out: {', '.join(cost.left_out)}"]
    return Group(table, *(Text(note, style="dim") for note in notes))


def _node_count(view: ClusterView, pool: str, market: str, machine_type: str) -> int:
    """Nodes of one capacity entry that exist."""
    return sum((node.pool, node.market, node.machine_type) == (pool, market, machine_type) for node in view.nodes)


def _gpus(machine: str, stack: Stack) -> int:
    return machine_type(stack.cloud.name, machine).gpus
