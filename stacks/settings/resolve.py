"""From settings to a stack that can be built: releases are looked up, rules are checked, models are planned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain
from pathlib import Path

from llm_serving.addons.addon import Addon
from llm_serving.addons.table import DCGM_EXPORTER
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.addons import plan_addons, pools_that_need, read_gpu_exporter
from llm_serving.planning.clouds import Cloud, cloud_named
from llm_serving.planning.cost import CostEstimate, NodesInUse, estimate
from llm_serving.planning.gateway import model_endpoint
from llm_serving.planning.node_room import nodes_in_use
from llm_serving.planning.nodes import NodeShape, gpu_resource
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.quantization import QuantizationPlan, plan_quantization
from llm_serving.planning.replicas import Role, releases_of
from llm_serving.planning.rules import StackShape, check, notes
from llm_serving.planning.rules.models import ROLE_PATHS
from llm_serving.planning.tenancy import max_gpus
from llm_serving.spec import (
    EgressSpec,
    EngineName,
    GpuExporterSpec,
    GpuNodesSpec,
    ImageReference,
    ModelEndpoint,
    ModelSpec,
    Pool,
    QuantizationSpec,
    ReleaseSpec,
    TeamSpec,
)
from stacks.images.lock import (
    LockedImage,
    how_to_get_digest,
    is_built_here,
    is_nowhere,
    name_of,
    push_command,
    read_images,
)
from stacks.releases import RELEASES, Release, read_releases
from stacks.releases.checks import mismatches
from stacks.settings.gateway_images import check_gateway_images, gateway_images
from stacks.settings.models import Settings, in_file

NVIDIA_GPU = "nvidia.com/gpu"
"""The extended resource of NVIDIA's device plugin, which both clouds run."""


@dataclass(frozen=True)
class ServedRelease:
    """One release of a model with what planning made of it.

    Attributes:
        role: what it is to the stack.
        release: the release.
        plan: one instance of it.
    """

    role: Role
    release: Release
    plan: ModelPlan


@dataclass(frozen=True)
class ServedModel:
    """One model with everything that has been decided about it.

    Attributes:
        spec: what the settings say.
        releases: every release that is served, the stable one first.
        node: the node that its pods run on.
    """

    spec: ModelSpec
    releases: tuple[ServedRelease, ...]
    node: NodeShape

    @property
    def release(self) -> Release:
        """The stable release."""
        return self.releases[0].release

    @property
    def plan(self) -> ModelPlan:
        """One instance of the stable release."""
        return self.releases[0].plan


@dataclass(frozen=True)
class PlannedQuantization:
    """Weights to quantize, with everything that has been decided about it.

    Attributes:
        spec: what the settings say.
        base: the release whose weights are quantized.
        node: the node that the Job runs on.
        plan: the Job.
    """

    spec: QuantizationSpec
    base: Release
    node: NodeShape
    plan: QuantizationPlan

    @property
    def base_key(self) -> tuple[str, str]:
        """Model and version whose weights must be in the cache."""
        return self.base.spec.name, self.base.spec.version


@dataclass(frozen=True)
class WantedWeights:
    """Weights that must be in the model cache.

    Attributes:
        team: whose cache it is.
        pool: pool whose nodes read them.
        release: the release that they are of.
        made_by: name of the quantization that makes them; ``None`` where none of the stack does.
    """

    team: str
    pool: str
    release: Release
    made_by: str | None

    @property
    def key(self) -> tuple[str, str]:
        """Model and version."""
        return self.release.spec.name, self.release.spec.version


@dataclass(frozen=True)
class Stack:
    """A stack that passed every check.

    Attributes:
        settings: what was asked for.
        cloud: where it runs.
        models: the models in the order of the settings.
        quantizations: weights to quantize, in the order of the settings.
        notes: what a user should know although nothing is refused.
        unpushed: images that are in no registry yet: the stack can be planned, and not brought up.
        source: the file that the settings came from.
    """

    settings: Settings
    cloud: Cloud
    models: tuple[ServedModel, ...]
    quantizations: tuple[PlannedQuantization, ...]
    notes: tuple[Problem, ...]
    unpushed: tuple[Problem, ...]
    source: str = field(compare=False)

    @property
    def cost(self) -> CostEstimate:
        """What its GPU pools cost an hour, between the fewest nodes on which its models serve and the most."""
        in_use = {pool.name: self._in_use(pool) for pool in self.settings.pools}
        return estimate(self.cloud, self.settings.region, self.settings.pools, in_use)

    def _in_use(self, pool: Pool) -> NodesInUse:
        room = stack_shape(self.settings, {}).room_of(pool)
        assert room is not None, "the rules refuse a pool whose machines are not known"
        models = [
            (model.spec, {served.release.spec.version: served.plan for served in model.releases})
            for model in self.models
            if model.spec.pool == pool.name
        ]
        return nodes_in_use(models, room)

    @property
    def serving_ports(self) -> tuple[int, ...]:
        """TCP ports on which the engines answer, for gateways: those of the engines that are served, or vLLM's."""
        # Imported here: the package of engines loads Pulumi's Kubernetes SDK, which takes seconds that the commands of
        # `stacks` need not spend.
        from llm_serving.serving.engines import engine

        names = {served.release.spec.engine.name for model in self.models for served in model.releases}
        return tuple(sorted({engine(name).port for name in names or {EngineName.VLLM}}))

    @property
    def gateway_models(self) -> tuple[ModelEndpoint, ...]:
        """The models as the gateway knows them; none where there is no gateway."""
        gateway = self.settings.gateway
        if gateway is None:
            return ()
        return tuple(
            model_endpoint(
                gateway,
                model.spec,
                (served.release.spec for served in model.releases),
                model.releases[0].plan.cold_start_seconds,
            )
            for model in self.models
        )

    @property
    def addons(self) -> tuple[Addon, ...]:
        """What is installed beside the models."""
        settings = self.settings
        return plan_addons(settings.addons, settings.models, settings.pools, self.cloud, settings.gateway)

    @property
    def gpu_exporter(self) -> GpuExporterSpec | None:
        """The cloud's exporter of GPUs' utilization that Prometheus reads, where a model needs it."""
        return read_gpu_exporter(self.settings.addons, self.settings.models, self.settings.pools, self.cloud)

    @property
    def exporter_nodes(self) -> tuple[GpuNodesSpec, ...]:
        """Nodes that an exporter of the stack's own runs on, by pool."""
        if DCGM_EXPORTER not in self.addons:
            return ()
        pools = pools_that_need(DCGM_EXPORTER, self.settings.models, self.settings.pools)
        return tuple(nodes for pool in pools if (nodes := self.cloud.exporter_nodes(pool)) is not None)

    @property
    def launched_models(self) -> tuple[str, ...]:
        """Names of the models to which the launcher comes with a release."""
        return tuple(
            model.spec.name
            for model in self.models
            if model.spec.engine.launcher and not all(served.release.spec.image.launcher for served in model.releases)
        )

    @property
    def scales(self) -> bool:
        """Whether a model scales by demand, for which there must be KEDA and Prometheus, whoever brings them."""
        return any(model.autoscaling is not None for model in self.settings.models)

    def has_models(self, team: TeamSpec) -> bool:
        """Whether a team serves any model, or quantizes one: weights are loaded into its cache."""
        jobs = (job.spec.team == team.name for job in self.quantizations)
        return any(model.spec.team == team.name for model in self.models) or any(jobs)

    @property
    def wanted_weights(self) -> tuple[WantedWeights, ...]:
        """Weights that must be in the model cache: those of every release that is served, and those of which others
        are made; each once."""
        served = (
            WantedWeights(model.spec.team, model.spec.pool, each.release, self._made_by(each.release))
            for model in self.models
            for each in model.releases
        )
        bases = (WantedWeights(job.spec.team, job.spec.pool, job.base, None) for job in self.quantizations)
        wanted: dict[tuple[str, str], WantedWeights] = {}
        for weights in (*served, *bases):
            wanted.setdefault(weights.key, weights)
        return tuple(wanted.values())

    def _made_by(self, release: Release) -> str | None:
        """The quantization whose result a release has; ``None`` where none of the stack makes it."""
        source = release.spec.model
        if source.source != "cache":
            return None
        made = (source.repository, source.revision)
        return next(
            (job.spec.name for job in self.quantizations if (job.plan.repository, job.plan.revision) == made), None
        )

    def gpu_resource(self, team: TeamSpec) -> str:
        """The extended resource that a team's models ask for; of several, the quota covers the first."""
        wanted = {model.spec.pool for model in self.models if model.spec.team == team.name}
        wanted |= {job.spec.pool for job in self.quantizations if job.spec.team == team.name}
        resources = (gpu_resource(pool) for pool in self.settings.pools if pool.name in wanted)
        return next((resource for resource in resources if resource is not None), NVIDIA_GPU)

    def gpu_quota(self, team: TeamSpec) -> int:
        """GPUs that a team may ask for: its setting, or the sum of what its models can reach and its quantizations
        take."""
        if team.gpu_quota is not None:
            return team.gpu_quota
        gpu_pools = {pool.name for pool in self.settings.pools if gpu_resource(pool) is not None}
        models = sum(
            max_gpus(model.spec, max(served.plan.gpus for served in model.releases))
            for model in self.models
            if model.spec.team == team.name and model.spec.pool in gpu_pools
        )
        jobs = (job for job in self.quantizations if job.spec.team == team.name and job.spec.pool in gpu_pools)
        return models + sum(job.plan.gpus for job in jobs)


def resolve(settings: Settings, source: str, releases: Path = RELEASES) -> Stack:
    """The stack that the settings describe.

    Raises:
        ProblemsError: with everything that rules and planning refuse, in the file's own property paths.
    """
    known = read_releases(releases)
    pulled = {key: _as_pulled(release, settings) for key, release in known.items()}
    shape = stack_shape(settings, {key: release.spec for key, release in pulled.items()})
    lock = read_images(releases)
    problems = [
        *check(shape),
        *_check_mirror(settings),
        *_check_releases(settings, known, lock),
        *check_gateway_images(shape, lock),
    ]
    if problems:
        raise ProblemsError(map(in_file, problems), source)
    models = tuple(_served(model, pulled, shape) for model in settings.models)
    problems = [*_check_environments(models, settings.egress)]
    if problems:
        raise ProblemsError(map(in_file, problems), source)
    images = _images(settings, known, shape)
    unpushed = tuple(in_file(_unpushed(image, lock)) for image in images if is_nowhere(image.reference))
    by_tag = (
        Problem(
            image.path,
            image.reference.reference,
            "is pulled by its tag, which may be another image tomorrow",
            Suggestion(how, needs=Needs.COMMAND),
        )
        for image in images
        if not is_nowhere(image.reference) and (how := how_to_get_digest(image.reference, image.name, lock))
    )
    return Stack(
        settings=settings,
        cloud=shape.cloud,
        models=models,
        quantizations=tuple(_quantization(job, pulled, shape) for job in settings.quantizations),
        notes=(*unpushed, *map(in_file, (*notes(shape), *by_tag))),
        unpushed=unpushed,
        source=source,
    )


def _check_releases(
    settings: Settings, known: Mapping[tuple[str, str], Release], images: Mapping[str, LockedImage]
) -> Iterator[Problem]:
    """Releases that are served although something in them cannot be: files written by hand are locked unread."""
    for index, model in enumerate(settings.models):
        for role, version in releases_of(model):
            release = known.get((model.name, version))
            if release is None:
                continue
            for problem in mismatches(release.spec, images):
                said = "" if problem.value is None else f" = {problem.value}"
                reason = f"{release.file}: {problem.path}{said}: {problem.reason}"
                in_release = Suggestion(problem.suggestion, needs=Needs.ELSEWHERE)
                yield Problem(f"models[{index}].{ROLE_PATHS[role]}", version, reason, in_release)


def refuse_unpushed(stack: Stack) -> Stack:
    """The stack, where nodes can pull all of its images.

    Raises:
        ProblemsError: naming those that are in no registry yet, and the command that brings them there.
    """
    if stack.unpushed:
        raise ProblemsError(stack.unpushed, stack.source)
    return stack


@dataclass(frozen=True)
class _Image:
    """An image that nodes pull.

    Attributes:
        path: property path that asks for it.
        reference: which it is.
        name: its ``name@version``; ``None`` where it is written out.
    """

    path: str
    reference: ImageReference
    name: str | None


def _images(settings: Settings, releases: Mapping[tuple[str, str], Release], shape: StackShape) -> list[_Image]:
    served = [
        (f"models[{index}].releases.{role}", releases[model.name, version])
        for index, model in enumerate(settings.models)
        for role, version in releases_of(model)
    ]
    images = [_Image(path, _image(release, settings), release.image_name) for path, release in served]
    for index, job in enumerate(settings.quantizations):
        path = f"quantizations[{index}].image"
        images.append(_Image(path, job.image, settings.image_name(path)))
    images += [_Image(path, image, settings.image_name(path)) for path, image in gateway_images(shape)]
    if settings.loader is None:
        return images
    return [_Image("loader.image", settings.loader.image, settings.image_name("loader.image")), *images]


def _unpushed(image: _Image, lock: Mapping[str, LockedImage]) -> Problem:
    reason = "is in no registry yet"
    if image.name is not None:
        return Problem(image.path, image.name, reason, Suggestion(push_command(image.name), needs=Needs.COMMAND))
    # What is written out does not change with the lock.
    last = image.reference.repository.rpartition("/")[2]
    name = name_of(image.reference, lock) or f"{last}@{image.reference.tag}"
    pushed = Suggestion(f"{push_command(name)}, then {name} in its place", needs=Needs.COMMAND)
    return Problem(image.path, image.reference.reference, reason, pushed)


def _check_mirror(settings: Settings) -> Iterator[Problem]:
    """The hub's token goes with each request."""
    endpoint = settings.egress.hub_endpoint if settings.egress is not None else None
    if endpoint is None or settings.loader is None or settings.loader.token_secret is None:
        return
    if endpoint.startswith("http:"):
        reason = "would be sent the hub's token in the clear"
        yield Problem(
            "egress.hubEndpoint", endpoint, reason, Suggestion(values=[f"https:{endpoint.removeprefix('http:')}"])
        )


def _check_environments(models: Sequence[ServedModel], egress: EgressSpec | None) -> Iterator[Problem]:
    """What ``serving`` refuses of ``engine.environment``, once for each variable."""
    if not any(model.spec.engine.environment for model in models):
        return
    # Imported here, as above.
    from llm_serving.serving.environment import check_environment

    for index, model in enumerate(models):
        problems = (
            check_environment(model.spec, served.release.spec, served.plan, egress) for served in model.releases
        )
        yield from dict.fromkeys(problem.under(f"models[{index}]") for problem in chain.from_iterable(problems))


def stack_shape(settings: Settings, releases: Mapping[tuple[str, str], ReleaseSpec]) -> StackShape:
    """What the rules look at."""
    cloud = cloud_named(settings.cloud)
    return StackShape(
        cloud=cloud,
        region=settings.region,
        zones=settings.zones,
        max_pods_per_node=settings.max_pods_per_node,
        gcp=settings.gcp_shape,
        aws=settings.aws_shape,
        pools=settings.pools,
        models=settings.models,
        quantizations=settings.quantizations,
        releases=releases,
        teams=settings.teams,
        loader=settings.loader,
        launcher=settings.launcher,
        weights=settings.weights,
        cache_storage=settings.made_claim,
        addons=settings.addons,
        gateway=settings.gateway,
        sidecar=cloud.cache_sidecar,
        today=today(),
    )


def today() -> date:
    """The day on which settings are checked: support of a version ends on a day."""
    return date.today()


def _as_pulled(release: Release, settings: Settings) -> Release:
    """A release with the image that nodes pull for it: rules and plans see the same, so both count its cold start."""
    image = settings.pulled(_image(release, settings))
    return replace(release, spec=release.spec.model_copy(update={"image": image}))


def _served(model: ModelSpec, releases: Mapping[tuple[str, str], Release], shape: StackShape) -> ServedModel:
    node = shape.node(model.pool)
    assert node is not None, "the rules refuse a model whose pool is not known"

    def served(role: Role, version: str) -> ServedRelease:
        release = releases[model.name, version]
        return ServedRelease(role, release, plan_model(model, release.spec, node, shape.cloud, shape.sidecar))

    return ServedModel(model, tuple(served(role, version) for role, version in releases_of(model)), node)


def _quantization(
    spec: QuantizationSpec, releases: Mapping[tuple[str, str], Release], shape: StackShape
) -> PlannedQuantization:
    node = shape.node(spec.pool)
    assert node is not None, "the rules refuse a quantization whose pool is not known"
    base = releases[spec.base.model, spec.base.release]
    return PlannedQuantization(spec, base, node, plan_quantization(spec, base.spec, node, shape.cloud, shape.sidecar))


def _image(release: Release, settings: Settings) -> ImageReference:
    """The image that a release's engine runs: its own, or the one that the settings have in its place. One of this
    machine is built from `images/`, where none has had a launcher inside since that comes with the release, whatever
    older releases say."""
    other = settings.engine_images.get(release.spec.engine.name) or settings.images.get(release.image_name or "")
    if other is not None:
        return other
    image = release.spec.image
    return image.model_copy(update={"launcher": False}) if is_built_here(image) else image
