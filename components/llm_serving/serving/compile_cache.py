"""The compile cache of a release, made once: a Job starts the engine as an instance would, waits until it
answers, and saves what it compiled beside the weights. Instances read it instead of compiling each.

A compile cache is code that the engine runs, so whoever serves must not write it: the Job runs under the identity that
fills the model cache, instances mount that read-only. Owns the Job, and where in the model cache the compile cache
lies. Leaves alone: what is saved and how (the launcher, ``launchers``), the pod (``pod.py``), who starts instances.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NotRequired, TypedDict, cast

import pulumi
from pulumi_kubernetes import batch, core, meta

from llm_serving.component import Frozen, child, parse_output, raising_input_errors, token, validated
from llm_serving.contract import ENGINE_CONTAINER, ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError, problems_under
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.disruption import plan_drain
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.replicas import plan_replicas
from llm_serving.planning.timeouts import timeout_problems
from llm_serving.serving import launcher
from llm_serving.serving.arguments import EgressArgs, ImagePullArgs, ModelArgs, NodeShapeArgs, ReleaseArgs
from llm_serving.serving.egress import egress_variables
from llm_serving.serving.engines import engine
from llm_serving.serving.environment import check_environment, compile_variables, driver_variables
from llm_serving.serving.jobs import fail_on_exit_codes
from llm_serving.serving.labels import COMPONENT_COMPILE_CACHE, LABEL_COMPONENT, SHARE_MAIN, loader_labels
from llm_serving.serving.pod import PodContext, ReleasePlan, plan_with_sidecar, pod_template
from llm_serving.serving.rollout import plan_rollout
from llm_serving.spec import EgressSpec, EngineName, ImagePullSpec, ModelSpec, ReleaseSpec
from llm_serving.spec.names import Semver

CACHE = "/cache"
COMPILE_FOLDER = ".compile"
"""No model can have this name."""
RETRIES = 2
"""Failed pods before the Job gives up; those whose node went away do not count."""
USAGE_ERROR = 2
"""Exit code of a launcher that does not understand its command line."""


def folder_of(release: ReleaseSpec, node: NodeShape) -> str:
    """Where a release's compile cache for a kind of GPU lies, from the root of the model cache on. What the engine
    compiles fits one version of it and one kind of GPU. Outside of the release's own folder, in which the loader lets
    nothing stand that is not in its manifest. An instance of MIG is a kind of its own."""
    gpu = node.accelerator if node.partition is None else f"{node.accelerator}-{node.partition}"
    return f"{COMPILE_FOLDER}/{release.name}/{release.version}/{gpu}-{release.engine.version}"


def read_options(folder: str) -> list[str]:
    """Options of the launcher that unpack what is saved in ``folder``, if anything is, before the engine starts."""
    return [f"--compile-cache={folder}"]


def save_options(folder: str) -> list[str]:
    """Options of the launcher that save the compile cache in ``folder`` once the engine answers, and end it."""
    return ["--exit-when-ready", f"--save-compile-cache={folder}"]


def job_spec(
    template: core.v1.PodTemplateSpecArgs,
    *,
    folder: str,
    volume: pulumi.Input[dict[str, Any]],
    labels: dict[str, str],
    timeout_seconds: int,
) -> batch.v1.JobSpecArgs:
    """The Job that compiles: the pod of an instance, so that all that the engine derives its cache's keys from is the
    same, with a place to write to and nobody who asks it anything.

    Args:
        template: pod of an instance under the launcher, as the identity that may write.
        folder: see :func:`folder_of`.
        volume: a core/v1 Volume without its name: the model cache as it can be written to.
        labels: of the pod, over the instance's: they have to differ in what selects instances.
        timeout_seconds: time after which it has failed.
    """
    metadata = copy.copy(cast(meta.v1.ObjectMetaArgs, template.metadata))
    spec = copy.copy(cast(core.v1.PodSpecArgs, template.spec))
    security = copy.copy(cast(core.v1.PodSecurityContextArgs, spec.security_context))
    (container,) = cast(Sequence[core.v1.ContainerArgs], spec.containers)
    metadata.labels = pulumi.Output.from_input(metadata.labels).apply(
        lambda instance_labels: {**(instance_labels or {}), **labels}
    )
    security.fs_group = security.run_as_group
    security.fs_group_change_policy = "OnRootMismatch"
    spec.security_context = security
    spec.restart_policy = "Never"
    spec.topology_spread_constraints = None
    spec.containers = [_compiling(container, f"{CACHE}/{folder}")]
    cache: pulumi.Output[Any] = pulumi.Output.from_input(volume).apply(lambda volume: {"name": "cache", **volume})
    spec.volumes = [*cast(Sequence[Any], spec.volumes), cache]
    return batch.v1.JobSpecArgs(
        backoff_limit=RETRIES,
        active_deadline_seconds=timeout_seconds,
        pod_failure_policy=fail_on_exit_codes([USAGE_ERROR], ENGINE_CONTAINER),
        template=core.v1.PodTemplateSpecArgs(metadata=metadata, spec=spec),
    )


class CompileCacheArgs(TypedDict):
    """Arguments of `CompileCache`."""

    model: ModelArgs
    """The model, as it is served."""
    release: ReleaseArgs
    """The release that is compiled; one of those that the model names."""
    node: NodeShapeArgs
    """A node of the pool."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    scheduling: pulumi.Input[dict[str, Any]]
    """How a pod gets onto the pool's nodes: output `scheduling` of a pool."""
    cache: pulumi.Input[dict[str, Any]]
    """Volume with the weights, which is also written to: output `volume` of a model cache."""
    identity: pulumi.Input[dict[str, Any]]
    """Who compiles: output `binding` of a workload identity that may write to the cache. Its service account must be
    there."""
    egress: NotRequired[EgressArgs]
    """The way out that the site prescribes; that of `TeamNamespace`."""
    launcher_version: NotRequired[str]
    """Launcher that comes with the release, as the model's service has it."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `TeamNamespace`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class CompileCacheInputs(Frozen):
    """Arguments of :class:`CompileCache`, validated."""

    model: ModelSpec
    release: ReleaseSpec
    node: NodeShape
    namespace: Any
    scheduling: Any
    cache: Any
    identity: Any
    egress: EgressSpec | None = None
    launcher_version: Semver | None = None
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}


class CompileCache(pulumi.ComponentResource):
    """What the engine compiles for one release on one kind of GPU. It is there when it is saved. The Job takes the GPUs
    of one instance while it runs."""

    job_name: pulumi.Output[str]
    """Name of the Job."""
    folder: pulumi.Output[str]
    """Where the compile cache lies, from the root of the model cache on."""

    def __init__(self, name: str, args: CompileCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(CompileCacheInputs, args, "CompileCache", name)
        source = f"CompileCache {name!r}"
        with raising_input_errors(source):
            plan = _plan_release(inputs)
        super().__init__(token("CompileCache"), name, {}, opts)
        cache = parse_output(ModelCacheVolume, inputs.cache, source, "cache", _not_writable)
        folder = folder_of(inputs.release, inputs.node)
        timeout_seconds = plan.rollout.progress_deadline_seconds
        labels = _labels(inputs, inputs.labels)
        launcher_files = launcher.config_map(
            self, f"{plan.replicas.name}-compile", plan.launcher, inputs.namespace, labels
        )
        job = batch.v1.Job(
            f"{name}-compile",
            # No name of its own: another command is another Job, and the one before stays until it is done.
            # A Job that failed is done for good: the next update makes another one.
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace, labels=labels, annotations={"pulumi.com/replaceUnready": "true"}
            ),
            spec=job_spec(
                pod_template(plan, replace(_pod_context(inputs, plan, cache, source), launcher=launcher_files)),
                folder=folder,
                volume=cache.apply(lambda cache: cache.loader_volume or {}),
                labels=_labels(inputs, {}),
                timeout_seconds=timeout_seconds,
            ),
            opts=child(
                self, custom_timeouts=pulumi.CustomTimeouts(create=f"{timeout_seconds}s", update=f"{timeout_seconds}s")
            ),
        )
        self.job_name = job.metadata.apply(lambda metadata: metadata.name or "")
        self.folder = pulumi.Output.from_input(folder)
        self.register_outputs({"jobName": self.job_name, "folder": self.folder})


def _plan_release(inputs: CompileCacheInputs) -> ReleasePlan:
    """The plan of an instance that compiles while it starts.

    Raises:
        ProblemsError: paths are those of the component's arguments.
    """
    model, release = inputs.model.model_copy(update={"compile_cache": False}), inputs.release
    problems = _problems(inputs)
    if problems:
        raise ProblemsError(problems)
    (replicas,) = [replicas for replicas in plan_replicas(model) if replicas.version == release.version]
    cloud = cloud_named(inputs.node.cloud, "node.cloud")
    with problems_under("model"):
        model_plan = plan_model(model, release, inputs.node, cloud)
        problems = [
            *check_environment(inputs.model, release, model_plan, inputs.egress),
            *timeout_problems(inputs.model, model_plan.cold_start_seconds, inputs.node),
        ]
        if problems:
            raise ProblemsError(problems)
    if not model_plan.compiles:
        reason = "the engine compiles nothing there, so there is nothing to keep"
        raise ProblemsError([Problem("node.accelerator", inputs.node.accelerator, reason, "no compile cache")])
    return ReleasePlan(
        model=model,
        release=release,
        replicas=replicas,
        release_hash="",
        model_plan=model_plan,
        rollout=plan_rollout(model, 1, model_plan.cold_start_seconds, plan_drain(model.drain, None), inputs.node),
        engine=engine(release.engine.name),
        labels={},  # of the user: another label would be another Job, and compile again
        launcher=launcher.travelling(model, release, inputs.launcher_version),
        image_pull=inputs.image_pull,
        egress=inputs.egress,
        extra_environment={
            **egress_variables(inputs.egress),
            **driver_variables(model, release, inputs.node),
        },
    )


def _problems(inputs: CompileCacheInputs) -> list[Problem]:
    model, release = inputs.model, inputs.release
    problems: list[Problem] = []
    if release.name != model.name:
        problems.append(Problem("release.name", release.name, "is a release of another model", model.name))
    if release.version not in model.releases.versions:
        reason = "is not a release that model.releases names"
        problems.append(Problem("release.version", release.version, reason, ", ".join(model.releases.versions)))
    if release.engine.name is not EngineName.VLLM:
        reason = "has no compile cache that the launcher can keep"
        problems.append(Problem("release.engine.name", release.engine.name.value, reason, EngineName.VLLM.value))
    elif not model.engine.launcher:
        reason = "the launcher keeps the compile cache, and the engine runs without it"
        problems.append(Problem("model.engine.launcher", False, reason, "true, or no compile cache"))
    if model.engine.nodes > 1:
        reason = "each node of an instance compiles its own part, and the Job has one node"
        problems.append(Problem("model.engine.nodes", model.engine.nodes, reason, "1, or no compile cache"))
    return problems


def _pod_context(
    inputs: CompileCacheInputs, plan: ReleasePlan, cache: pulumi.Output[ModelCacheVolume], source: str
) -> PodContext:
    """What pool, cache and identity add to the pod of the Job."""

    def with_sidecar(cache: ModelCacheVolume) -> ModelPlan:
        with raising_input_errors(source):
            return plan_with_sidecar(plan, inputs.node, cache)

    return PodContext(
        scheduling=parse_output(PoolScheduling, inputs.scheduling, source, "scheduling"),
        cache=cache,
        identity=parse_output(WorkloadIdentityBinding, inputs.identity, source, "identity"),
        model_plan=cache.apply(with_sidecar),
        drain={SHARE_MAIN: pulumi.Output.from_input(plan_drain(plan.model.drain, None))},
        chat_template=None,
    )


def _labels(inputs: CompileCacheInputs, more: dict[str, str]) -> dict[str, str]:
    return {
        **loader_labels(inputs.release, inputs.model.team, more),
        LABEL_COMPONENT: COMPONENT_COMPILE_CACHE,
        "app.kubernetes.io/name": inputs.release.engine.name.value,
    }


def _compiling(container: core.v1.ContainerArgs, folder: str) -> core.v1.ContainerArgs:
    """The engine's container in the Job: without probes and preStop hook, as it gets no requests and ends by itself."""
    compiling = copy.copy(container)
    command = list(cast(Sequence[pulumi.Input[str]], compiling.command))
    end = [isinstance(word, str) and word == "--" for word in command].index(True)
    compiling.command = [*command[:end], *save_options(folder), *command[end:]]
    variables = cast(Sequence[core.v1.EnvVarArgs], compiling.env or [])
    saved = [core.v1.EnvVarArgs(name=name, value=value) for name, value in compile_variables().items()]
    compiling.env = [*(variable for variable in variables if variable.name not in compile_variables()), *saved]
    compiling.startup_probe = compiling.readiness_probe = compiling.liveness_probe = None
    compiling.lifecycle = None
    compiling.volume_mounts = [
        *cast(Sequence[core.v1.VolumeMountArgs], compiling.volume_mounts),
        core.v1.VolumeMountArgs(name="cache", mount_path=CACHE),
    ]
    # The last lines of the launcher's log become the container's status.
    compiling.termination_message_policy = "FallbackToLogsOnError"
    return compiling


def _not_writable(cache: ModelCacheVolume) -> list[Problem]:
    if cache.loader_volume is not None:
        return []
    return [Problem("loaderVolume", None, "this model cache cannot be mounted to be written to")]
