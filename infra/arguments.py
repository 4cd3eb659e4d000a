"""The arguments of each component, out of the stack and the platform that it runs on."""

import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from infra.clouds import Platform
from llm_serving.addons.cluster_addons import ClusterAddonsArgs
from llm_serving.addons.table import MONITORING
from llm_serving.arguments import plain
from llm_serving.observability import MonitoringArgs
from llm_serving.planning.cold_start import ColdStart
from llm_serving.planning.replicas import object_name, plan_replicas
from llm_serving.serving import (
    CompileCacheArgs,
    ModelLoaderArgs,
    ModelServiceArgs,
    QuantizationJobArgs,
    TeamNamespace,
    TeamNamespaceArgs,
)
from llm_serving.serving.arguments import EgressArgs, ImagePullArgs
from llm_serving.spec import LoaderSpec, Routing, TeamSpec, WatchedModelSpec, WatchedReleaseSpec
from llm_serving.spec.loader import HUB_TOKEN_SECRET
from stacks.settings import PlannedQuantization, ServedModel, ServedRelease, Stack, WantedWeights
from stacks.settings.secrets import HUB_TOKEN, IMAGE_PULL_PASSWORD, PROMETHEUS_CREDENTIAL

LOADER_ACCOUNT = "model-loader"
"""Kubernetes service account of the loaders, one in each team's namespace."""


class _Egress(TypedDict):
    egress: NotRequired[EgressArgs]


class _ImagePull(TypedDict):
    image_pull: NotRequired[ImagePullArgs]


class _ImagePullWithPassword(_ImagePull):
    image_pull_password: NotRequired[pulumi.Input[str]]


def addon_arguments(stack: Stack) -> ClusterAddonsArgs:
    """Charts to install, as planned; an existing Prometheus by its address."""
    url = stack.settings.addons.prometheus_url
    switches = {addon.name: True for addon in stack.addons}
    arguments = cast(
        ClusterAddonsArgs, {**switches, "labels": stack.settings.labels, **image_pull_with_password(stack)}
    )
    if url is not None:
        arguments["prometheus_url"] = url
    if MONITORING in stack.addons and stack.settings.addons.alertmanager_url is not None:
        arguments["alertmanager_url"] = stack.settings.addons.alertmanager_url
    if stack.exporter_nodes:
        arguments["gpu_nodes"] = [plain(nodes) for nodes in stack.exporter_nodes]
        arguments["monitoring_namespace"] = stack.settings.addons.monitoring_namespace
    if stack.gpu_exporter is not None:
        arguments["gpu_exporter"] = plain(stack.gpu_exporter)
    return arguments


def namespace_arguments(stack: Stack, platform: Platform, team: TeamSpec) -> TeamNamespaceArgs:
    """A team's namespace: GPU quota, what its pods reach and who scrapes them, identity of its loaders."""
    loader_spec, egress = stack.settings.loader, stack.settings.egress
    arguments: TeamNamespaceArgs = {
        "team": plain(team),
        "gpu_quota": stack.gpu_quota(team),
        "gpu_resource": stack.gpu_resource(team),
        "reach": platform.reach,
        "labels": stack.settings.labels,
        # The PodMonitor needs the operator's definitions.
        "monitored": stack.scales,
        "monitoring_namespace": stack.settings.addons.monitoring_namespace,
        "from_internet": loader_spec is not None
        and not platform.is_reached_privately(loader_spec.source)
        and not (egress is not None and egress.replaces_internet),
        **image_pull_with_password(stack),
        **_egress(stack),
    }
    auth, credential = stack.settings.addons.prometheus_auth, pulumi.Config().get_secret(PROMETHEUS_CREDENTIAL)
    # It is KEDA's: without a model that scales there may be none.
    if auth is not None and stack.scales:
        arguments["prometheus_auth"] = plain(auth)
        if credential is not None:
            arguments["prometheus_credential"] = credential
    if stack.settings.gateway is not None:
        arguments["gateway_namespace"] = stack.settings.gateway.namespace
        direct = [model.name for model in stack.gateway_models if model.routing is Routing.SERVICE]
        arguments["gateway_direct_models"] = direct
    identity = _loader_identity(stack, platform, team.name)
    if identity is not None:
        arguments["loader_identity"] = identity
    if loader_spec is not None and loader_spec.token_secret == HUB_TOKEN_SECRET and stack.has_models(team):
        arguments["hub_token"] = _hub_token()
    return arguments


def loader_arguments(
    stack: Stack, platform: Platform, wanted: WantedWeights, loader: LoaderSpec, team: TeamNamespace
) -> ModelLoaderArgs:
    """The Job that brings the weights of one release into the cache."""
    arguments: ModelLoaderArgs = {
        "release": plain(wanted.release.spec),
        "team": wanted.team,
        "loader": plain(loader),
        "namespace": team.namespace,
        "cache": platform.model_cache(wanted.team, team),
        "scheduling": platform.scheduling[wanted.pool],
        "labels": stack.settings.labels,
        **image_pull(stack),
        **_egress(stack),
    }
    identity = _loader_identity(stack, platform, wanted.team)
    if identity is not None:
        arguments["identity"] = identity
    return arguments


def quantization_arguments(
    stack: Stack, platform: Platform, job: PlannedQuantization, loader: LoaderSpec, team: TeamNamespace
) -> QuantizationJobArgs:
    """The Job that quantizes the weights of a release, with the identity of a loader."""
    arguments: QuantizationJobArgs = {
        "quantization": plain(job.spec),
        "base": plain(job.base.spec),
        "loader": plain(loader),
        "node": plain(job.node),
        "namespace": team.namespace,
        "scheduling": platform.scheduling[job.spec.pool],
        "cache": platform.model_cache(job.spec.team, team),
        "labels": stack.settings.labels,
        **image_pull(stack),
        **_egress(stack),
    }
    identity = _loader_identity(stack, platform, job.spec.team)
    if identity is not None:
        arguments["identity"] = identity
    return arguments


def compile_cache_arguments(
    stack: Stack, platform: Platform, model: ServedModel, served: ServedRelease, team: TeamNamespace, launcher: str
) -> CompileCacheArgs:
    """The Job that fills the compile cache of one release, with the identity of a loader."""
    return {
        "model": plain(model.spec),
        "release": plain(served.release.spec),
        "node": plain(model.node),
        "namespace": team.namespace,
        "scheduling": platform.scheduling[model.spec.pool],
        "cache": platform.model_cache(model.spec.team, team),
        # The rules refuse a compile cache where a writer cannot prove who it is.
        "identity": platform.identity(model.spec.team, LOADER_ACCOUNT, "writer"),
        "launcher_version": launcher,
        "labels": stack.settings.labels,
        **image_pull(stack),
        **_egress(stack),
    }


def model_arguments(
    stack: Stack,
    platform: Platform,
    model: ServedModel,
    team: TeamNamespace,
    launcher: str,
    prometheus_url: pulumi.Input[str] | None,
) -> ModelServiceArgs:
    """A model with all of its releases and their hashes, on the nodes of its pool."""
    releases: list[Any] = [plain(served.release.spec) for served in model.releases]
    hashes: Mapping[str, str] = {served.release.spec.version: served.release.sha256 for served in model.releases}
    arguments: ModelServiceArgs = {
        "model": plain(model.spec),
        "releases": releases,
        "release_hashes": dict(hashes),
        "node": plain(model.node),
        "namespace": team.namespace,
        "scheduling": platform.scheduling[model.spec.pool],
        "cache": platform.model_cache(model.spec.team, team),
        "identity": platform.identity(model.spec.team, model.spec.name, "reader"),
        "launcher_version": launcher,
        "labels": stack.settings.labels,
        **image_pull(stack),
        **_egress(stack),
    }
    if stack.settings.loader is not None:
        arguments["loader"] = plain(stack.settings.loader)
    if prometheus_url is not None:
        arguments["prometheus_url"] = prometheus_url
    if stack.settings.gateway is not None and model.spec.may_sleep:
        arguments["gateway_namespace"] = stack.settings.gateway.namespace
    if stack.settings.addons.prometheus_auth is not None:
        arguments["prometheus_auth"] = plain(stack.settings.addons.prometheus_auth)
    return arguments


def _egress(stack: Stack) -> _Egress:
    """The way out that the site prescribes; what its cloud is reached privately by needs no proxy."""
    spec = stack.settings.egress
    if spec is None:
        return {}
    direct = stack.cloud.private_domains if spec.has_proxy else ()
    return {"egress": plain(spec.model_copy(update={"no_proxy": (*spec.no_proxy, *direct)}))}


def image_pull(stack: Stack) -> _ImagePull:
    """Credentials for registries, of every component that makes pods."""
    spec = stack.settings.image_pull
    return {} if spec is None else {"image_pull": plain(spec)}


def image_pull_with_password(stack: Stack) -> _ImagePullWithPassword:
    """The same, of every component that makes namespaces."""
    password = pulumi.Config().get_secret(IMAGE_PULL_PASSWORD)
    arguments = cast(_ImagePullWithPassword, image_pull(stack))
    if password is not None:
        arguments["image_pull_password"] = password
    return arguments


def _hub_token() -> pulumi.Output[str]:
    """The secret ``loader.token``, which is encrypted in the object of that setting."""
    key, _, inner = HUB_TOKEN.partition(".")
    return pulumi.Config().require_secret_object(key).apply(lambda loader: loader[inner])


def _loader_identity(stack: Stack, platform: Platform, team: str) -> pulumi.Output[dict[str, Any]] | None:
    """Who a team's loaders are to the cloud; ``None`` where there are none, or where it asks nobody who they are."""
    if stack.settings.loader is None or not stack.cloud.has_workload_identity:
        return None
    return platform.identity(team, LOADER_ACCOUNT, "writer")


def monitoring_arguments(stack: Stack) -> MonitoringArgs:
    """What is recorded and watched of the models, by their objectives and plans."""
    # Somebody else's Prometheus may be in a namespace that is not ours to write to: it reads rules where it reads the
    # PodMonitors of a team.
    is_ours = MONITORING in stack.addons
    arguments: MonitoringArgs = {
        "namespace": stack.settings.addons.monitoring_namespace if is_ours else stack.models[0].spec.team,
        # Other stacks of the cluster have theirs in the same namespace.
        "prefix": f"llm-serving-{_NO_NAME.sub('-', pulumi.get_stack().lower()).strip('-')}",
        "models": [plain(_watched(model)) for model in stack.models],
        "gateway": stack.settings.gateway is not None,
        "labels": stack.settings.labels,
    }
    if stack.settings.monitoring.runbook_url is not None:
        arguments["runbook_url"] = stack.settings.monitoring.runbook_url
    return arguments


_NO_NAME = re.compile(r"[^a-z0-9-]+")
"""What names of stacks may have and names of Kubernetes may not."""


def _watched(model: ServedModel) -> WatchedModelSpec:
    bases = {replicas.version: replicas.base for replicas in plan_replicas(model.spec)}
    return WatchedModelSpec(
        name=model.spec.name,
        team=model.spec.team,
        service_class=model.spec.service_class,
        slo=model.spec.slo,
        may_sleep=model.spec.may_sleep,
        releases=tuple(
            WatchedReleaseSpec(
                version=served.release.spec.version,
                name=object_name(model.spec.name, served.release.spec.version),
                engine=served.release.spec.engine.name,
                multi_node=served.plan.nodes > 1,
                base=bases[served.release.spec.version],
                start_seconds=_engine_start_seconds(served.plan.cold_start) if model.spec.engine.launcher else None,
            )
            for served in model.releases
        ),
    )


def _engine_start_seconds(start: ColdStart) -> int:
    """What is left of a cold start when the container begins, which is what the launcher measures."""
    return start.total - start.node_start - start.image_pull
