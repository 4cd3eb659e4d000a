"""Everything that was decided for a model, as data: releases, an instance, cold start, drain, scaling, cost.

Nothing is decided here: what is reported was decided by ``planning`` or stands in the settings.
"""

from llm_serving.addons.addon import AddonProvider
from llm_serving.arguments import Frozen
from llm_serving.catalog import QuantizationQuality, accelerator, quantization_quality
from llm_serving.planning.addons import gpu_exporter_provider
from llm_serving.planning.cold_start import warms_up
from llm_serving.planning.disruption import longer_than_window, plan_drain
from llm_serving.planning.instance_cost import CapacityCost, capacity_costs, gpu_range
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan
from llm_serving.planning.replicas import Role, plan_replicas
from llm_serving.planning.timeouts import startup_timeout_seconds
from llm_serving.spec import AutoscalingSpec, EngineName, ModelSpec, Pool
from llm_serving.spec.model import ServiceClass
from stacks.report.stack_report import QuantizationReport, report_quantization
from stacks.settings import NAMESPACE, ServedModel, ServedRelease, Stack


class LauncherReport(Frozen):
    """What of the launcher is there with a release.

    Attributes:
        comes_with: ``release`` or ``image``; ``None`` where there is no launcher.
        version: the launcher's version, where settings name one.
        counts_drain: requests end, or are refused or ended with an error, and counted, when an instance ends.
        warm_up: a request is sent before an instance counts as ready.
        gpu_signal: it reports the utilization of the GPU.
    """

    comes_with: str | None
    version: str | None
    counts_drain: bool
    warm_up: bool
    gpu_signal: bool


class ReleaseReport(Frozen):
    """A release, and one instance of it.

    Attributes:
        version: its version.
        role: what it is to the stack.
        weight: percent of the requests that settings give a canary; ``None`` for other roles.
        weight_in_force: whether requests are split so; ``None`` for other roles.
        sha256: hash of its content.
        engine, engine_version, image: the engine.
        repository, revision: the weights.
        quantization: of the weights.
        quality: what is published of the quality of the weights in that quantization.
        context_length: longest request in tokens.
        min_instances, max_instances: its fewest and its most instances.
        base_instances: of these, instances on capacity that is not taken away.
        autoscaling: bounds and signals; ``None`` where the number is fixed.
        instance: one instance, decided, with the reasons and the cold start.
        cold_start_seconds: estimate from the pending pod to the first answer.
        startup_timeout_seconds: time in which an instance must answer.
        launcher: what of the launcher is there.
    """

    version: str
    role: Role
    weight: int | None
    weight_in_force: bool | None
    sha256: str
    engine: EngineName
    engine_version: str
    image: str
    repository: str
    revision: str
    quantization: str
    quality: tuple[QuantizationQuality, ...]
    context_length: int
    min_instances: int
    max_instances: int
    base_instances: int
    autoscaling: AutoscalingSpec | None
    instance: ModelPlan
    cold_start_seconds: int
    startup_timeout_seconds: float
    launcher: LauncherReport


class DrainReport(Frozen):
    """The end of an instance, in seconds.

    Attributes:
        pre_stop, shutdown_timeout, grace_period: the pod's times.
        pre_stop_is_default, shutdown_timeout_is_default: nobody asked for them.
        notice: shortest termination notice of the pool; ``None`` where nodes are not taken away.
        longest_request: longest request of the model; ``None`` where it is not known.
        longest_is_cut: such a request may be cut.
    """

    pre_stop: int
    shutdown_timeout: int
    grace_period: int
    pre_stop_is_default: bool
    shutdown_timeout_is_default: bool
    notice: int | None
    longest_request: int | None
    longest_is_cut: bool


class ModelCost(Frozen):
    """Cost an hour of the model's share of its nodes, in USD.

    Attributes:
        min_gpus, max_gpus: GPUs of all releases and placeholders, at the fewest and at the most instances.
        capacity: cost on each kind of capacity, if all instances were on it.
    """

    min_gpus: int
    max_gpus: int
    capacity: tuple[CapacityCost, ...]


class ModelReport(Frozen):
    """A model.

    Attributes:
        name, team, pool, accelerator: what, whose and where.
        capacity: markets and machines of the pool, most preferred first; empty for nodes that are already there.
        node: a node as pods see it.
        has_gpu: it has GPUs.
        releases: what is served, the stable release first.
        drain: the end of an instance.
        service_class: what gives way to what.
        placeholders: nodes that are held ready.
        surge: instances that a rollout starts beside those that they replace.
        gpu_exporter: who brings the utilization of its GPUs to the Prometheus that scales, where no launcher does.
        prometheus_url: the Prometheus of somebody else that scaling asks; ``None`` for that of the stack.
        cost: cost of its instances.
        notes: what is accepted and may disappoint.
    """

    name: str
    team: str
    pool: str
    accelerator: str
    capacity: tuple[str, ...]
    node: NodeShape
    has_gpu: bool
    releases: tuple[ReleaseReport, ...]
    drain: DrainReport
    service_class: ServiceClass
    placeholders: int
    surge: int
    gpu_exporter: AddonProvider
    prometheus_url: str | None
    cost: ModelCost
    notes: tuple[str, ...]


class ExplainReport(Frozen):
    """Models of a stack.

    Attributes:
        settings: the file that the stack comes from.
        models: the models that were asked for.
        quantizations: those of which a model that was asked for is the base; all where none was asked for.
    """

    settings: str
    models: tuple[ModelReport, ...]
    quantizations: tuple[QuantizationReport, ...]


def report_models(stack: Stack, name: str | None = None) -> ExplainReport:
    """All models of a stack, or the one of that name."""
    models = tuple(_model(stack, index) for index, model in enumerate(stack.models) if name in (None, model.spec.name))
    jobs = (job for job in stack.quantizations if name in (None, job.base.spec.name))
    return ExplainReport(settings=stack.source, models=models, quantizations=tuple(map(report_quantization, jobs)))


def _model(stack: Stack, index: int) -> ModelReport:
    model = stack.models[index]
    pool = next(pool for pool in stack.settings.pools if pool.name == model.spec.pool)
    path = f"{NAMESPACE}:models[{index}]"
    return ModelReport(
        name=model.spec.name,
        team=model.spec.team,
        pool=pool.name,
        accelerator=model.node.gpu_label,
        capacity=tuple(f"{entry.market.value} {entry.machine_type}" for entry in pool.capacity),
        node=model.node,
        has_gpu=_has_gpu(model),
        releases=tuple(_release(stack, model, position) for position in range(len(model.releases))),
        drain=_drain(model.spec, stack.cloud.spot_notice_seconds(pool)),
        service_class=model.spec.service_class,
        placeholders=model.spec.warm_pool.placeholders,
        surge=model.spec.surge,
        gpu_exporter=gpu_exporter_provider(stack.settings.addons, stack.cloud),
        prometheus_url=stack.settings.addons.prometheus_url,
        cost=_cost(stack, model, pool),
        notes=tuple(str(note) for note in stack.notes if note.path == path or note.path.startswith(f"{path}.")),
    )


def _release(stack: Stack, model: ServedModel, index: int) -> ReleaseReport:
    served, instances = model.releases[index], plan_replicas(model.spec)[index]
    spec = served.release.spec
    canary = model.spec.releases.canary if served.role is Role.CANARY else None
    return ReleaseReport(
        version=spec.version,
        role=served.role,
        weight=canary.weight if canary else None,
        weight_in_force=stack.settings.gateway is not None if canary else None,
        sha256=served.release.sha256,
        engine=spec.engine.name,
        engine_version=spec.engine.version,
        image=spec.image.reference,
        repository=spec.model.repository,
        revision=spec.model.revision,
        quantization=spec.quantization.value,
        quality=quantization_quality(spec.model.repository, spec.quantization),
        context_length=spec.context_length,
        min_instances=instances.fewest,
        max_instances=instances.most,
        base_instances=instances.base,
        autoscaling=instances.autoscaling,
        instance=served.plan,
        cold_start_seconds=served.plan.cold_start_seconds,
        startup_timeout_seconds=startup_timeout_seconds(model.spec.timeouts, served.plan.cold_start_seconds),
        launcher=_launcher(stack, model, served),
    )


def _launcher(stack: Stack, model: ServedModel, served: ServedRelease) -> LauncherReport:
    engine, spec = model.spec.engine, served.release.spec
    if not engine.launcher:
        return LauncherReport(comes_with=None, version=None, counts_drain=False, warm_up=False, gpu_signal=False)
    return LauncherReport(
        comes_with="image" if spec.image.launcher else "release",
        version=None if spec.image.launcher else stack.settings.launcher.version,
        counts_drain=spec.engine.name is EngineName.VLLM,
        warm_up=warms_up(model.spec, spec),
        gpu_signal=_has_gpu(model),
    )


def _has_gpu(model: ServedModel) -> bool:
    return accelerator(model.node.accelerator).resource is not None


def _drain(spec: ModelSpec, notice: int | None) -> DrainReport:
    drain = plan_drain(spec.drain, notice)
    return DrainReport(
        pre_stop=drain.pre_stop,
        shutdown_timeout=drain.shutdown_timeout,
        grace_period=drain.grace_period,
        pre_stop_is_default=spec.drain.pre_stop_seconds is None,
        shutdown_timeout_is_default=spec.drain.shutdown_timeout_seconds is None,
        notice=notice,
        longest_request=spec.drain.longest_request_seconds,
        longest_is_cut=longer_than_window(spec.drain, drain),
    )


def _cost(stack: Stack, model: ServedModel, pool: Pool) -> ModelCost:
    gpus = [served.plan.gpus for served in model.releases]
    fewest, most = gpu_range(model.spec, gpus)
    costs = capacity_costs(stack.cloud, stack.settings.region, pool, model.spec, gpus)
    return ModelCost(min_gpus=fewest, max_gpus=most, capacity=tuple(costs))
