"""The pod of an engine instance.

Runs under Pod Security "restricted" with a read-only root file system: what the engine writes goes to ``/tmp``, what
its processes share goes to ``/dev/shm``, the weights are mounted read-only. What a cloud adds (selectors, tolerations,
volume, labels of the identity) comes as :class:`Surroundings` and may not be known before the deployment; all else is.
"""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from llm_serving.contract import ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.planning.drain import Drain
from llm_serving.planning.placement import ModelPlan
from llm_serving.serving import launcher
from llm_serving.serving.engines import Engine
from llm_serving.serving.labels import RELEASE_HASH, model_labels, selector
from llm_serving.serving.quantities import cores, gibibytes
from llm_serving.serving.rollout import PROBE_PERIOD_SECONDS, Rollout
from llm_serving.spec import ModelSpec, ReleaseSpec

MODELS = "/models"
TEMPLATES = "/etc/llm-serving"
TEMPLATE_FILE = "chat-template.jinja"
PORT_NAME = "http"

USER_ID = 1000
"""Any number but 0 would do: the engine's files are readable by everyone."""


@dataclass(frozen=True)
class Surroundings:
    """What the place where a model is served adds to its pods.

    Attributes:
        scheduling: how the pod gets onto the pool's nodes.
        cache: the volume with the weights.
        identity: who the pod is.
        plan: the instance's plan, less what the volume's sidecar takes of the node.
        drain: how long it takes to go.
        chat_template: name of the ConfigMap with the chat template, or ``None``.
    """

    scheduling: pulumi.Output[PoolScheduling]
    cache: pulumi.Output[ModelCacheVolume]
    identity: pulumi.Output[WorkloadIdentityBinding]
    plan: pulumi.Output[ModelPlan]
    drain: pulumi.Output[Drain]
    chat_template: pulumi.Output[str] | None


@dataclass(frozen=True)
class Instance:
    """What has been decided about an engine instance.

    Attributes:
        model: what is asked for.
        release: what it answers with.
        release_hash: of the release's file; a change of it replaces the pods.
        plan: parallelism and sizes; cores and memory with nothing beside the engine.
        rollout: how long it may take to start.
        engine: the adapter of its engine.
        labels: labels that the user adds.
    """

    model: ModelSpec
    release: ReleaseSpec
    release_hash: str
    plan: ModelPlan
    rollout: Rollout
    engine: Engine
    labels: dict[str, str]


def pod_template(instance: Instance, around: Surroundings) -> core.v1.PodTemplateSpecArgs:
    """The template of a Deployment's pods."""
    labels = model_labels(instance.model, instance.release, instance.labels)
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels=around.identity.apply(lambda identity: {**identity.pod_labels, **labels}),
            annotations=around.cache.apply(
                lambda cache: {**cache.pod_annotations, RELEASE_HASH: instance.release_hash}
            ),
        ),
        spec=core.v1.PodSpecArgs(
            service_account_name=around.identity.apply(lambda identity: identity.service_account),
            automount_service_account_token=False,
            # Else a Service named `vllm` anywhere in the namespace would set VLLM_PORT, which vLLM reads.
            enable_service_links=False,
            termination_grace_period_seconds=around.drain.apply(lambda drain: drain.grace_period),
            node_selector=around.scheduling.apply(lambda scheduling: scheduling.node_selector),
            tolerations=around.scheduling.apply(tolerations),
            topology_spread_constraints=[
                core.v1.TopologySpreadConstraintArgs(
                    max_skew=1,
                    topology_key="kubernetes.io/hostname",
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.v1.LabelSelectorArgs(match_labels=selector(instance.model)),
                )
            ],
            security_context=core.v1.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=USER_ID,
                run_as_group=USER_ID,
                seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            containers=[_container(instance, around)],
            volumes=_volumes(instance, around),
        ),
    )


def _container(instance: Instance, around: Surroundings) -> core.v1.ContainerArgs:
    engine, release = instance.engine, instance.release
    template = None if around.chat_template is None else f"{TEMPLATES}/{TEMPLATE_FILE}"
    weights = f"{MODELS}/{release.name}/{release.version}"
    command: list[pulumi.Input[str]] = list(engine.command(instance.plan, release, weights, template))
    command.append(around.drain.apply(lambda drain: engine.shutdown_argument(drain.shutdown_timeout)))
    ports = [core.v1.ContainerPortArgs(name=PORT_NAME, container_port=engine.port)]
    ready = live = core.v1.HTTPGetActionArgs(path=engine.health_path, port=PORT_NAME)
    if release.image.launcher:
        command = launcher.launched(engine, release.name, command)
        ports.append(core.v1.ContainerPortArgs(name=launcher.PORT_NAME, container_port=launcher.PORT))
        ready = core.v1.HTTPGetActionArgs(path=launcher.READY_PATH, port=launcher.PORT_NAME)
        live = core.v1.HTTPGetActionArgs(path=launcher.LIVE_PATH, port=launcher.PORT_NAME)
    return core.v1.ContainerArgs(
        name="engine",
        image=release.image.reference,
        image_pull_policy="IfNotPresent",
        command=command,
        env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in engine.environment(instance.plan).items()],
        ports=ports,
        resources=pulumi.Output.all(around.scheduling, around.plan).apply(lambda both: _resources(*both)),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            run_as_non_root=True,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        startup_probe=core.v1.ProbeArgs(
            http_get=ready,
            period_seconds=PROBE_PERIOD_SECONDS,
            timeout_seconds=5,
            failure_threshold=instance.rollout.startup_failures,
        ),
        readiness_probe=core.v1.ProbeArgs(http_get=ready, period_seconds=5, timeout_seconds=5, failure_threshold=2),
        liveness_probe=core.v1.ProbeArgs(http_get=live, period_seconds=10, timeout_seconds=10, failure_threshold=6),
        lifecycle=core.v1.LifecycleArgs(
            pre_stop=core.v1.LifecycleHandlerArgs(
                sleep=core.v1.SleepActionArgs(seconds=around.drain.apply(lambda drain: drain.pre_stop))
            )
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="models", mount_path=MODELS, read_only=True),
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
            core.v1.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm"),
            *(
                [core.v1.VolumeMountArgs(name="chat-template", mount_path=TEMPLATES, read_only=True)]
                if around.chat_template is not None
                else []
            ),
        ],
    )


def _volumes(instance: Instance, around: Surroundings) -> list[pulumi.Input[Any]]:
    volumes: list[pulumi.Input[Any]] = [
        around.cache.apply(lambda cache: {"name": "models", **cache.volume}),
        core.v1.VolumeArgs(
            name="scratch",
            empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit=f"{instance.engine.scratch_gib}Gi"),
        ),
        core.v1.VolumeArgs(
            name="shared-memory",
            empty_dir=core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=gibibytes(instance.plan.shm_gib)),
        ),
    ]
    if around.chat_template is not None:
        volumes.append(
            core.v1.VolumeArgs(
                name="chat-template",
                config_map=core.v1.ConfigMapVolumeSourceArgs(name=around.chat_template),
            )
        )
    return volumes


def _resources(scheduling: PoolScheduling, plan: ModelPlan) -> core.v1.ResourceRequirementsArgs:
    memory = gibibytes(plan.memory_gib)
    # Extended resources cannot be overcommitted: request and limit are the same.
    gpus = {} if scheduling.gpu_resource is None else {scheduling.gpu_resource: str(plan.gpus)}
    # No CPU limit: throttling delays every token, while idle cores of a GPU node serve nobody else.
    return core.v1.ResourceRequirementsArgs(
        requests={"cpu": cores(plan.cpu), "memory": memory, **gpus}, limits={"memory": memory, **gpus}
    )


def tolerations(scheduling: PoolScheduling) -> list[core.v1.TolerationArgs]:
    """The pool's tolerations, as Kubernetes has them."""
    return [core.v1.TolerationArgs(**toleration.model_dump(exclude_none=True)) for toleration in scheduling.tolerations]
