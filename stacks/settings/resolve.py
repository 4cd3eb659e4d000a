"""From settings to a stack that can be built: releases are looked up, rules are checked, models are planned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from llm_serving.addons.addon import Addon
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.addons import plan_addons
from llm_serving.planning.clouds import Cloud, cloud_named
from llm_serving.planning.nodes import NodeShape, gpu_resource
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.replicas import Role, releases_of
from llm_serving.planning.rules import StackShape, check, notes
from llm_serving.planning.tenancy import max_gpus
from llm_serving.spec import EgressSpec, EngineName, ImageReference, ModelSpec, ReleaseSpec, TeamSpec
from stacks.releases import RELEASES, Release, read_releases
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
class Stack:
    """A stack that passed every check.

    Attributes:
        settings: what was asked for.
        cloud: where it runs.
        models: the models in the order of the settings.
        notes: what a user should know although nothing is refused.
        source: the file that the settings came from.
    """

    settings: Settings
    cloud: Cloud
    models: tuple[ServedModel, ...]
    notes: tuple[Problem, ...]
    source: str = field(compare=False)

    @property
    def serving_ports(self) -> tuple[int, ...]:
        """TCP ports on which the engines answer, for gateways: those of the engines that are served, or vLLM's."""
        # Imported here: the package of engines loads Pulumi's Kubernetes SDK, which takes seconds that the commands of
        # `stacks` need not spend.
        from llm_serving.serving.engines import engine

        names = {served.release.spec.engine.name for model in self.models for served in model.releases}
        return tuple(sorted({engine(name).port for name in names or {EngineName.VLLM}}))

    @property
    def addons(self) -> tuple[Addon, ...]:
        """What is installed beside the models."""
        return plan_addons(self.settings.addons, self.settings.models, self.cloud)

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

    def gpu_resource(self, team: TeamSpec) -> str:
        """The extended resource that a team's models ask for; of several, the quota covers the first."""
        wanted = {model.spec.pool for model in self.models if model.spec.team == team.name}
        resources = (gpu_resource(pool) for pool in self.settings.pools if pool.name in wanted)
        return next((resource for resource in resources if resource is not None), NVIDIA_GPU)

    def gpu_quota(self, team: TeamSpec) -> int:
        """GPUs that a team may ask for: its setting, or the sum of what its models can reach."""
        if team.gpu_quota is not None:
            return team.gpu_quota
        gpu_pools = {pool.name for pool in self.settings.pools if gpu_resource(pool) is not None}
        return sum(
            max_gpus(model.spec, max(served.plan.gpus for served in model.releases))
            for model in self.models
            if model.spec.team == team.name and model.spec.pool in gpu_pools
        )


def resolve(settings: Settings, source: str, releases: Path = RELEASES) -> Stack:
    """The stack that the settings describe.

    Raises:
        ProblemsError: with everything that rules and planning refuse, in the file's own property paths.
    """
    known = read_releases(releases)
    shape = stack_shape(settings, {key: release.spec for key, release in known.items()})
    problems = check(shape)
    if problems:
        raise ProblemsError(map(in_file, problems), source)
    models = tuple(_served(model, known, shape, settings.engine_images) for model in settings.models)
    problems = [*_check_environments(models, settings.egress)]
    if problems:
        raise ProblemsError(map(in_file, problems), source)
    return Stack(
        settings=settings,
        cloud=shape.cloud,
        models=models,
        notes=tuple(map(in_file, notes(shape))),
        source=source,
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
        pools=settings.pools,
        models=settings.models,
        releases=releases,
        teams=settings.teams,
        loader=settings.loader,
        launcher=settings.launcher,
        weights=settings.weights,
        addons=settings.addons,
        sidecar=cloud.cache_sidecar,
    )


def _served(
    model: ModelSpec,
    releases: Mapping[tuple[str, str], Release],
    shape: StackShape,
    images: Mapping[EngineName, ImageReference],
) -> ServedModel:
    node = shape.node(model.pool)
    assert node is not None, "the rules refuse a model whose pool is not known"

    def served(role: Role, version: str) -> ServedRelease:
        release = releases[model.name, version]
        image = images.get(release.spec.engine.name)
        if image is not None:
            release = replace(release, spec=release.spec.model_copy(update={"image": image}))
        return ServedRelease(role, release, plan_model(model, release.spec, node, shape.cloud, shape.sidecar))

    return ServedModel(model, tuple(served(role, version) for role, version in releases_of(model)), node)
