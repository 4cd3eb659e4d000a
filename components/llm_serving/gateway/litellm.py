"""The pods of LiteLLM, and what keeps some of them answering.

One worker a pod: LiteLLM's supervisor of several workers did not become ready, and pods are what Kubernetes replaces
and counts. Runs under Pod Security "restricted" with a read-only root file system, and without a token of the cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import autoscaling, core

from llm_serving.gateway.names import (
    LITELLM,
    LITELLM_METRICS_PORT,
    LITELLM_PORT,
    REDIS_SERVICES,
    WORKER,
    authority_folder,
    certificate_secret,
)
from llm_serving.gateway.pods import PRE_STOP, grace_period_seconds, http_probe
from llm_serving.planning.gateway import longest_stay_seconds
from llm_serving.serving.disruption import spread
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.labels import COMPONENT_GATEWAY, COMPONENT_GATEWAY_WORKER, LABEL_COMPONENT
from llm_serving.serving.pod import PORT_NAME, RESTRICTED, USER_ID, restricted_pod
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores
from llm_serving.spec import GatewaySpec, ImagePullSpec, ModelEndpoint, PostgresSpec, ServiceClass

FILES = "/etc/llm-serving"
METRICS_PORT_NAME = "metrics"
_HOSTED = "hosted"
PODS = {LABEL_COMPONENT: COMPONENT_GATEWAY}
"""Labels that select the pods."""
WORKER_PODS = {LABEL_COMPONENT: COMPONENT_GATEWAY_WORKER}
"""Labels that select the workers of the queue: LiteLLM too, without clients."""

KEYS_SECRET = "gateway-keys"
KEYS_FILE = "keys.json"
REDIS_SECRET = "gateway-redis"
WEBHOOKS = "webhooks"
HOSTED_SECRET = "gateway-hosted"
"""Keys of hosted providers that the stack has, by the providers' names."""
HOSTED_KEY = "api-key"
"""Where a Secret of somebody else's has such a key."""
CONFIGURATION_FILE = "gateway.json"
WEBHOOK_SECRET_FILE = "secret"

MEMORY_REQUEST = "640Mi"
LIMITS = {"memory": "1536Mi"}
"""LiteLLM 1.110.2 with our hooks took 441 MB, and 20 ms of a core for a request (November 2026). No CPU limit: it would
delay every request."""
SCALE_UP_CPU = "700m"
"""Use of CPU for which a pod is added, on average. One worker uses one core at most, whatever it requests."""

STARTUP_PERIOD_SECONDS = 5
STARTUP_FAILURES = 60
"""LiteLLM took up to 113 s to become ready on a busy machine (November 2026)."""

PROGRESS_DEADLINE_SECONDS = STARTUP_PERIOD_SECONDS * STARTUP_FAILURES + 300
"""For a pod: its start, and before it the node and the image."""

_DELETED_SECONDS = 300
"""For a removal, besides the requests that run."""


@dataclass(frozen=True)
class Files:
    """Names of what pods read.

    Attributes:
        configuration: the ConfigMap with ``gateway.json``.
        passwords: the Secret with passwords of Redis, which need not be there.
        webhooks: the Secret with which webhooks are signed; ``None`` where none are sent.
    """

    configuration: str
    passwords: str
    webhooks: str | None = None


def _grace_period_seconds(spec: GatewaySpec, models: Sequence[ModelEndpoint]) -> int:
    return grace_period_seconds(longest_stay_seconds(spec, models))


def custom_timeouts(
    spec: GatewaySpec, models: Sequence[ModelEndpoint], replicas: int | None = None
) -> pulumi.CustomTimeouts:
    """How long Pulumi waits for the first pods, which start side by side, for a rollout, which replaces one at a time,
    and for a removal, which waits for the longest request."""
    create, update = PROGRESS_DEADLINE_SECONDS, PROGRESS_DEADLINE_SECONDS * (replicas or spec.replicas.max)
    delete = _grace_period_seconds(spec, models) + _DELETED_SECONDS
    return pulumi.CustomTimeouts(create=f"{create}s", update=f"{update}s", delete=f"{delete}s")


def pod_spec(
    spec: GatewaySpec,
    models: Sequence[ModelEndpoint],
    files: Files,
    image_pull: ImagePullSpec | None,
    *,
    is_worker: bool = False,
) -> core.v1.PodSpecArgs:
    """The spec of a pod.

    Args:
        spec: the gateway.
        models: models that it offers.
        files: what it reads.
        image_pull: credentials for the registry of the image; ``None`` where nodes need none.
        is_worker: it works off the queue, and answers no client.
    """
    signing = [] if files.webhooks is None else [files.webhooks]
    container = _container(spec, [WEBHOOKS] if signing else [])
    # All models are reached through it: it gives way to none of them. What a worker leaves, another one takes up.
    service_class = ServiceClass.CRITICAL
    if is_worker and spec.queue is not None:
        service_class = spec.queue.service_class
        container.name = WORKER
        container.command = ["llm-serving-gateway", "worker"]
        container.lifecycle = None
        container.resources = _resources(spec.queue.cpu)
    return core.v1.PodSpecArgs(
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=pull_references(image_pull),
        termination_grace_period_seconds=_grace_period_seconds(spec, models),
        priority_class_name=priority_class(service_class),
        topology_spread_constraints=spread(WORKER_PODS if is_worker else PODS),
        security_context=restricted_pod(fs_group=USER_ID),
        containers=[container],
        volumes=[
            core.v1.VolumeArgs(name="scratch", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="256Mi")),
            core.v1.VolumeArgs(
                name="configuration", config_map=core.v1.ConfigMapVolumeSourceArgs(name=files.configuration)
            ),
            core.v1.VolumeArgs(name="keys", secret=core.v1.SecretVolumeSourceArgs(secret_name=KEYS_SECRET)),
            # A Redis that is there may have no password.
            core.v1.VolumeArgs(
                name="redis", secret=core.v1.SecretVolumeSourceArgs(secret_name=files.passwords, optional=True)
            ),
            *(
                core.v1.VolumeArgs(name=WEBHOOKS, secret=core.v1.SecretVolumeSourceArgs(secret_name=name))
                for name in signing
            ),
            *_hosted_volume(spec),
            *(_authority(service) for service in _secured_redis(spec)),
            *([] if spec.postgres is None else [_postgres_volume(spec.postgres)]),
        ],
    )


def _secret_file(secret: str, key: str, path: str) -> core.v1.VolumeProjectionArgs:
    """One key of a Secret as a file; pods start without it."""
    items = [core.v1.KeyToPathArgs(key=key, path=path)]
    return core.v1.VolumeProjectionArgs(secret=core.v1.SecretProjectionArgs(name=secret, items=items, optional=True))


def _hosted_volume(spec: GatewaySpec) -> list[core.v1.VolumeArgs]:
    """A file with the key of each hosted provider, by its name. One without a key is not asked."""
    sources = [
        _secret_file(HOSTED_SECRET, provider.name, provider.name)
        if provider.secret_name is None
        else _secret_file(provider.secret_name, HOSTED_KEY, provider.name)
        for provider in spec.hosted
    ]
    if not sources:
        return []
    return [core.v1.VolumeArgs(name=_HOSTED, projected=core.v1.ProjectedVolumeSourceArgs(sources=sources))]


def _secured_redis(spec: GatewaySpec) -> list[str]:
    """Services of the installed Redis that speak TLS."""
    return [REDIS_SERVICES[store] for store in spec.redis.with_made_certificates]


def _authority(service: str) -> core.v1.VolumeArgs:
    """The certificate of a Redis' authority alone: its key is nobody else's."""
    return core.v1.VolumeArgs(
        name=service,
        secret=core.v1.SecretVolumeSourceArgs(
            secret_name=certificate_secret(service), items=[core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")]
        ),
    )


def _postgres_volume(postgres: PostgresSpec) -> core.v1.VolumeArgs:
    """User, password and authorities. Pods start without them, and read them again for each connection."""
    sources = [_secret_file(postgres.secret_name, key, key) for key in ("username", "password")]
    if postgres.ca_secret_name is not None:
        sources.append(_secret_file(postgres.ca_secret_name, "ca.crt", "ca.crt"))
    return core.v1.VolumeArgs(name="postgres", projected=core.v1.ProjectedVolumeSourceArgs(sources=sources))


def _resources(cpu: float) -> core.v1.ResourceRequirementsArgs:
    return core.v1.ResourceRequirementsArgs(requests={"cpu": cores(cpu), "memory": MEMORY_REQUEST}, limits=LIMITS)


def _container(spec: GatewaySpec, folders: Sequence[str]) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name=LITELLM,
        image=spec.image.reference,
        image_pull_policy="IfNotPresent",
        command=["llm-serving-gateway"],
        ports=[
            core.v1.ContainerPortArgs(name=PORT_NAME, container_port=LITELLM_PORT),
            core.v1.ContainerPortArgs(name=METRICS_PORT_NAME, container_port=LITELLM_METRICS_PORT),
        ],
        resources=_resources(spec.cpu),
        security_context=RESTRICTED,
        # `/health` would ask every model (LiteLLM documentation, "Health Checks").
        startup_probe=http_probe("/health/readiness", PORT_NAME, STARTUP_PERIOD_SECONDS, STARTUP_FAILURES),
        readiness_probe=http_probe("/health/readiness", PORT_NAME, 5, 2),
        liveness_probe=http_probe("/health/liveliness", PORT_NAME, 10, 6),
        lifecycle=PRE_STOP,
        volume_mounts=[
            core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp"),
            core.v1.VolumeMountArgs(name="configuration", mount_path=f"{FILES}/gateway", read_only=True),
            # Whole folders: a file that is mounted by itself never changes.
            core.v1.VolumeMountArgs(name="keys", mount_path=f"{FILES}/keys", read_only=True),
            core.v1.VolumeMountArgs(name="redis", mount_path=f"{FILES}/redis", read_only=True),
            *(core.v1.VolumeMountArgs(name=each, mount_path=f"{FILES}/{each}", read_only=True) for each in folders),
            *(
                [core.v1.VolumeMountArgs(name=_HOSTED, mount_path=f"{FILES}/{_HOSTED}", read_only=True)]
                if spec.hosted
                else []
            ),
            *(
                core.v1.VolumeMountArgs(name=service, mount_path=authority_folder(service), read_only=True)
                for service in _secured_redis(spec)
            ),
            *(
                []
                if spec.postgres is None
                else [core.v1.VolumeMountArgs(name="postgres", mount_path=f"{FILES}/postgres", read_only=True)]
            ),
        ],
        termination_message_policy="FallbackToLogsOnError",
    )


def service_spec() -> core.v1.ServiceSpecArgs:
    """The Service in front of the pods, which the proxy's edge asks."""
    return core.v1.ServiceSpecArgs(
        type="ClusterIP",
        selector=PODS,
        ports=[
            core.v1.ServicePortArgs(name=PORT_NAME, port=LITELLM_PORT, target_port=PORT_NAME, app_protocol="http"),
            core.v1.ServicePortArgs(name=METRICS_PORT_NAME, port=LITELLM_METRICS_PORT, target_port=METRICS_PORT_NAME),
        ],
    )


def autoscaler_spec(spec: GatewaySpec) -> autoscaling.v2.HorizontalPodAutoscalerSpecArgs | None:
    """More pods where they compute much; ``None`` where their number is fixed."""
    if spec.replicas.min == spec.replicas.max:
        return None
    return autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=autoscaling.v2.CrossVersionObjectReferenceArgs(
            api_version="apps/v1", kind="Deployment", name=LITELLM
        ),
        min_replicas=spec.replicas.min,
        max_replicas=spec.replicas.max,
        metrics=[
            autoscaling.v2.MetricSpecArgs(
                type="Resource",
                resource=autoscaling.v2.ResourceMetricSourceArgs(
                    name="cpu",
                    target=autoscaling.v2.MetricTargetArgs(type="AverageValue", average_value=SCALE_UP_CPU),
                ),
            )
        ],
    )
