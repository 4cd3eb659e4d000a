"""Weights into the model cache: a Job that ends when a release's files are complete, before an engine starts.

Owns the Job. Leaves alone: what the loader does (``images/model-loader``), the volume.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import batch, core, meta

from llm_serving import catalog
from llm_serving.arguments import parse
from llm_serving.catalog import UnknownFact
from llm_serving.component import Frozen, child, refused, refusing, token, validated
from llm_serving.contract import ModelCacheVolume, PoolScheduling
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.cold_start import cold_start
from llm_serving.planning.fit import weight_bytes
from llm_serving.serving.arguments import LoaderArgs, ReleaseArgs
from llm_serving.serving.labels import loader_labels
from llm_serving.serving.pod import USER_ID, tolerations
from llm_serving.serving.rollout import PATIENCE
from llm_serving.spec import LoaderSpec, ReleaseSpec

CACHE = "/cache"
RETRIES = 3
"""Failed pods before the Job gives up: a network that was away comes back, a wrong revision does not."""


class ModelLoaderArgs(TypedDict):
    """Arguments of `ModelLoader`."""

    release: ReleaseArgs
    """The release whose weights are loaded."""
    team: str
    """Team that owns the model."""
    loader: LoaderArgs
    """With what and from where."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    cache: pulumi.Input[dict[str, Any]]
    """Volume to fill: output `volume` of a model cache."""
    scheduling: pulumi.Input[dict[str, Any]]
    """The pool whose nodes will read it: output `scheduling` of a pool. A volume may be bound to the node of its first
    pod."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class ModelLoaderInputs(Frozen):
    """Arguments of :class:`ModelLoader`, validated."""

    release: ReleaseSpec
    team: str
    loader: LoaderSpec
    namespace: Any
    cache: Any
    scheduling: Any
    labels: dict[str, str] = {}


class ModelLoader(pulumi.ComponentResource):
    """The weights of one release in the model cache. It is there when they are complete."""

    job_name: pulumi.Output[str]
    """Name of the Job."""

    def __init__(self, name: str, args: ModelLoaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ModelLoaderInputs, args, "ModelLoader", name)
        source = f"ModelLoader {name!r}"
        patience = _patience(inputs.release, source)
        super().__init__(token("ModelLoader"), name, {}, opts)
        release = inputs.release
        labels = loader_labels(release, inputs.team, inputs.labels)
        volume = pulumi.Output.from_input(inputs.cache).apply(lambda data: _loader_volume(data, source))
        pool = pulumi.Output.from_input(inputs.scheduling).apply(lambda data: _pool(data, source))
        job = batch.v1.Job(
            f"{name}-load",
            # No name of its own: another image or source is another Job, and the one before stays until it is done.
            # A Job that failed is done for good: the next update makes another one.
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace, labels=labels, annotations={"pulumi.com/replaceUnready": "true"}
            ),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=RETRIES,
                active_deadline_seconds=patience,
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=labels),
                    spec=core.v1.PodSpecArgs(
                        restart_policy="Never",
                        automount_service_account_token=False,
                        enable_service_links=False,
                        node_selector=pool.apply(lambda found: found.node_selector),
                        tolerations=pool.apply(tolerations),
                        security_context=core.v1.PodSecurityContextArgs(
                            run_as_non_root=True,
                            run_as_user=USER_ID,
                            run_as_group=USER_ID,
                            fs_group=USER_ID,
                            fs_group_change_policy="OnRootMismatch",
                            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                        ),
                        containers=[_container(release, inputs.loader)],
                        volumes=volume.apply(_volumes),
                    ),
                ),
            ),
            opts=child(self, custom_timeouts=pulumi.CustomTimeouts(create=f"{patience}s", update=f"{patience}s")),
        )
        self.job_name = job.metadata.apply(lambda found: found.name or "")
        self.register_outputs({"jobName": self.job_name})


def _container(release: ReleaseSpec, loader: LoaderSpec) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name="loader",
        image=loader.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-load",
            f"--source={loader.source}",
            f"--repository={release.model.repository}",
            f"--revision={release.model.revision}",
            f"--target={CACHE}/{release.name}/{release.version}",
        ],
        env=[core.v1.EnvVarArgs(name="HOME", value="/tmp")],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"}
        ),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            run_as_non_root=True,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="cache", mount_path=CACHE),
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
        ],
        # What the loader says last is what a person must read.
        termination_message_policy="FallbackToLogsOnError",
    )


def _volumes(cache: dict[str, Any]) -> list[Any]:
    return [{"name": "cache", **cache}, {"name": "scratch", "emptyDir": {}}]


def _pool(data: Any, source: str) -> PoolScheduling:
    with refusing(f"{source}: scheduling"):
        return parse(PoolScheduling, data)


def _loader_volume(data: Any, source: str) -> dict[str, Any]:
    with refusing(f"{source}: cache"):
        volume = parse(ModelCacheVolume, data).loader_volume
        if volume is None:
            raise ProblemsError([Problem("loaderVolume", None, "this model cache cannot be filled by a loader")])
        return volume


def _patience(release: ReleaseSpec, source: str) -> int:
    """Seconds that loading may take: as long as an engine may take to read the weights, and its image to arrive."""
    try:
        architecture = catalog.architecture(release.model.architecture)
    except UnknownFact as unknown:
        problem = Problem("release.model.architecture", unknown.name, "is not in the catalog", unknown.nearest)
        raise refused(ProblemsError([problem]).from_source(source)) from None
    stages = cold_start("existing", catalog.device("cpu"), weight_bytes(architecture, release.quantization))
    return PATIENCE * (stages.image_pull + stages.weights)
