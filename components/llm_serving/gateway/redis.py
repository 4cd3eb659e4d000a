"""A Redis of the gateway: one that holds limits and budgets, or one that holds answers.

The one of limits writes everything to a disk and refuses what has no room; the one of answers writes nothing and
forgets what was not used for longest. Either may be one that is there, such as Memorystore or ElastiCache: then nothing
is made. Owns the server with its disk, configuration and users. Leaves alone: who may reach it (``Gateway``), and what
is in it.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apps, core, meta

from llm_serving.component import Frozen, child, raising_input_errors, token, validated
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.gateway.arguments import CertificateSecretArgs, GatewayImageArgs, LimitsRedisArgs, RedisSettingsArgs
from llm_serving.gateway.names import REDIS_CACHE, REDIS_LIMITS, REDIS_PORT, service_host
from llm_serving.gateway.redis_pod import CONFIGURATION_FILE, PORT_NAME, USERS_FILE, configuration, pod_spec, users
from llm_serving.serving.arguments import ImagePullArgs
from llm_serving.serving.labels import (
    COMPONENT_REDIS_CACHE,
    COMPONENT_REDIS_LIMITS,
    LABEL_COMPONENT,
    gateway_labels,
)
from llm_serving.spec import CertificateSecretSpec, ImagePullSpec, ImageReference, LimitsRedisSpec, RedisSpec


class RedisArgs(TypedDict):
    """Arguments of `Redis`. One of `limits` and `cache` is given."""

    limits: NotRequired[LimitsRedisArgs]
    """It holds limits and budgets."""
    cache: NotRequired[RedisSettingsArgs]
    """It holds answers."""
    namespace: pulumi.Input[str]
    """The gateway's namespace."""
    image: NotRequired[GatewayImageArgs]
    """Image of Redis; needed where it is installed."""
    password: NotRequired[pulumi.Input[str]]
    """Password of its clients; needed where it is installed."""
    certificate: NotRequired[CertificateSecretArgs]
    """Its certificate, a Secret with `ca.crt` too: it speaks TLS alone. Left out: it speaks none."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `Gateway`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class RedisInputs(Frozen):
    """Arguments of :class:`Redis`, validated."""

    limits: LimitsRedisSpec | None = None
    cache: RedisSpec | None = None
    namespace: Any
    image: ImageReference | None = None
    password: Any = None
    certificate: CertificateSecretSpec | None = None
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}

    @property
    def settings(self) -> RedisSpec:
        """What is said of it, whichever it is."""
        return self.limits or self.cache or RedisSpec()


class Redis(pulumi.ComponentResource):
    """A Redis that the pods of a gateway share, or the way to one that is there.

    Its pod uses a priority class of `PriorityClasses`.
    """

    host: pulumi.Output[str]
    """Host under which the gateway reaches it."""
    port: pulumi.Output[int]
    """TCP port."""
    tls: pulumi.Output[bool]
    """Whether it speaks TLS."""

    def __init__(self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(RedisInputs, args, "Redis", name)
        with raising_input_errors(f"Redis {name!r}"):
            if problems := _problems(inputs):
                raise ProblemsError(problems)
        super().__init__(token("Redis"), name, {}, opts)
        settings = inputs.settings
        if settings.host is not None:
            self.host, self.port, self.tls = (
                pulumi.Output.from_input(settings.host),
                pulumi.Output.from_input(settings.port),
                pulumi.Output.from_input(settings.tls),
            )
        else:
            service = _install(self, name, inputs)
            self.host = pulumi.Output.all(_name(service), inputs.namespace).apply(lambda known: service_host(*known))
            self.port = pulumi.Output.from_input(REDIS_PORT)
            self.tls = pulumi.Output.from_input(inputs.certificate is not None)
        self.register_outputs({"host": self.host, "port": self.port, "tls": self.tls})


def _problems(inputs: RedisInputs) -> list[Problem]:
    if (inputs.limits is None) is (inputs.cache is None):
        reason = "one of limits and cache is given, and not both"
        return [Problem("limits", None, reason, Suggestion("limits, or cache", removal=True))]
    installed, problems = inputs.settings.is_installed, list[Problem]()
    for key, value in (("image", inputs.image), ("password", inputs.password)):
        if installed and value is None:
            problems.append(Problem(key, None, "required where no host is given"))
    if not installed and inputs.certificate is not None:
        reason = "without meaning for a Redis that is there"
        problems.append(Problem("certificate", None, reason, Suggestion("leave it out", removal=True)))
    return problems


def _install(parent: pulumi.Resource, name: str, inputs: RedisInputs) -> core.v1.Service:
    component, object_name = (
        (COMPONENT_REDIS_CACHE, REDIS_CACHE) if inputs.limits is None else (COMPONENT_REDIS_LIMITS, REDIS_LIMITS)
    )
    labels, pods = gateway_labels(component, "redis", inputs.labels), {LABEL_COMPONENT: component}
    image, memory_mib = inputs.image, inputs.settings.memory_mib
    if image is None:
        raise ValueError("a Redis without an image passed its check")

    def metadata(object_name: str | None = object_name) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(name=object_name, namespace=inputs.namespace, labels=labels)

    # Neither has a name of its own: others are other objects, and with them the pod is another one.
    text = configuration(memory_mib, persistent=inputs.limits is not None, tls=inputs.certificate is not None)
    configured = core.v1.ConfigMap(
        f"{name}-configuration",
        metadata=metadata(None),
        data={CONFIGURATION_FILE: text},
        immutable=True,
        opts=child(parent),
    )
    allowed = core.v1.Secret(
        f"{name}-users",
        metadata=metadata(None),
        string_data={USERS_FILE: pulumi.Output.secret(inputs.password).apply(users)},
        immutable=True,
        opts=child(parent),
    )
    claim = None if inputs.limits is None else _claim(parent, name, inputs.limits, metadata())

    def pod(configuration_name: str, users_name: str) -> core.v1.PodSpecArgs:
        return pod_spec(
            image,
            configuration_name,
            users_name,
            memory_mib,
            inputs.settings.cpu,
            claim=None if claim is None else object_name,
            tls_secret=inputs.certificate and inputs.certificate.secret_name,
            image_pull=inputs.image_pull,
        )

    template = core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels=labels),
        spec=pulumi.Output.all(_name(configured), _name(allowed)).apply(lambda names: pod(*names)),
    )
    selector = meta.v1.LabelSelectorArgs(match_labels=pods)
    if claim is None:
        workload = apps.v1.Deployment(
            name,
            metadata=metadata(),
            spec=apps.v1.DeploymentSpecArgs(replicas=1, revision_history_limit=5, selector=selector, template=template),
            opts=child(parent),
        )
    else:
        # Never two of them on one disk.
        workload = apps.v1.StatefulSet(
            name,
            metadata=metadata(),
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=1,
                revision_history_limit=5,
                service_name=object_name,
                selector=selector,
                template=template,
            ),
            opts=child(parent, depends_on=[claim]),
        )
    return core.v1.Service(
        name,
        metadata=metadata(),
        spec=core.v1.ServiceSpecArgs(
            type="ClusterIP",
            selector=pods,
            ports=[core.v1.ServicePortArgs(name=PORT_NAME, port=REDIS_PORT, target_port=PORT_NAME)],
        ),
        opts=child(parent, depends_on=[workload]),
    )


def _name(resource: core.v1.ConfigMap | core.v1.Secret | core.v1.Service) -> pulumi.Output[str]:
    return resource.metadata.apply(lambda metadata: metadata.name or "")


def _claim(
    parent: pulumi.Resource, name: str, settings: LimitsRedisSpec, metadata: meta.v1.ObjectMetaArgs
) -> core.v1.PersistentVolumeClaim:
    # Classes that wait for a first pod bind it when Redis starts, which waits for this claim.
    metadata.annotations = {"pulumi.com/skipAwait": "true"}
    return core.v1.PersistentVolumeClaim(
        name,
        metadata=metadata,
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=settings.storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{settings.storage_gib}Gi"}),
        ),
        opts=child(parent),
    )
