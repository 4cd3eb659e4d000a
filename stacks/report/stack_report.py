"""What a stack is to be, and what is there of it, as data: pools, nodes, models, their pods, cost.

Nothing is decided here: figures come from ``planning`` and from the cluster. What is not known is ``None``.
"""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.planning.cost import CostLine
from llm_serving.planning.gateway import Exposure, dns_record, exposure, gateway_pods
from llm_serving.planning.replicas import Role, plan_replicas
from llm_serving.spec import BudgetSpec
from stacks.outputs import GatewayOutputs, ModelOutputs, StackOutputs
from stacks.report.cluster_view import ClusterView, NodeView, PodState, PodView
from stacks.report.cost_bounds import CostBounds, cost_bounds
from stacks.settings import PlannedQuantization, ServedModel, ServedRelease, Stack


class CapacityReport(Frozen):
    """A kind of capacity of a pool, most preferred first.

    Attributes:
        pool: name of the pool.
        accelerator: its GPU.
        market: on which terms; ``existing`` for nodes that are already there.
        machine_type: the cloud's name of the machine; ``None`` for nodes that are already there.
        gpus_per_node: GPUs of one node.
        min_nodes, max_nodes: nodes that stay once they are there, and most nodes.
        nodes: nodes that there are; ``None`` where no cluster was asked.
    """

    pool: str
    accelerator: str
    market: str
    machine_type: str | None
    gpus_per_node: int
    min_nodes: int
    max_nodes: int
    nodes: int | None


class ServedReport(Frozen):
    """A release that a model serves.

    Attributes:
        model: name of the model.
        release: the release's version.
        role: what the release is to the stack.
        weight: percent of the requests that settings give a canary; ``None`` for other roles.
        weight_in_force: whether requests are split so; ``None`` for other roles.
        pool: where it runs.
        min_instances, max_instances: its fewest and its most instances.
        gpus_per_instance: GPUs of one instance.
        kv_cache_gib: KV cache on each GPU, in GiB.
        max_concurrency: requests of full context length that an instance holds at once.
        context_length: longest request in tokens.
        why: why an instance has as many GPUs.
        url: where it answers inside the cluster; ``None`` before the first update.
        pods: its pods; ``None`` where no cluster was asked.
    """

    model: str
    release: str
    role: Role
    weight: int | None
    weight_in_force: bool | None
    pool: str
    min_instances: int
    max_instances: int
    gpus_per_instance: int
    kv_cache_gib: float
    max_concurrency: float
    context_length: int
    why: str
    url: str | None
    pods: tuple[PodView, ...] | None


class QuantizationReport(Frozen):
    """Weights that a Job quantizes.

    Attributes:
        name, team, pool: what, whose and where.
        base, base_release: model and release whose weights are quantized.
        scheme: how.
        quantization: what a release says of the result.
        repository, revision: the result, as a release names it.
        gpus: GPUs that the Job asks for.
        memory_gib: memory that it asks for, in GiB.
        image: image of the quantizer.
        reasons: why, by field.
    """

    name: str
    team: str
    pool: str
    base: str
    base_release: str
    scheme: str
    quantization: str
    repository: str
    revision: str
    gpus: int
    memory_gib: float
    image: str
    reasons: dict[str, str]


class GatewayPartReport(Frozen):
    """Pods of a part of the gateway.

    Attributes:
        part: which.
        namespace: where they run.
        min_pods, max_pods: fewest and most of them.
        image: their image.
    """

    part: str
    namespace: str
    min_pods: int
    max_pods: int
    image: str


class HostedProviderReport(Frozen):
    """A hosted provider, to which requests leave the cluster.

    Attributes:
        name: its name.
        url: where it is asked.
        teams: whose requests go there.
        models: that it stands in for.
        budget: what they may spend there.
    """

    name: str
    url: str
    teams: tuple[str, ...]
    models: tuple[str, ...]
    budget: BudgetSpec


class GatewayReport(Frozen):
    """The gateway.

    Attributes:
        namespace: its namespace.
        url: base URL of its API; ``None`` before the first update.
        address: of its load balancer; ``None`` where it has none.
        exposure: from where clients reach it.
        record: the record that DNS must have, as zone files write it; ``None`` where it needs none, and before the
            first update.
        keys: how many may use it.
        hosted: providers outside of the cluster that stand in for models.
        parts: its pods.
    """

    namespace: str
    url: str | None
    address: str | None
    exposure: Exposure
    record: str | None
    keys: int
    hosted: tuple[HostedProviderReport, ...]
    parts: tuple[GatewayPartReport, ...]


class CostLineReport(CostLine):
    """Cost of one capacity entry.

    Attributes:
        usd_per_hour_now: cost of its nodes that there are; ``None`` for an unknown price, and where no cluster was
            asked.
    """

    usd_per_hour_now: float | None


class CostReport(CostBounds):
    """What the GPU nodes cost.

    Attributes:
        lines: one for each capacity entry.
        now_usd_per_hour, now_complete: the sum for the nodes that there are; ``None`` where no cluster was asked.
        unknown: what has no known price.
        left_out: what no sum contains.
    """

    lines: tuple[CostLineReport, ...]
    now_usd_per_hour: float | None
    now_complete: bool | None
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]


class StackReport(Frozen):
    """A stack.

    Attributes:
        settings: the file that it comes from.
        cloud, account, region, zones, cluster: where it runs; what a cluster that is already there does not tell is
            ``None`` or empty.
        location: the same as people are shown it: what, and its value.
        registry, model_cache, control_plane: addresses that an update gave it; ``None`` before.
        pools: kinds of capacity.
        nodes: nodes that there are; ``None`` where no cluster was asked.
        models: what is served.
        gateway: what is in front of them; ``None`` where there is none.
        quantizations: what is quantized.
        cost: ``None`` where the nodes are somebody else's.
        notes: what is accepted and may disappoint.
        warnings: what may resolve itself.
        errors: what does not resolve itself.
    """

    settings: str
    cloud: str
    account: str | None
    region: str | None
    zones: tuple[str, ...]
    cluster: str
    location: Annotated[dict[str, str], Field(exclude=True)]
    registry: str | None
    model_cache: str | None
    control_plane: str | None
    pools: tuple[CapacityReport, ...]
    nodes: tuple[NodeView, ...] | None
    models: tuple[ServedReport, ...]
    gateway: GatewayReport | None
    quantizations: tuple[QuantizationReport, ...]
    cost: CostReport | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]


def report_stack(stack: Stack, outputs: StackOutputs | None = None, view: ClusterView | None = None) -> StackReport:
    """The report.

    Args:
        stack: the stack as its settings have it.
        outputs: what its last update put out.
        view: its nodes and pods; without it the report says what the settings lead to.
    """
    outputs = outputs or StackOutputs()
    return StackReport(
        settings=stack.source,
        cloud=stack.settings.cloud,
        account=stack.settings.account or None,
        region=stack.settings.region or None,
        zones=stack.settings.zones,
        cluster=stack.settings.cluster.name,
        location=stack.settings.location,
        registry=outputs.registry,
        model_cache=outputs.model_cache,
        control_plane=outputs.cluster.endpoint if outputs.cluster else None,
        pools=tuple(_capacity(stack, view)),
        nodes=None if view is None else tuple(sorted(view.nodes, key=lambda node: (node.pool, node.name))),
        models=tuple(
            _served(stack, model, index, outputs.models.get(model.spec.name), view)
            for model in stack.models
            for index in range(len(model.releases))
        ),
        gateway=_gateway(stack, outputs.gateway),
        quantizations=tuple(report_quantization(job) for job in stack.quantizations),
        cost=_cost(stack, view) if stack.settings.buys_nodes else None,
        notes=tuple(map(str, stack.notes)),
        warnings=() if view is None else tuple(warnings(stack, view)),
        errors=() if view is None else tuple(errors(view)),
    )


def report_quantization(job: PlannedQuantization) -> QuantizationReport:
    """The report of one quantization."""
    return QuantizationReport(
        name=job.spec.name,
        team=job.spec.team,
        pool=job.spec.pool,
        base=job.base.spec.name,
        base_release=job.base.spec.version,
        scheme=job.spec.scheme.value,
        quantization=job.plan.makes.value,
        repository=job.plan.repository,
        revision=job.plan.revision,
        gpus=job.plan.gpus,
        memory_gib=job.plan.memory_gib,
        image=job.spec.image.reference,
        reasons=job.plan.reasons,
    )


def warnings(stack: Stack, view: ClusterView) -> list[str]:
    """What may resolve itself: pods that wait for capacity, and models with fewer pods than asked for."""
    waiting = [pod for pod in view.pods if pod.state is PodState.WAITING_FOR_CAPACITY]
    lines = [f"{pod.namespace}/{pod.name} waits for capacity: {pod.reason}" for pod in waiting]
    for model in stack.models:
        for instances in plan_replicas(model.spec):
            pods = len(view.pods_of(model.spec.name, model.spec.team, instances.version))
            if pods < instances.fewest:
                lines.append(f"{model.spec.name} {instances.version}: {pods} of {instances.fewest} pods exist")
    return lines


def errors(view: ClusterView) -> list[str]:
    """What does not resolve itself: pods that fail."""
    failing = [pod for pod in view.pods if pod.state is PodState.FAILING]
    return [f"{pod.namespace}/{pod.name} fails: {pod.reason}" for pod in failing]


def _capacity(stack: Stack, view: ClusterView | None) -> list[CapacityReport]:
    capacity: list[CapacityReport] = []
    for pool in stack.settings.pools:
        node = stack.cloud.pool_node(pool)
        if not pool.capacity:
            capacity.append(
                CapacityReport(
                    pool=pool.name,
                    accelerator=node.gpu_label,
                    market="existing",
                    machine_type=None,
                    gpus_per_node=node.gpus,
                    min_nodes=pool.max_nodes,
                    max_nodes=pool.max_nodes,
                    nodes=None,
                )
            )
        capacity += [
            CapacityReport(
                pool=pool.name,
                accelerator=node.gpu_label,
                market=entry.market,
                machine_type=entry.machine_type,
                gpus_per_node=node.gpus,
                min_nodes=entry.min,
                max_nodes=entry.max,
                nodes=None if view is None else _node_count(view, pool.name, entry.market, entry.machine_type),
            )
            for entry in pool.capacity
        ]
    return capacity


def _served(
    stack: Stack, model: ServedModel, index: int, addresses: ModelOutputs | None, view: ClusterView | None
) -> ServedReport:
    served, instances = model.releases[index], plan_replicas(model.spec)[index]
    canary = model.spec.releases.canary if served.role is Role.CANARY else None
    return ServedReport(
        model=model.spec.name,
        release=served.release.spec.version,
        role=served.role,
        weight=canary.weight if canary else None,
        weight_in_force=stack.settings.gateway is not None if canary else None,
        pool=model.spec.pool,
        min_instances=instances.fewest,
        max_instances=instances.most,
        gpus_per_instance=served.plan.gpus,
        kv_cache_gib=served.plan.kv_cache_gib,
        max_concurrency=served.plan.max_concurrency,
        context_length=served.release.spec.context_length,
        why=served.plan.reasons.get("tensor_parallelism", ""),
        url=_url(addresses, served),
        pods=None if view is None else tuple(view.pods_of(model.spec.name, model.spec.team, instances.version)),
    )


def _url(model: ModelOutputs | None, served: ServedRelease) -> str | None:
    """Where a release answers: the stable one under the model's own address."""
    if model is None:
        return None
    return model.url if served.role is Role.STABLE else model.release_urls.get(served.release.spec.version)


def _gateway(stack: Stack, outputs: GatewayOutputs | None) -> GatewayReport | None:
    spec = stack.settings.gateway
    if spec is None:
        return None
    return GatewayReport(
        namespace=spec.namespace,
        url=outputs.url if outputs else None,
        address=(outputs.address or None) if outputs else None,
        exposure=exposure(spec),
        record=dns_record(spec, outputs.address) if outputs else None,
        keys=len(spec.keys),
        hosted=tuple(
            HostedProviderReport(
                name=provider.name,
                url=provider.url,
                teams=provider.teams,
                models=tuple(each.model for each in provider.models),
                budget=provider.budget,
            )
            for provider in spec.hosted
        ),
        parts=tuple(
            GatewayPartReport(
                part=pods.part,
                namespace=pods.namespace,
                min_pods=pods.fewest,
                max_pods=pods.most,
                image=pods.image.reference,
            )
            for pods in gateway_pods(spec, stack.settings.models, stack.gateway_models)
        ),
    )


GATEWAY_COST = "pods and disks of the gateway"
"""What no sum contains where there is one: its pods run on system nodes."""


def _cost(stack: Stack, view: ClusterView | None) -> CostReport:
    cost = stack.cost
    now: list[float | None] = [
        None if view is None else line.usd_for(_node_count(view, line.pool, line.market, line.machine_type))
        for line in cost.lines
    ]
    return CostReport(
        lines=tuple(
            CostLineReport(**dict(line), usd_per_hour_now=usd) for line, usd in zip(cost.lines, now, strict=True)
        ),
        now_usd_per_hour=None if view is None else round(sum(usd or 0 for usd in now), 4),
        now_complete=None if view is None else None not in now,
        **dict(cost_bounds(cost)),
        unknown=cost.unknown,
        left_out=(*cost.left_out, *(() if stack.settings.gateway is None else (GATEWAY_COST,))),
    )


def _node_count(view: ClusterView, pool: str, market: str, machine_type: str) -> int:
    """Nodes of one capacity entry that exist."""
    return sum((node.pool, node.market, node.machine_type) == (pool, market, machine_type) for node in view.nodes)
