"""The pod of an engine instance.

Runs under Pod Security "restricted" with a read-only root file system: what the engine writes goes to ``/tmp``, what
its processes share goes to ``/dev/shm``, the weights are mounted read-only. What a cloud adds (selectors, tolerations,
volume, labels of the identity) is a :class:`PodContext` and may be unknown before the deployment; all else is known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from llm_serving import catalog
from llm_serving.contract import (
    ENGINE_CONTAINER,
    SHARE_BASE,
    ModelCacheVolume,
    PoolScheduling,
    WorkloadIdentityBinding,
)
from llm_serving.errors import problems_under
from llm_serving.launchers import Launcher
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.cold_start import warms_up
from llm_serving.planning.disruption import EXIT_SECONDS, Drain
from llm_serving.planning.host import SidecarRequests
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.replicas import ReleaseReplicas
from llm_serving.serving import launcher
from llm_serving.serving.disruption import base_affinity, spread
from llm_serving.serving.egress import certificate_mounts, certificate_volumes
from llm_serving.serving.engines import EngineRequest, GroupCommand, InferenceEngine, adapter_folder
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.labels import ANNOTATION_RELEASE_HASH, LABEL_SHARE, SHARE_MAIN, release_labels, selector
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores, gibibytes
from llm_serving.serving.rollout import PROBE_PERIOD_SECONDS, Rollout
from llm_serving.spec import AdapterSource, EgressSpec, ImagePullSpec, LoaderSpec, ModelSource, ModelSpec, ReleaseSpec

MODELS = "/models"
TEMPLATES = "/etc/llm-serving"
TEMPLATE_FILE = "chat-template.jinja"
PORT_NAME = "http"

USER_ID = 1000
"""Where nothing is known of the image. Any but 0, which Pod Security "restricted" forbids: files of images are readable
by everyone."""

RESTRICTED = core.v1.SecurityContextArgs(
    allow_privilege_escalation=False,
    read_only_root_filesystem=True,
    run_as_non_root=True,
    capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
)
"""What every container of ours may do: Pod Security "restricted", and no writing to its own image."""


def restricted_pod(
    user: int = USER_ID, *, fs_group: int | None = None, fs_group_change_policy: str | None = None
) -> core.v1.PodSecurityContextArgs:
    """What every pod of ours may do: Pod Security "restricted".

    Args:
        user: number of its user and group.
        fs_group: group that its volumes belong to; ``None`` where it writes to none but scratch.
        fs_group_change_policy: when files of such a volume change hands; ``None`` for Kubernetes' default.
    """
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=fs_group,
        fs_group_change_policy=fs_group_change_policy,
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


@dataclass(frozen=True)
class PodContext:
    """What pool, model cache and workload identity add to a pod.

    Attributes:
        scheduling: how the pod gets onto the pool's nodes.
        cache: the volume with the weights.
        identity: service account, annotations and labels of the pod.
        model_plan: sizes of an instance, less what the volume's sidecar takes of the node.
        drain: times of an orderly end, by share: those of the base run on nodes that stay.
        chat_template: name of the ConfigMap with the chat template, or ``None``.
        engine_files: name of the ConfigMap with the files of :func:`engine_files`, or ``None``.
        launcher: name of the ConfigMap with the plan's launcher, or ``None``.
    """

    scheduling: pulumi.Output[PoolScheduling]
    cache: pulumi.Output[ModelCacheVolume]
    identity: pulumi.Output[WorkloadIdentityBinding]
    model_plan: pulumi.Output[ModelPlan]
    drain: Mapping[str, pulumi.Output[Drain]]
    chat_template: pulumi.Output[str] | None
    engine_files: pulumi.Output[str] | None = None
    launcher: pulumi.Output[str] | None = None


@dataclass(frozen=True)
class ReleasePlan:
    """Everything about one release of a model that is decided before any resource exists.

    Attributes:
        model: the model as its stack sets it.
        release: the release that the instances serve.
        replicas: number and name of the instances.
        release_hash: of the release's file; a change of it replaces the pods.
        model_plan: parallelism and sizes of an instance; cores and memory with nothing beside the engine.
        rollout: time-outs and order of a rollout.
        engine: adapter of the inference engine.
        labels: labels that the user adds.
        loader: program that verifies the weights before the engine starts; ``None`` where nothing can.
        launcher: the launcher that comes with the release; ``None`` where the image has one, or it runs without.
        image_pull: credentials for the registries of images; ``None`` where nodes need none.
        egress: the way out that the site prescribes; ``None`` where it prescribes none.
        launcher_options: more options of the launcher.
        extra_environment: more environment variables of the engine; one that the user names too has the user's in it.
        gateway_namespace: where the gateway runs that wakes the model; ``None`` where it needs none.
    """

    model: ModelSpec
    release: ReleaseSpec
    replicas: ReleaseReplicas
    release_hash: str
    model_plan: ModelPlan
    rollout: Rollout
    engine: InferenceEngine
    labels: dict[str, str]
    loader: LoaderSpec | None = None
    launcher: Launcher | None = None
    image_pull: ImagePullSpec | None = None
    egress: EgressSpec | None = None
    launcher_options: tuple[str, ...] = ()
    extra_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    gateway_namespace: str | None = None


def pod_template(plan: ReleasePlan, context: PodContext, share: str = SHARE_MAIN) -> core.v1.PodTemplateSpecArgs:
    """The template of a Deployment's pods; ``share`` says on which capacity they run."""
    pods = selector(plan.model, plan.release.version)
    labels = {**release_labels(plan.model, plan.release, plan.labels), LABEL_SHARE: share}
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels=context.identity.apply(lambda identity: {**identity.pod_labels, **labels}),
            annotations=pulumi.Output.all(context.cache, context.scheduling, context.model_plan).apply(
                lambda outputs: {
                    **_cache_annotations(outputs[0], outputs[2]),
                    **outputs[1].pod_annotations,
                    ANNOTATION_RELEASE_HASH: plan.release_hash,
                }
            ),
        ),
        spec=core.v1.PodSpecArgs(
            service_account_name=context.identity.apply(lambda identity: identity.service_account),
            image_pull_secrets=pull_references(plan.image_pull),
            automount_service_account_token=False,
            # Else a Service named `vllm` anywhere in the namespace would set VLLM_PORT, which vLLM reads.
            enable_service_links=False,
            termination_grace_period_seconds=context.drain[share].apply(lambda drain: drain.grace_period),
            node_selector=context.scheduling.apply(lambda scheduling: scheduling.node_selector),
            tolerations=context.scheduling.apply(tolerations),
            affinity=context.scheduling.apply(base_affinity) if share == SHARE_BASE else None,
            topology_spread_constraints=spread(pods),
            priority_class_name=priority_class(plan.model.service_class),
            security_context=restricted_pod(user_id(plan.release)),
            init_containers=[] if plan.loader is None else list(_verifications(plan.release, plan.loader)),
            containers=[_container(plan, context, context.drain[share])],
            volumes=_volumes(plan, context),
        ),
    )


def user_id(release: ReleaseSpec) -> int:
    """The user that an engine runs as: one that its image knows by name, as far as that is known."""
    if release.image.user_id is not None:
        return release.image.user_id
    image = catalog.engine_image(release.image.repository)
    return USER_ID if image is None else image.user_id


def plan_with_sidecar(plan: ReleasePlan, node: NodeShape, cache: ModelCacheVolume) -> ModelPlan:
    """Sizes of an instance on a node that also runs the sidecar of the model cache's volume; parallelism is the plan's.

    Raises:
        ProblemsError: the model does not fit beside the sidecar; paths begin with ``model``.
    """
    pinned = plan.model.model_copy(update={"tensor_parallelism": plan.model_plan.tensor_parallelism})
    with problems_under("model"):
        return plan_model(pinned, plan.release, node, cloud_named(node.cloud), sidecar_requests(cache))


def sidecar_requests(cache: ModelCacheVolume) -> SidecarRequests:
    """What the sidecar of the model cache's volume takes of a node."""
    return SidecarRequests(
        cpu=cache.sidecar_cpu,
        memory_gib=cache.sidecar_memory_gib,
        storage_gib=cache.sidecar_storage_gib,
        caches_weights=cache.caches_weights,
    )


def _cache_annotations(cache: ModelCacheVolume, plan: ModelPlan) -> dict[str, str]:
    """What is cached of weights is requested: a node whose disk is full evicts pods, whatever they run."""
    if cache.storage_annotation is None:
        return cache.pod_annotations
    return {**cache.pod_annotations, cache.storage_annotation: gibibytes(plan.cached_gib)}


def worker_command(plan: ReleasePlan, context: PodContext) -> list[str]:
    """Command line of the inference engine in a worker of an instance of several nodes."""
    return _group(plan, context).worker


def _command(plan: ReleasePlan, context: PodContext) -> list[str]:
    """Command line of the inference engine in the pod that answers the API."""
    if plan.model_plan.nodes > 1:
        return _group(plan, context).leader
    return plan.engine.command(_engine_request(plan, context.chat_template is not None))


def _group(plan: ReleasePlan, context: PodContext) -> GroupCommand:
    return plan.engine.group_command(_engine_request(plan, context.chat_template is not None))


def engine_files(plan: ReleasePlan) -> dict[str, str]:
    """Data of the ConfigMap with the files that the inference engine needs when it starts; empty for most engines. Keys
    are the last parts of the files' paths: a key has no slash."""
    return {PurePosixPath(path).name: text for path, text in plan.engine.files(_engine_request(plan, False)).items()}


def _engine_request(plan: ReleasePlan, has_chat_template: bool) -> EngineRequest:
    return EngineRequest(
        plan=plan.model_plan,
        release=plan.release,
        options=plan.model.engine,
        weights=weights_of(plan.release),
        chat_template=f"{TEMPLATES}/{TEMPLATE_FILE}" if has_chat_template else None,
    )


def weights_of(release: ReleaseSpec) -> str:
    """Folder of a release's weights in the container."""
    return f"{MODELS}/{weights_folder(release)}"


def weights_folder(release: ReleaseSpec) -> str:
    """Folder of a release's weights below the model cache."""
    return f"{release.name}/{release.version}"


def _verifications(release: ReleaseSpec, loader: LoaderSpec) -> Iterator[core.v1.ContainerArgs]:
    """Refuse a cache that is not whole, before the engine loads half of a model."""
    weights = weights_of(release)
    yield verification("verify-weights", weights, release.model, loader)
    for index, adapter in enumerate(release.adapters):
        yield verification(f"verify-adapter-{index}", adapter_folder(weights, adapter.name), adapter, loader)


def verification(
    name: str, folder: str, source: ModelSource | AdapterSource, loader: LoaderSpec
) -> core.v1.ContainerArgs:
    """The loader, which fails where a folder of the model cache is not whole."""
    return core.v1.ContainerArgs(
        name=name,
        image=loader.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-load",
            "verify",
            f"--target={folder}",
            f"--repository={source.repository}",
            f"--revision={source.revision}",
        ],
        env=[core.v1.EnvVarArgs(name="HOME", value="/tmp")],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "64Mi"}, limits={"memory": "256Mi"}
        ),
        security_context=RESTRICTED,
        volume_mounts=[
            core.v1.VolumeMountArgs(name="models", mount_path=MODELS, read_only=True),
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
        ],
        # Shown as the container's status: the last lines of its log say what is wrong with the weights.
        termination_message_policy="FallbackToLogsOnError",
    )


def _container(plan: ReleasePlan, context: PodContext, drain: pulumi.Output[Drain]) -> core.v1.ContainerArgs:
    engine, release = plan.engine, plan.release
    command: list[pulumi.Input[str]] = list(_command(plan, context))
    if engine.shutdown_argument(1) is not None:
        command.append(drain.apply(lambda drain: engine.shutdown_argument(drain.shutdown_timeout) or ""))
    ports = [core.v1.ContainerPortArgs(name=PORT_NAME, container_port=engine.port)]
    ready = live = core.v1.HTTPGetActionArgs(path=engine.health_path, port=PORT_NAME)
    end_of_dead: pulumi.Output[int] | None = None
    if plan.model.engine.launcher:
        command = launcher.launched(
            engine,
            release.name,
            command,
            inside=release.image.launcher,
            warm_up=warms_up(plan.model, release),
            options=plan.launcher_options,
        )
        ports.append(core.v1.ContainerPortArgs(name=launcher.PORT_NAME, container_port=launcher.PORT))
        ready = core.v1.HTTPGetActionArgs(path=launcher.READY_PATH, port=launcher.PORT_NAME)
        live = core.v1.HTTPGetActionArgs(path=launcher.LIVE_PATH, port=launcher.PORT_NAME)
        # There is nothing to drain (Kubernetes documentation, "Probe-level terminationGracePeriodSeconds"). Without
        # the launcher an engine is not live as soon as its health is late, and may compute.
        end_of_dead = drain.apply(lambda drain: drain.pre_stop + EXIT_SECONDS)
    environment = {
        **engine.environment(plan.model_plan),
        **plan.model.engine.environment,
        **plan.extra_environment,
    }
    if plan.launcher is not None:
        environment |= launcher.environment(plan.launcher)
    return core.v1.ContainerArgs(
        name=ENGINE_CONTAINER,
        image=release.image.reference,
        image_pull_policy="IfNotPresent",
        command=command,
        env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in environment.items()],
        ports=ports,
        resources=pulumi.Output.all(context.scheduling, context.model_plan, context.cache).apply(
            lambda outputs: _resources(*outputs)
        ),
        security_context=RESTRICTED,
        startup_probe=core.v1.ProbeArgs(
            http_get=ready,
            period_seconds=PROBE_PERIOD_SECONDS,
            timeout_seconds=5,
            failure_threshold=plan.rollout.startup_failures,
        ),
        readiness_probe=core.v1.ProbeArgs(http_get=ready, period_seconds=5, timeout_seconds=5, failure_threshold=2),
        liveness_probe=core.v1.ProbeArgs(
            http_get=live,
            period_seconds=10,
            timeout_seconds=10,
            failure_threshold=6,
            termination_grace_period_seconds=end_of_dead,
        ),
        lifecycle=core.v1.LifecycleArgs(
            pre_stop=core.v1.LifecycleHandlerArgs(
                sleep=core.v1.SleepActionArgs(seconds=drain.apply(lambda drain: drain.pre_stop))
            )
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="models", mount_path=MODELS, read_only=True),
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
            core.v1.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm"),
            *certificate_mounts(plan.egress),
            *(
                [core.v1.VolumeMountArgs(name="chat-template", mount_path=TEMPLATES, read_only=True)]
                if context.chat_template is not None
                else []
            ),
            *(_engine_file_mounts(plan) if context.engine_files is not None else []),
            *(
                [core.v1.VolumeMountArgs(name=launcher.VOLUME, mount_path=launcher.MOUNT, read_only=True)]
                if context.launcher is not None
                else []
            ),
        ],
    )


def _engine_file_mounts(plan: ReleasePlan) -> Iterator[core.v1.VolumeMountArgs]:
    """Each file by itself: a whole ConfigMap is mounted with hidden folders and links in it (``..data``), which Triton
    would load as models of the repository."""
    for path in plan.engine.files(_engine_request(plan, False)):
        yield core.v1.VolumeMountArgs(
            name="engine-files",
            mount_path=f"{plan.engine.files_folder}/{path}",
            sub_path=PurePosixPath(path).name,
            read_only=True,
        )


def _volumes(plan: ReleasePlan, context: PodContext) -> list[pulumi.Input[Any]]:
    volumes: list[pulumi.Input[Any]] = [
        context.cache.apply(lambda cache: {"name": "models", **cache.volume}),
        core.v1.VolumeArgs(
            name="scratch",
            empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit=f"{plan.engine.scratch_gib}Gi"),
        ),
        core.v1.VolumeArgs(
            name="shared-memory",
            empty_dir=core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=gibibytes(plan.model_plan.shm_gib)),
        ),
    ]
    volumes += certificate_volumes(plan.egress)
    if context.chat_template is not None:
        volumes.append(
            core.v1.VolumeArgs(
                name="chat-template",
                config_map=core.v1.ConfigMapVolumeSourceArgs(name=context.chat_template),
            )
        )
    if context.engine_files is not None:
        volumes.append(
            core.v1.VolumeArgs(
                name="engine-files",
                config_map=core.v1.ConfigMapVolumeSourceArgs(name=context.engine_files),
            )
        )
    if context.launcher is not None:
        volumes.append(
            core.v1.VolumeArgs(
                name=launcher.VOLUME,
                config_map=core.v1.ConfigMapVolumeSourceArgs(name=context.launcher),
            )
        )
    return volumes


def _resources(
    scheduling: PoolScheduling, plan: ModelPlan, cache: ModelCacheVolume
) -> core.v1.ResourceRequirementsArgs:
    memory = gibibytes(plan.memory_gib)
    storage = plan.image_gib + unrequested_cache_gib(cache, plan.cached_gib)
    # Extended resources cannot be overcommitted: request and limit are the same.
    devices = {} if scheduling.gpu_resource is None else {scheduling.gpu_resource: str(plan.gpus_per_node)}
    if plan.nodes > 1:
        devices |= {resource: str(count) for resource, count in scheduling.network_devices.items()}
    # No CPU limit: throttling delays every token, while idle cores of a GPU node serve nobody else.
    return core.v1.ResourceRequirementsArgs(
        requests={"cpu": cores(plan.cpu), "memory": memory, **storage_request(storage), **devices},
        limits={"memory": memory, **devices},
    )


def unrequested_cache_gib(cache: ModelCacheVolume, cached_gib: float) -> float:
    """What the container itself requests of what is cached of weights: all of it where the driver can request nothing,
    nothing where its sidecar does."""
    return cached_gib if cache.caches_weights and not cache.storage_annotation else 0


def storage_request(gib: float) -> dict[str, str]:
    """A request of the node's ephemeral storage; nothing where none is known of."""
    return {"ephemeral-storage": gibibytes(gib)} if gib else {}


def tolerations(scheduling: PoolScheduling) -> list[core.v1.TolerationArgs]:
    """The pool's tolerations, as Kubernetes has them."""
    return [core.v1.TolerationArgs(**toleration.model_dump(exclude_none=True)) for toleration in scheduling.tolerations]
