"""Quantized weights: a Job that verifies those of a release, quantizes them on a node of a pool, and writes the result
into the model cache.

Three programs, one after the other: the loader verifies the base, the quantizer reads it from the cache and writes to
the node's disk, the loader takes that into the cache, complete or not at all. The result lies in a folder that is named
after all that it was made of, so what changes is another folder, and nothing is overwritten. Owns the Job. Leaves
alone: the recipes (``images/quantizer``), and who serves the result (a release whose model has ``source: cache``).
"""

from math import ceil
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import batch, core, meta

from llm_serving.component import Frozen, child, parse_output, raising_input_errors, token, validated
from llm_serving.contract import ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError, problems_under
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.host import NO_SIDECAR, SidecarRequests
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.quantization import QuantizationPlan, plan_quantization
from llm_serving.serving.arguments import (
    EgressArgs,
    ImagePullArgs,
    LoaderArgs,
    NodeShapeArgs,
    QuantizationArgs,
    ReleaseArgs,
)
from llm_serving.serving.egress import certificate_mounts, certificate_volumes, egress_variables
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.jobs import fail_on_exit_codes
from llm_serving.serving.labels import quantization_labels
from llm_serving.serving.loader import CACHE, CONFIGURATION_ERROR, MEMORY_LIMIT, USAGE_ERROR
from llm_serving.serving.pod import (
    MODELS,
    RESTRICTED,
    USER_ID,
    restricted_pod,
    sidecar_requests,
    storage_request,
    tolerations,
    unrequested_cache_gib,
    verification,
    weights_of,
)
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores, gibibytes
from llm_serving.spec import EgressSpec, ImagePullSpec, LoaderSpec, QuantizationSpec, ReleaseSpec, ServiceClass

RESULT = "/result"
QUANTIZE, PUBLISH = "quantize", "publish"
RETRIES = 2
"""Failed pods before the Job gives up; those whose node went away do not count."""


class QuantizationJobArgs(TypedDict):
    """Arguments of `QuantizationJob`."""

    quantization: QuantizationArgs
    """What is quantized, and how."""
    base: ReleaseArgs
    """The release that it names as base. Its weights are in the model cache."""
    loader: LoaderArgs
    """The loader, which verifies the base and writes the result."""
    node: NodeShapeArgs
    """A node of the pool."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    scheduling: pulumi.Input[dict[str, Any]]
    """How a pod gets onto the pool's nodes: output `scheduling` of a pool."""
    cache: pulumi.Input[dict[str, Any]]
    """Volume with the weights, which is also written to: output `volume` of a model cache."""
    identity: NotRequired[pulumi.Input[dict[str, Any]]]
    """Who quantizes: output `binding` of a workload identity that may write to the cache. Left out where the cache is a
    volume."""
    egress: NotRequired[EgressArgs]
    """The way out that the site prescribes; that of `TeamNamespace`."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `TeamNamespace`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class QuantizationJobInputs(Frozen):
    """Arguments of :class:`QuantizationJob`, validated."""

    quantization: QuantizationSpec
    base: ReleaseSpec
    loader: LoaderSpec
    node: NodeShape
    namespace: Any
    scheduling: Any
    cache: Any
    identity: Any = None
    egress: EgressSpec | None = None
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}


class QuantizationJob(pulumi.ComponentResource):
    """Quantized weights of a release in the model cache. They are there when it is. The Job takes GPUs of the pool
    while it runs."""

    job_name: pulumi.Output[str]
    """Name of the Job."""
    folder: pulumi.Output[str]
    """Where the result lies, from the root of the model cache on."""
    revision: pulumi.Output[str]
    """Its revision, which changes with all that it is made of."""

    def __init__(self, name: str, args: QuantizationJobArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(QuantizationJobInputs, args, "QuantizationJob", name)
        source = f"QuantizationJob {name!r}"
        with raising_input_errors(source):
            plan = _plan(inputs)
        super().__init__(token("QuantizationJob"), name, {}, opts)
        cache = parse_output(ModelCacheVolume, inputs.cache, source, "cache", _not_writable)
        scheduling = parse_output(PoolScheduling, inputs.scheduling, source, "scheduling")
        identity: pulumi.Output[WorkloadIdentityBinding | None] = pulumi.Output.from_input(None)
        if inputs.identity is not None:
            identity = parse_output(WorkloadIdentityBinding, inputs.identity, source, "identity")

        def with_sidecar(cache: ModelCacheVolume) -> QuantizationPlan:
            with raising_input_errors(source):
                return _plan(inputs, sidecar_requests(cache))

        sizes = cache.apply(with_sidecar)
        timeout = f"{inputs.quantization.timeout_seconds}s"
        job = batch.v1.Job(
            f"{name}-quantize",
            # No name of its own: another recipe is another Job, and the one before stays until it is done.
            # A Job that failed is done for good: the next update makes another one.
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace,
                labels=quantization_labels(inputs.quantization, inputs.labels),
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=RETRIES,
                active_deadline_seconds=inputs.quantization.timeout_seconds,
                pod_failure_policy=fail_on_exit_codes([USAGE_ERROR, CONFIGURATION_ERROR], None),
                template=_template(inputs, plan, cache, scheduling, identity, sizes),
            ),
            opts=child(self, custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout)),
        )
        self.job_name = job.metadata.apply(lambda metadata: metadata.name or "")
        self.folder = pulumi.Output.from_input(plan.folder)
        self.revision = pulumi.Output.from_input(plan.revision)
        self.register_outputs({"jobName": self.job_name, "folder": self.folder, "revision": self.revision})


def _plan(inputs: QuantizationJobInputs, sidecar: SidecarRequests = NO_SIDECAR) -> QuantizationPlan:
    """The plan of the Job.

    Raises:
        ProblemsError: paths are those of the component's arguments.
    """
    spec, base = inputs.quantization, inputs.base
    with problems_under("quantization"):
        named = (spec.base.model, spec.base.release)
        if named != (base.name, base.version):
            reason = f"the base is {base.name} {base.version}"
            raise ProblemsError([Problem("base.release", spec.base.release, reason, base.version)])
        return plan_quantization(spec, base, inputs.node, cloud_named(inputs.node.cloud), sidecar)


def _template(
    inputs: QuantizationJobInputs,
    plan: QuantizationPlan,
    cache: pulumi.Output[ModelCacheVolume],
    scheduling: pulumi.Output[PoolScheduling],
    identity: pulumi.Output[WorkloadIdentityBinding | None],
    sizes: pulumi.Output[QuantizationPlan],
) -> core.v1.PodTemplateSpecArgs:
    weights = weights_of(inputs.base)
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            # Without the user's: another label would be another Job, and quantize again.
            labels=identity.apply(
                lambda identity: {
                    **(identity.pod_labels if identity else {}),
                    **quantization_labels(inputs.quantization, {}),
                }
            ),
            annotations=pulumi.Output.all(cache, scheduling, sizes).apply(lambda outputs: _annotations(*outputs)),
        ),
        spec=core.v1.PodSpecArgs(
            restart_policy="Never",
            image_pull_secrets=pull_references(inputs.image_pull),
            service_account_name=identity.apply(lambda identity: identity.service_account if identity else None),
            automount_service_account_token=False,
            enable_service_links=False,
            node_selector=scheduling.apply(lambda scheduling: scheduling.node_selector),
            tolerations=scheduling.apply(tolerations),
            priority_class_name=priority_class(ServiceClass.BATCH),
            security_context=restricted_pod(fs_group=USER_ID, fs_group_change_policy="OnRootMismatch"),
            init_containers=[
                verification("verify-base", weights, inputs.base.model, inputs.loader),
                _quantizer(inputs, plan, weights, scheduling, sizes, cache),
            ],
            containers=[_publisher(inputs, plan, cache)],
            volumes=cache.apply(lambda cache: _volumes(inputs, plan, cache)),
        ),
    )


def _volumes(inputs: QuantizationJobInputs, plan: QuantizationPlan, cache: ModelCacheVolume) -> list[Any]:
    result: dict[str, Any] = {"name": "result", "emptyDir": {"sizeLimit": f"{_result_limit(plan)}Gi"}}
    shared: dict[str, Any] = {"medium": "Memory", "sizeLimit": gibibytes(plan.shm_gib)}
    return [
        {"name": "models", **cache.volume},
        {"name": "scratch", "emptyDir": {}},
        result,
        {"name": "shared-memory", "emptyDir": shared},
        *([] if cache.loader_url else [{"name": "cache", **(cache.loader_volume or {})}]),
        *certificate_volumes(inputs.egress),
    ]


def _annotations(cache: ModelCacheVolume, scheduling: PoolScheduling, plan: QuantizationPlan) -> dict[str, str]:
    storage = {} if cache.storage_annotation is None else {cache.storage_annotation: gibibytes(plan.cached_gib)}
    return {**cache.pod_annotations, **storage, **scheduling.pod_annotations}


def _result_limit(plan: QuantizationPlan) -> int:
    """Most that the result may take of the node's disk, in GiB; a little more than was planned."""
    return ceil(plan.result_gib * 1.1) + 1


def _quantizer(
    inputs: QuantizationJobInputs,
    plan: QuantizationPlan,
    weights: str,
    scheduling: pulumi.Output[PoolScheduling],
    sizes: pulumi.Output[QuantizationPlan],
    cache: pulumi.Output[ModelCacheVolume],
) -> core.v1.ContainerArgs:
    spec = inputs.quantization
    calibration = spec.calibration
    libraries = cloud_named(inputs.node.cloud).driver_libraries
    # The Python base names no folders of its own.
    driver = {} if libraries is None else {"LD_LIBRARY_PATH": libraries, "LIBRARY_PATH": libraries}
    return core.v1.ContainerArgs(
        name=QUANTIZE,
        image=spec.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-quantize",
            f"--base={weights}",
            f"--result={RESULT}/{plan.folder}",
            f"--scheme={spec.scheme.value}",
            *(
                []
                if calibration is None
                else [
                    f"--calibration={MODELS}/{calibration.path}",
                    f"--samples={calibration.samples}",
                    f"--sequence-length={calibration.sequence_length}",
                ]
            ),
            # A Job that is made again, with a stack for one, finds what the one before it left.
            f"--unless={MODELS}/{plan.folder}",
        ],
        env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in {"HOME": "/tmp", **driver}.items()],
        resources=pulumi.Output.all(scheduling, sizes, cache).apply(lambda outputs: _resources(*outputs)),
        security_context=RESTRICTED,
        volume_mounts=[
            core.v1.VolumeMountArgs(name="models", mount_path=MODELS, read_only=True),
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
            core.v1.VolumeMountArgs(name="result", mount_path=RESULT),
            core.v1.VolumeMountArgs(name="shared-memory", mount_path="/dev/shm"),
        ],
        # The last lines of its log become the container's status.
        termination_message_policy="FallbackToLogsOnError",
    )


def _resources(
    scheduling: PoolScheduling, plan: QuantizationPlan, cache: ModelCacheVolume
) -> core.v1.ResourceRequirementsArgs:
    memory = gibibytes(plan.memory_gib)
    gpus = {} if scheduling.gpu_resource is None else {scheduling.gpu_resource: str(plan.gpus)}
    needed = plan.image_gib + _result_limit(plan) + unrequested_cache_gib(cache, plan.cached_gib)
    storage = storage_request(needed) if plan.image_gib else {}
    return core.v1.ResourceRequirementsArgs(
        requests={"cpu": cores(plan.cpu), "memory": memory, **storage, **gpus}, limits={"memory": memory, **gpus}
    )


def _publisher(
    inputs: QuantizationJobInputs, plan: QuantizationPlan, cache: pulumi.Output[ModelCacheVolume]
) -> core.v1.ContainerArgs:
    """The loader, which takes the result into the cache. Where it is there already, it reads nothing."""

    def mounts(cache: ModelCacheVolume) -> list[Any]:
        common = [
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "result", "mountPath": RESULT, "readOnly": True},
            *certificate_mounts(inputs.egress),
        ]
        return common if cache.loader_url else [*common, {"name": "cache", "mountPath": CACHE}]

    variables = {"HOME": "/tmp", **egress_variables(inputs.egress)}
    return core.v1.ContainerArgs(
        name=PUBLISH,
        image=inputs.loader.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-load",
            f"--source=file://{RESULT}",
            f"--repository={plan.repository}",
            f"--revision={plan.revision}",
            cache.apply(lambda cache: f"--target={cache.loader_url or CACHE}/{plan.folder}"),
        ],
        env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in variables.items()],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": MEMORY_LIMIT}
        ),
        security_context=RESTRICTED,
        volume_mounts=cache.apply(mounts),
        termination_message_policy="FallbackToLogsOnError",
    )


def _not_writable(cache: ModelCacheVolume) -> list[Problem]:
    if cache.loader_volume is not None or cache.loader_url is not None:
        return []
    return [Problem("loaderVolume", None, "nothing can be written into this model cache")]
