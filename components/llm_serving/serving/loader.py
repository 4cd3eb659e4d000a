"""Weights into the model cache: a Job that ends when a release's files are complete, before an engine starts.

The cache is a volume that the Job mounts, or a bucket that it writes by the store's own protocol, which is faster and
checked by the store. Owns the Job. Leaves alone: what the loader does (``images/model-loader``), volume and bucket.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import batch, core, meta

from llm_serving.catalog import UnknownFact
from llm_serving.component import Frozen, child, parse_output, to_input_errors, token, validated
from llm_serving.contract import ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.timeouts import load_timeout_problems, load_timeout_seconds
from llm_serving.serving.arguments import EgressArgs, ImagePullArgs, LoaderArgs, ReleaseArgs
from llm_serving.serving.egress import certificate_mounts, certificate_volumes, egress_variables
from llm_serving.serving.engines import adapter_folder
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.jobs import fail_on_exit_codes
from llm_serving.serving.labels import loader_labels
from llm_serving.serving.pod import RESTRICTED, USER_ID, restricted_pod, tolerations, weights_folder
from llm_serving.spec import AdapterSource, EgressSpec, ImagePullSpec, LoaderSpec, ModelSource, ReleaseSpec
from llm_serving.spec.loader import TOKEN_KEY

CACHE = "/cache"
CONTAINER = "loader"
RETRIES = 3
"""Failed pods before the Job gives up: a network that was away comes back."""
CONFIGURATION_ERROR = 78
"""Exit code of a loader that no retry can help, such as for a wrong revision (sysexits.h, ``EX_CONFIG``)."""
USAGE_ERROR = 2
"""Exit code of a loader that does not understand its command line."""
MEMORY_LIMIT = "2Gi"
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
    egress: NotRequired[EgressArgs]
    """The way out that the site prescribes; that of `TeamNamespace`."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `TeamNamespace`."""
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
    egress: EgressSpec | None = None
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}


class ModelLoader(pulumi.ComponentResource):
    """The weights of one release in the model cache. It is there when they are complete."""

    job_name: pulumi.Output[str]
    """Name of the Job."""

    def __init__(self, name: str, args: ModelLoaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ModelLoaderInputs, args, "ModelLoader", name)
        source = f"ModelLoader {name!r}"
        timeout_seconds = _timeout_seconds(inputs.loader, inputs.release, source)
        super().__init__(token("ModelLoader"), name, {}, opts)
        release, weights = inputs.release, weights_folder(inputs.release)
        labels = loader_labels(release, inputs.team, inputs.labels)
        cache = parse_output(ModelCacheVolume, inputs.cache, source, "cache", _not_loadable)
        pool = parse_output(PoolScheduling, inputs.scheduling, source, "scheduling")
        identity: pulumi.Output[WorkloadIdentityBinding | None] = pulumi.Output.from_input(None)
        if inputs.identity is not None:
            identity = parse_output(WorkloadIdentityBinding, inputs.identity, source, "identity")
        # A bucket is written from anywhere: no node with a GPU need wait for it.
        required_pool = pulumi.Output.all(cache, pool).apply(
            lambda outputs: None if outputs[0].loader_url else outputs[1]
        )
        job = batch.v1.Job(
            f"{name}-load",
            # No name of its own: another image or source is another Job, and the one before stays until it is done.
            # A Job that failed is done for good: the next update makes another one.
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace, labels=labels, annotations={"pulumi.com/replaceUnready": "true"}
            ),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=RETRIES,
                active_deadline_seconds=timeout_seconds,
                pod_failure_policy=fail_on_exit_codes(
                    [USAGE_ERROR, CONFIGURATION_ERROR], None if release.adapters else CONTAINER
                ),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(
                        # Without the user's: a Job's template never changes (Kubernetes documentation, "Jobs"), so that
                        # another label would be another Job, and load again.
                        labels=identity.apply(
                            lambda identity: {
                                **(identity.pod_labels if identity else {}),
                                **loader_labels(release, inputs.team, {}),
                            }
                        )
                    ),
                    spec=core.v1.PodSpecArgs(
                        restart_policy="Never",
                        image_pull_secrets=pull_references(inputs.image_pull),
                        service_account_name=identity.apply(
                            lambda identity: identity.service_account if identity else None
                        ),
                        automount_service_account_token=False,
                        enable_service_links=False,
                        node_selector=required_pool.apply(lambda pool: pool.node_selector if pool else None),
                        tolerations=required_pool.apply(lambda pool: tolerations(pool) if pool else None),
                        security_context=restricted_pod(fs_group=USER_ID, fs_group_change_policy="OnRootMismatch"),
                        # One after the other, the model last: they share the memory of one loader.
                        init_containers=[
                            _container(
                                f"adapter-{index}", adapter, adapter_folder(weights, adapter.name), inputs, cache
                            )
                            for index, adapter in enumerate(release.adapters)
                        ]
                        or None,
                        containers=[_container(CONTAINER, release.model, weights, inputs, cache)],
                        volumes=cache.apply(lambda cache: [*_volumes(cache), *certificate_volumes(inputs.egress)]),
                    ),
                ),
            ),
            opts=child(
                self, custom_timeouts=pulumi.CustomTimeouts(create=f"{timeout_seconds}s", update=f"{timeout_seconds}s")
            ),
        )
        self.job_name = job.metadata.apply(lambda metadata: metadata.name or "")
        self.register_outputs({"jobName": self.job_name})


def _container(
    name: str,
    source: ModelSource | AdapterSource,
    folder: str,
    inputs: ModelLoaderInputs,
    cache: pulumi.Output[ModelCacheVolume],
) -> core.v1.ContainerArgs:
    """A loader that fills ``folder``, below the cache."""
    loader = inputs.loader
    variables = {"HOME": "/tmp", **egress_variables(inputs.egress)}
    rank = [f"--adapter-rank={source.rank}"] if isinstance(source, AdapterSource) else []

    def mounts(cache: ModelCacheVolume) -> list[Any]:
        common = [{"name": "scratch", "mountPath": "/tmp"}, *certificate_mounts(inputs.egress)]
        return common if cache.loader_url else [*common, {"name": "cache", "mountPath": CACHE}]

    target = cache.apply(lambda cache: f"--target={cache.loader_url or CACHE}/{folder}")
    origin: pulumi.Input[str] = f"--source={loader.source}"
    if isinstance(source, ModelSource) and source.source == "cache":
        origin = cache.apply(lambda cache: f"--source={cache.loader_url or f'file://{CACHE}'}")
    return core.v1.ContainerArgs(
        name=name,
        image=loader.image.reference,
        image_pull_policy="IfNotPresent",
        command=[
            "llm-serving-load",
            origin,
            f"--repository={source.repository}",
            f"--revision={source.revision}",
            *rank,
            target,
        ],
        env=[*(core.v1.EnvVarArgs(name=key, value=value) for key, value in variables.items()), *_token(loader)],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": MEMORY_LIMIT}
        ),
        security_context=RESTRICTED,
        volume_mounts=cache.apply(mounts),
        # The last lines of the loader's log become the container's status.
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


def _not_loadable(cache: ModelCacheVolume) -> list[Problem]:
    if cache.loader_volume is not None or cache.loader_url is not None:
        return []
    return [Problem("loaderVolume", None, "this model cache cannot be filled by a loader")]


def _timeout_seconds(loader: LoaderSpec, release: ReleaseSpec, source: str) -> int:
    try:
        problems = [problem.under("loader") for problem in load_timeout_problems(loader, release)]
        timeout_seconds = load_timeout_seconds(loader, release)
    except UnknownFact as unknown:
        problems = [Problem("release.model.architecture", unknown.name, "is not in the catalog", unknown.nearest)]
    else:
        if not problems:
            return timeout_seconds
    raise to_input_errors(ProblemsError(problems).from_source(source)) from None
