"""The gateway's namespace, LiteLLM in it, and who may speak with whom.

Owns the namespace, LiteLLM with its files, keys and passwords, and every network policy of the namespace, those of
proxy and Redis too: they are about all parts. Leaves alone: the proxy, the routes of models, routers and Redis, which
are components of their own and come into this namespace; what teams' namespaces let in (``TeamNamespace``).
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apiextensions, apps, autoscaling, core, meta, networking, policy

from llm_serving.addons.table import CERT_MANAGER
from llm_serving.component import Frozen, child, parse_output, raising_input_errors, token, validated
from llm_serving.contract import DOMAIN, NetworkReach
from llm_serving.errors import Problem, ProblemsError
from llm_serving.gateway import litellm
from llm_serving.gateway.arguments import GatewaySettingsArgs, ModelEndpointArgs
from llm_serving.gateway.certificates import register_certificates
from llm_serving.gateway.configuration import (
    file_content,
    gateway_document,
    gateway_problems,
    keys_document,
)
from llm_serving.gateway.names import EDGE_SERVICE, LITELLM, WORKER, service_host
from llm_serving.gateway.network_policies import Hops, client_ranges, gateway_policies
from llm_serving.gateway.pods import ONE_BY_ONE
from llm_serving.serving.arguments import ImagePullArgs
from llm_serving.serving.disruption import disruption_budget
from llm_serving.serving.engines import engine
from llm_serving.serving.image_pull import check_password, pull_secret
from llm_serving.serving.labels import (
    COMPONENT_GATEWAY,
    COMPONENT_GATEWAY_PROXY,
    COMPONENT_GATEWAY_WORKER,
    COMPONENT_REDIS_CACHE,
    COMPONENT_REDIS_LIMITS,
    LABEL_COMPONENT,
    gateway_labels,
)
from llm_serving.serving.monitoring import API_VERSION as POD_MONITOR_VERSION
from llm_serving.serving.monitoring import KIND as POD_MONITOR
from llm_serving.serving.monitoring import METRICS_PATH
from llm_serving.serving.namespace import pod_security
from llm_serving.serving.network_policies import NAMESPACE_NAME
from llm_serving.serving.release import FORCE
from llm_serving.spec import EngineName, GatewaySpec, ImagePullSpec, ModelEndpoint, Routing, content_hash
from llm_serving.spec.names import NamespaceName
from llm_serving.spec.network import Cidr

ANNOTATION_CONFIGURATION_HASH = f"{DOMAIN}/configuration-hash"


class GatewayArgs(TypedDict):
    """Arguments of `Gateway`."""

    gateway: GatewaySettingsArgs
    """The gateway: its image, keys, limits, cache and the like."""
    models: list[ModelEndpointArgs]
    """Models that it offers. None: the namespace alone is made."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods are clients."""
    client_ranges: NotRequired[list[str]]
    """Addresses of clients outside of the cluster, besides `gatewaySources` of `reach`."""
    reach: NotRequired[pulumi.Input[dict[str, Any]]]
    """Addresses of name services and of the API server, and those from which clients come: output `reach` of a network
    or cluster."""
    limits_password: NotRequired[pulumi.Input[str]]
    """Password of the Redis of limits and budgets."""
    cache_password: NotRequired[pulumi.Input[str]]
    """Password of the Redis of the cache."""
    webhook_secret: NotRequired[pulumi.Input[str]]
    """What webhooks of the queue are signed with; needed where `gateway.queue` has webhooks."""
    hosted_keys: NotRequired[pulumi.Input[dict[str, str]]]
    """Keys of the hosted providers that name no Secret, by the providers' names."""
    monitored: NotRequired[bool]
    """Have Prometheus scrape it; its operator must be there."""
    monitoring_namespace: NotRequired[str]
    """Namespace of that Prometheus; `monitoring` by default."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images. A Secret is made where it names a registry."""
    image_pull_password: NotRequired[pulumi.Input[str]]
    """Password of `imagePull.username`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class GatewayInputs(Frozen):
    """Arguments of :class:`Gateway`, validated."""

    gateway: GatewaySpec
    models: tuple[ModelEndpoint, ...]
    client_namespaces: tuple[NamespaceName, ...] = ()
    client_ranges: tuple[Cidr, ...] = ()
    reach: Any = None
    limits_password: Any = None
    cache_password: Any = None
    webhook_secret: Any = None
    hosted_keys: Any = None
    monitored: bool = False
    monitoring_namespace: NamespaceName = "monitoring"
    image_pull: ImagePullSpec | None = None
    image_pull_password: Any = None
    labels: dict[str, str] = {}


class Gateway(pulumi.ComponentResource):
    """The namespace of a gateway with LiteLLM in it: keys, limits, budgets, cache and fallback in front of models.

    Pods use the priority classes of `PriorityClasses`; proxy, routes and Redis are components of their own.
    """

    namespace: pulumi.Output[str]
    """Name of the namespace."""
    service_name: pulumi.Output[str]
    """Name of LiteLLM's Service, which the edge of the proxy asks."""
    url: pulumi.Output[str]
    """Base URL that clients use, ending in `/v1`."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GatewayInputs, args, "Gateway", name)
        source = f"Gateway {name!r}"
        spec = inputs.gateway
        with raising_input_errors(source):
            if problems := [*gateway_problems(spec, inputs.models), *_misplaced_secrets(inputs)]:
                raise ProblemsError(problems)
            check_password(inputs.image_pull, inputs.image_pull_password)
        super().__init__(token("Gateway"), name, {}, opts)
        labels = gateway_labels(COMPONENT_GATEWAY, LITELLM, inputs.labels)

        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=spec.namespace, labels={**inputs.labels, **pod_security()}),
            opts=child(self),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: metadata.name or spec.namespace)

        def metadata(object_name: str | None, annotations: dict[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
            return meta.v1.ObjectMetaArgs(
                name=object_name, namespace=self.namespace, labels=labels, annotations=annotations
            )

        reach = parse_output(NetworkReach, inputs.reach or {}, source, "reach")
        hops = _hops(inputs)
        for each in gateway_policies(hops, NetworkReach()):
            networking.v1.NetworkPolicy(
                f"{name}-{each}",
                metadata=metadata(each),
                spec=reach.apply(lambda reach, each=each: gateway_policies(hops, reach)[each]),
                opts=child(self),
            )
        pull_secret(self, f"{name}-image-pull", self.namespace, inputs.image_pull, inputs.image_pull_password, labels)
        scheme = "http" if spec.tls is None and spec.existing_edge is None else "https"
        self.url = self.namespace.apply(
            lambda namespace: f"{scheme}://{spec.host or service_host(EDGE_SERVICE, namespace)}/v1"
        )
        self.service_name = pulumi.Output.from_input(LITELLM)
        if not inputs.models:
            self.register_outputs({"namespace": self.namespace, "serviceName": self.service_name, "url": self.url})
            return
        register_certificates(self, name, spec, self.namespace, labels)
        files = [
            core.v1.Secret(
                f"{name}-keys",
                metadata=metadata(litellm.KEYS_SECRET),
                string_data={litellm.KEYS_FILE: pulumi.Output.secret(file_content(keys_document(spec)))},
                opts=child(self),
            )
        ]
        passwords_name = pulumi.Output.from_input(litellm.REDIS_SECRET)
        # Neither has a name of its own: other data is another object, with which pods start anew; those that run keep
        # the one that they started with.
        if passwords := _passwords(inputs):
            secret = core.v1.Secret(
                f"{name}-redis", metadata=metadata(None), string_data=passwords, immutable=True, opts=child(self)
            )
            passwords_name = secret.metadata.apply(lambda metadata: metadata.name or litellm.REDIS_SECRET)
            files.append(secret)
        webhooks_name = pulumi.Output.from_input(None)
        if inputs.webhook_secret is not None:
            signing = core.v1.Secret(
                f"{name}-webhooks",
                metadata=metadata(None),
                string_data={litellm.WEBHOOK_SECRET_FILE: pulumi.Output.secret(inputs.webhook_secret)},
                immutable=True,
                opts=child(self),
            )
            webhooks_name = signing.metadata.apply(lambda metadata: metadata.name)
            files.append(signing)
        if inputs.hosted_keys is not None:
            files.append(
                core.v1.Secret(
                    f"{name}-hosted",
                    metadata=metadata(litellm.HOSTED_SECRET),
                    string_data=_hosted_keys(inputs, source),
                    opts=child(self),
                )
            )
        document = gateway_document(spec, inputs.models)
        configuration = core.v1.ConfigMap(
            f"{name}-configuration",
            metadata=metadata(None),
            data={litellm.CONFIGURATION_FILE: file_content(document)},
            immutable=True,
            opts=child(self),
        )
        configuration_name = configuration.metadata.apply(lambda metadata: metadata.name or "")

        def template(labels: dict[str, str], *, is_worker: bool) -> core.v1.PodTemplateSpecArgs:
            return core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(
                    labels=labels, annotations={ANNOTATION_CONFIGURATION_HASH: content_hash(document)}
                ),
                spec=pulumi.Output.all(configuration_name, passwords_name, webhooks_name).apply(
                    lambda names: litellm.pod_spec(
                        spec, inputs.models, litellm.Files(*names), inputs.image_pull, is_worker=is_worker
                    )
                ),
            )

        scaled = litellm.autoscaler_spec(spec)
        deployment = apps.v1.Deployment(
            name,
            metadata=metadata(LITELLM, None if scaled else FORCE),
            spec=_deployment_spec(spec.replicas.min, litellm.PODS, template(labels, is_worker=False)),
            opts=child(
                self,
                depends_on=files,
                custom_timeouts=litellm.custom_timeouts(spec, inputs.models),
                # What is new starts with the fewest; from then on the autoscaler owns the number.
                ignore_changes=["spec.replicas"] if scaled else [],
            ),
        )
        if spec.queue is not None:
            worker_labels = gateway_labels(COMPONENT_GATEWAY_WORKER, WORKER, inputs.labels)
            # No budget for disruptions: what a worker leaves, another one takes up.
            apps.v1.Deployment(
                f"{name}-worker",
                metadata=meta.v1.ObjectMetaArgs(
                    name=WORKER, namespace=self.namespace, labels=worker_labels, annotations=FORCE
                ),
                spec=_deployment_spec(spec.queue.workers, litellm.WORKER_PODS, template(worker_labels, is_worker=True)),
                opts=child(
                    self,
                    depends_on=files,
                    custom_timeouts=litellm.custom_timeouts(spec, inputs.models, spec.queue.workers),
                ),
            )
        if scaled is not None:
            autoscaling.v2.HorizontalPodAutoscaler(
                name, metadata=metadata(LITELLM), spec=scaled, opts=child(self, depends_on=[deployment])
            )
        policy.v1.PodDisruptionBudget(
            name, metadata=metadata(LITELLM), spec=disruption_budget(litellm.PODS), opts=child(self)
        )
        service = core.v1.Service(
            name,
            metadata=metadata(LITELLM),
            spec=litellm.service_spec(),
            opts=child(self, depends_on=[deployment]),
        )
        if inputs.monitored:
            _pod_monitor(self, name, metadata("gateway"))
        self.service_name = service.metadata.apply(lambda metadata: metadata.name or LITELLM)
        self.register_outputs({"namespace": self.namespace, "serviceName": self.service_name, "url": self.url})


def _hops(inputs: GatewayInputs) -> Hops:
    spec, edge = inputs.gateway, inputs.gateway.existing_edge
    stores = ((spec.redis.limits, COMPONENT_REDIS_LIMITS), (spec.redis.cache, COMPONENT_REDIS_CACHE))
    routings = {model.routing for model in inputs.models}
    return Hops(
        client_namespaces=inputs.client_namespaces,
        client_ranges=[*map(str, inputs.client_ranges), *client_ranges(spec)],
        routers=Routing.ROUTER in routings,
        direct=Routing.SERVICE in routings,
        serving_ports=sorted({engine(name).port for name in EngineName}),
        redis=[component for redis, component in stores if redis is not None and redis.is_installed],
        redis_elsewhere=sorted(
            {(redis.host, redis.port) for redis, _ in stores if redis is not None and redis.host is not None}
        ),
        hosted=[(tuple(map(str, provider.addresses)), provider.port) for provider in spec.hosted],
        postgres=spec.postgres,
        monitoring={NAMESPACE_NAME: inputs.monitoring_namespace},
        challenged_by=CERT_MANAGER.namespace if spec.tls is not None and spec.tls.is_proved_over_http else None,
        edge_namespace=edge and (edge.proxy_namespace or edge.namespace),
        queue=spec.queue is not None,
        webhook_ports=spec.queue.webhooks.ports if spec.queue is not None and spec.queue.webhooks is not None else [],
    )


def _misplaced_secrets(inputs: GatewayInputs) -> list[Problem]:
    redis = inputs.gateway.redis
    needed = _without_secret(inputs.gateway)
    given = (("limits", redis.limits, inputs.limits_password), ("cache", redis.cache, inputs.cache_password))
    problems = [
        Problem(f"{store}Password", None, f"without meaning where no gateway.redis.{store} is given")
        for store, endpoint, password in given
        if password is not None and endpoint is None
    ] + [
        Problem("hostedKeys", None, reason)
        for is_wrong, reason in (
            (needed and inputs.hosted_keys is None, f"required: gateway.hosted has no Secret with the key of {needed}"),
            (not needed and inputs.hosted_keys is not None, "without meaning: no provider of gateway.hosted needs one"),
        )
        if is_wrong
    ]
    queue = inputs.gateway.queue
    has_webhooks = queue is not None and queue.webhooks is not None
    if has_webhooks and inputs.models and inputs.webhook_secret is None:
        problems.append(Problem("webhookSecret", None, "required where gateway.queue has webhooks"))
    elif not has_webhooks and inputs.webhook_secret is not None:
        problems.append(Problem("webhookSecret", None, "without meaning where gateway.queue has no webhooks"))
    return problems


def _passwords(inputs: GatewayInputs) -> dict[str, pulumi.Output[str]]:
    passwords = {"limits": inputs.limits_password, "cache": inputs.cache_password}
    return {store: pulumi.Output.secret(value) for store, value in passwords.items() if value is not None}


def _without_secret(spec: GatewaySpec) -> list[str]:
    """Names of the hosted providers that name no Secret with their key."""
    return [provider.name for provider in spec.hosted if provider.secret_name is None]


def _hosted_keys(inputs: GatewayInputs, source: str) -> pulumi.Output[dict[str, str]]:
    """The keys of the providers that name no Secret, all of them and no other."""
    needed = _without_secret(inputs.gateway)

    def checked(keys: dict[str, str]) -> dict[str, str]:
        problems = [
            Problem(f"hostedKeys.{name}", None, "required: the provider names no Secret with its key")
            for name in needed
            if not keys.get(name)
        ]
        problems += [
            Problem(f"hostedKeys.{name}", None, "no provider of this name needs a key")
            for name in sorted(keys.keys() - {*needed})
        ]
        with raising_input_errors(source):
            if problems:
                raise ProblemsError(problems)
        return keys

    return pulumi.Output.secret(inputs.hosted_keys).apply(checked)


def _deployment_spec(
    replicas: int, pods: dict[str, str], template: core.v1.PodTemplateSpecArgs
) -> apps.v1.DeploymentSpecArgs:
    return apps.v1.DeploymentSpecArgs(
        replicas=replicas,
        revision_history_limit=5,
        progress_deadline_seconds=litellm.PROGRESS_DEADLINE_SECONDS,
        selector=meta.v1.LabelSelectorArgs(match_labels=pods),
        strategy=ONE_BY_ONE,
        template=template,
    )


def _pod_monitor(parent: pulumi.Resource, name: str, metadata: meta.v1.ObjectMetaArgs) -> None:
    """Metrics of LiteLLM, of the proxy and of the queue's workers."""
    components = [COMPONENT_GATEWAY, COMPONENT_GATEWAY_PROXY, COMPONENT_GATEWAY_WORKER]
    pods = {"key": LABEL_COMPONENT, "operator": "In", "values": components}
    apiextensions.CustomResource(
        f"{name}-metrics",
        api_version=POD_MONITOR_VERSION,
        kind=POD_MONITOR,
        metadata=metadata,
        spec={
            "selector": {"matchExpressions": [pods]},
            "podMetricsEndpoints": [{"port": litellm.METRICS_PORT_NAME, "path": METRICS_PATH, "honorLabels": False}],
        },
        opts=child(parent),
    )
