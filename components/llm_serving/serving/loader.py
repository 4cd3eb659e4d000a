"""Weights into the model cache: a Job that ends when a release's files are complete, before an engine starts.

The cache is a volume that the Job mounts, or a bucket that it writes by the store's own protocol, which is faster and
checked by the store. Owns the Job. Leaves alone: what the loader does (``images/model-loader``), volume and bucket.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import batch, core, meta

from llm_serving import catalog
from llm_serving.arguments import parse
from llm_serving.catalog import UnknownFact
from llm_serving.component import Frozen, child, reading, refused, refusing, token, validated
from llm_serving.contract import ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.cold_start import cold_start
from llm_serving.planning.fit import weight_bytes
from llm_serving.serving.arguments import LoaderArgs, ReleaseArgs
from llm_serving.serving.engines import adapter_folder
from llm_serving.serving.jobs import give_up_on
from llm_serving.serving.labels import loader_labels
from llm_serving.serving.pod import RESTRICTED, USER_ID, tolerations, weights_folder
from llm_serving.serving.rollout import PATIENCE
from llm_serving.spec import AdapterSource, LoaderSpec, ModelSource, ReleaseSpec

CACHE = "/cache"
CONTAINER = "loader"
RETRIES = 3
"""Failed pods before the Job gives up: a network that was away comes back."""
HOPELESS = 78
"""Exit status of a loader that cannot succeed by trying again, such as a wrong revision (sysexits.h, ``EX_CONFIG``)."""
WRONG_USAGE = 2
"""Exit status of a loader that does not understand its command line."""
TOKEN_KEY = "token"
LIMIT = "2Gi"
"""Memory of a loader: eight workers that copy from one bucket to another hold about 1 GiB of parts."""


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
    pod; where the cache is a bucket, the Job runs on any node."""
    identity: NotRequired[pulumi.Input[dict[str, Any]]]
    """Who the loader is: output `binding` of a workload identity that may write. Left out where the cache is a
    volume."""
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
    identity: Any = None
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
        release, weights = inputs.release, weights_folder(inputs.release)
        labels = loader_labels(release, inputs.team, inputs.labels)
        cache = pulumi.Output.from_input(inputs.cache).apply(lambda data: _cache(data, source))
        pool = reading(PoolScheduling, inputs.scheduling, f"{source}: scheduling")
        identity = pulumi.Output.from_input(inputs.identity or {}).apply(lambda data: _identity(data, source))
        # A bucket is written from anywhere: no node with a GPU need wait for it.
        where = pulumi.Output.all(cache, pool).apply(lambda both: None if both[0].loader_url else both[1])
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
                pod_failure_policy=give_up_on([WRONG_USAGE, HOPELESS], None if release.adapters else CONTAINER),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(
                        labels=identity.apply(lambda found: {**(found.pod_labels if found else {}), **labels})
                    ),
                    spec=core.v1.PodSpecArgs(
                        restart_policy="Never",
                        service_account_name=identity.apply(lambda found: found.service_account if found else None),
                        automount_service_account_token=False,
                        enable_service_links=False,
                        node_selector=where.apply(lambda found: found.node_selector if found else None),
                        tolerations=where.apply(lambda found: tolerations(found) if found else None),
                        security_context=core.v1.PodSecurityContextArgs(
                            run_as_non_root=True,
                            run_as_user=USER_ID,
                            run_as_group=USER_ID,
                            fs_group=USER_ID,
                            fs_group_change_policy="OnRootMismatch",
                            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                        ),
                        # One after the other, the model last: they share the memory of one loader.
                        init_containers=[
                            _container(
                                f"adapter-{index}", adapter, adapter_folder(weights, adapter.name), inputs.loader, cache
                            )
                            for index, adapter in enumerate(release.adapters)
                        ]
                        or None,
                        containers=[_container(CONTAINER, release.model, weights, inputs.loader, cache)],
                        volumes=cache.apply(_volumes),
                    ),
                ),
            ),
            opts=child(self, custom_timeouts=pulumi.CustomTimeouts(create=f"{patience}s", update=f"{patience}s")),
        )
        self.job_name = job.metadata.apply(lambda found: found.name or "")
        self.register_outputs({"jobName": self.job_name})


def _container(
    name: str,
    source: ModelSource | AdapterSource,
    folder: str,
    loader: LoaderSpec,
    cache: pulumi.Output[ModelCacheVolume],
) -> core.v1.ContainerArgs:
    """A loader that fills ``folder``, below the cache."""
    rank = [f"--adapter-rank={source.rank}"] if isinstance(source, AdapterSource) else []

    def mounts(found: ModelCacheVolume) -> list[Any]:
        scratch = {"name": "scratch", "mountPath": "/tmp"}
        return [scratch] if found.loader_url else [scratch, {"name": "cache", "mountPath": CACHE}]

    target = cache.apply(lambda found: f"--target={found.loader_url or CACHE}/{folder}")
    return core.v1.ContainerArgs(
        name=name,
        image=loader.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-load",
            f"--source={loader.source}",
            f"--repository={source.repository}",
            f"--revision={source.revision}",
            *rank,
            target,
        ],
        env=[core.v1.EnvVarArgs(name="HOME", value="/tmp"), *_token(loader)],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": LIMIT}
        ),
        security_context=RESTRICTED,
        volume_mounts=cache.apply(mounts),
        # What the loader says last is what a person must read.
        termination_message_policy="FallbackToLogsOnError",
    )


def _token(loader: LoaderSpec) -> list[core.v1.EnvVarArgs]:
    if loader.token_secret is None:
        return []
    reference = core.v1.SecretKeySelectorArgs(name=loader.token_secret, key=TOKEN_KEY)
    return [
        core.v1.EnvVarArgs(name="HF_TOKEN", value_from=core.v1.EnvVarSourceArgs(secret_key_ref=reference)),
    ]


def _volumes(cache: ModelCacheVolume) -> list[Any]:
    scratch: dict[str, Any] = {"name": "scratch", "emptyDir": {}}
    return [scratch] if cache.loader_url else [scratch, {"name": "cache", **(cache.loader_volume or {})}]


def _identity(data: Any, source: str) -> WorkloadIdentityBinding | None:
    with refusing(f"{source}: identity"):
        return parse(WorkloadIdentityBinding, data) if data else None


def _cache(data: Any, source: str) -> ModelCacheVolume:
    with refusing(f"{source}: cache"):
        cache = parse(ModelCacheVolume, data)
        if cache.loader_volume is None and cache.loader_url is None:
            raise ProblemsError([Problem("loaderVolume", None, "this model cache cannot be filled by a loader")])
        return cache


def _patience(release: ReleaseSpec, source: str) -> int:
    """Seconds that loading may take: as long as an engine may take to read the weights, and its image to arrive; and
    for each adapter as long as for an image."""
    try:
        architecture = catalog.architecture(release.model.architecture)
    except UnknownFact as unknown:
        problem = Problem("release.model.architecture", unknown.name, "is not in the catalog", unknown.nearest)
        raise refused(ProblemsError([problem]).from_source(source)) from None
    stages = cold_start(EXISTING, catalog.device("cpu"), weight_bytes(architecture, release.quantization))
    return PATIENCE * (stages.image_pull * (1 + len(release.adapters)) + stages.weights)
