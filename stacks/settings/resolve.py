"""From settings to a stack that can be built: releases are looked up, rules are checked, models are planned."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.host import cache_sidecar
from llm_serving.planning.nodes import NodeShape, gpu_resource
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.rules import StackShape, check, notes
from llm_serving.spec import EngineName, ImageReference, LoaderSpec, ModelSpec, ReleaseSpec, TeamSpec
from stacks.releases import RELEASES, Release, read_releases
from stacks.settings.models import ExistingSettings, GcpSettings, Settings, in_file

NVIDIA_GPU = "nvidia.com/gpu"
"""The extended resource of NVIDIA's device plugin, which both clouds run."""


@dataclass(frozen=True)
class ServedModel:
    """One model with everything that has been decided about it.

    Attributes:
        spec: what the settings say.
        release: the stable release.
        node: the node that its pods run on.
        plan: what planning made of it.
    """

    spec: ModelSpec
    release: Release
    node: NodeShape
    plan: ModelPlan


@dataclass(frozen=True)
class Stack:
    """A stack that passed every check.

    Attributes:
        settings: what was asked for.
        models: the models in the order of the settings.
        notes: what a user should know although nothing is refused.
        source: the file that the settings came from.
    """

    settings: Settings
    models: tuple[ServedModel, ...]
    notes: tuple[Problem, ...]
    source: str = field(compare=False)

    @cached_property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        settings = self.settings
        if isinstance(settings, ExistingSettings):
            return {"cloud": settings.cloud, "cluster.name": settings.cluster.name}
        cluster = settings.cluster
        fixed = {
            "cloud": settings.cloud,
            "project": settings.project,
            "region": settings.region,
            "cluster.name": cluster.name,
            "cluster.regional": str(cluster.regional).lower(),
            "cluster.maxPodsPerNode": str(cluster.max_pods_per_node),
            "network.nodes": str(settings.network.nodes),
            "network.pods": str(settings.network.pods),
            "network.services": str(settings.network.services),
            "network.proxies": str(settings.network.proxies),
        }
        # The control plane of a zonal cluster cannot move to another zone.
        return fixed if cluster.regional else {**fixed, "cluster.zones[0]": cluster.zones[0]}

    @property
    def loader(self) -> LoaderSpec | None:
        """What fills the model cache; ``None`` where somebody else does."""
        return _loader(self.settings)

    def gpu_resource(self, team: TeamSpec) -> str:
        """The extended resource that a team's models ask for; of several, the quota covers the first."""
        wanted = {model.spec.pool for model in self.models if model.spec.team == team.name}
        asked = (gpu_resource(pool) for pool in self.settings.pools if pool.name in wanted)
        return next((resource for resource in asked if resource is not None), NVIDIA_GPU)

    def gpu_quota(self, team: TeamSpec) -> int:
        """GPUs that a team may ask for: its setting, or the sum over its models with one instance more for each,
        because a pod that ends counts until it is gone, and its successor would be refused meanwhile."""
        if team.gpu_quota is not None:
            return team.gpu_quota
        counted = {pool.name for pool in self.settings.pools if gpu_resource(pool) is not None}
        return sum(
            model.plan.gpus * (model.spec.replicas + model.spec.surge)
            for model in self.models
            if model.spec.team == team.name and model.spec.pool in counted
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
    images = settings.engine_images if isinstance(settings, ExistingSettings) else {}
    return Stack(
        settings=settings,
        models=tuple(_served(model, known, shape, images) for model in settings.models),
        notes=tuple(map(in_file, notes(shape))),
        source=source,
    )


def stack_shape(settings: Settings, releases: Mapping[tuple[str, str], ReleaseSpec]) -> StackShape:
    """What the rules look at."""
    is_cloud = isinstance(settings, GcpSettings)
    return StackShape(
        cloud=settings.cloud,
        region=settings.region if is_cloud else "",
        network=settings.network if is_cloud else None,
        cluster=settings.cluster if is_cloud else None,
        pools=settings.pools,
        models=settings.models,
        releases=releases,
        teams=settings.teams,
        loader=_loader(settings),
        sidecar=cache_sidecar(settings.cloud),
    )


def _loader(settings: Settings) -> LoaderSpec | None:
    return settings.loader if isinstance(settings, ExistingSettings) else None


def _served(
    model: ModelSpec,
    releases: Mapping[tuple[str, str], Release],
    shape: StackShape,
    images: Mapping[EngineName, ImageReference],
) -> ServedModel:
    release = releases[model.name, model.releases.stable]
    image = images.get(release.spec.engine.name)
    if image is not None:
        release = replace(release, spec=release.spec.model_copy(update={"image": image}))
    node = shape.node(model.pool)
    assert node is not None, "the rules refuse a model whose pool is not known"
    return ServedModel(model, release, node, plan_model(model, release.spec, node, shape.sidecar))
