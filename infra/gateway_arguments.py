"""The arguments of the gateway's parts, out of the stack and the platform that it runs on."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi

from infra.arguments import image_pull, image_pull_with_password
from infra.clouds import Platform
from infra.hosted_keys import hosted_keys
from llm_serving.arguments import plain
from llm_serving.gateway import Gateway, GatewayArgs, RedisArgs, ReleaseRouterArgs
from llm_serving.gateway.names import EDGE_CERTIFICATE, REDIS_SERVICES, certificate_secret
from llm_serving.gateway.network_policies import allowed_sources
from llm_serving.gateway.proxy import GatewayProxy, GatewayProxyArgs
from llm_serving.gateway.routes import ModelRouteArgs
from llm_serving.planning.gateway import longest_request_seconds, longest_stay_seconds, proxy_replicas
from llm_serving.planning.rules.gateway.address import EXTERNAL_DNS
from llm_serving.planning.timeouts import is_awaited
from llm_serving.serving import TeamNamespace
from llm_serving.spec import GatewayReference, GatewaySpec, LoadBalancerSpec, ModelEndpoint, RedisSpec
from stacks.settings import ServedModel, ServedRelease, Stack


def gateway_arguments(
    stack: Stack,
    spec: GatewaySpec,
    platform: Platform,
    passwords: Mapping[str, pulumi.Output[str]],
    webhook_secret: pulumi.Output[str] | None,
) -> GatewayArgs:
    """LiteLLM, workers of its queue and the policies of its namespace; pods of the teams, and of namespaces that they
    name, are its clients."""
    arguments: GatewayArgs = {
        "gateway": plain(spec),
        "models": [plain(model) for model in stack.gateway_models],
        "client_namespaces": list(
            dict.fromkeys(name for team in stack.settings.teams for name in (team.name, *team.client_namespaces))
        ),
        "reach": platform.reach,
        # The PodMonitor needs the operator's definitions.
        "monitored": stack.scales,
        "monitoring_namespace": stack.settings.addons.monitoring_namespace,
        "labels": stack.settings.labels,
        **image_pull_with_password(stack),
    }
    if "limits" in passwords:
        arguments["limits_password"] = passwords["limits"]
    if "cache" in passwords:
        arguments["cache_password"] = passwords["cache"]
    if webhook_secret is not None:
        arguments["webhook_secret"] = webhook_secret
    if any(provider.secret_name is None for provider in spec.hosted):
        arguments["hosted_keys"] = hosted_keys()
    return arguments


def redis_arguments(
    stack: Stack, spec: GatewaySpec, gateway: Gateway, store: str, redis: RedisSpec, password: pulumi.Output[str] | None
) -> RedisArgs:
    """The Redis of ``limits`` or of the ``cache``."""
    arguments = cast(
        RedisArgs,
        {
            store: plain(redis),
            "namespace": gateway.namespace,
            "labels": stack.settings.labels,
            **image_pull(stack),
        },
    )
    if redis.is_installed and spec.redis_image is not None:
        arguments["image"] = plain(spec.redis_image)
    if password is not None:
        arguments["password"] = password
    if store in spec.redis.with_made_certificates:
        arguments["certificate"] = {"secret_name": certificate_secret(REDIS_SERVICES[store])}
    return arguments


def proxy_arguments(
    stack: Stack, spec: GatewaySpec, gateway: Gateway, namespaces: Mapping[str, TeamNamespace]
) -> GatewayProxyArgs:
    """The proxy before LiteLLM and behind it."""
    arguments: GatewayProxyArgs = {
        "namespace": gateway.namespace,
        "team_namespaces": {name: namespace.namespace for name, namespace in namespaces.items()},
        "image": spec.proxy_image.reference,
        "replicas": proxy_replicas(spec),
        "cpu": spec.proxy_cpu,
        "longest_request_seconds": longest_stay_seconds(spec, stack.gateway_models),
        "queue": spec.queue is not None,
        # Objects of the whole cluster are named after it: a cluster has one namespace of a name, and several gateways.
        "gateway_class": spec.namespace,
        "labels": stack.settings.labels,
        **image_pull(stack),
    }
    if spec.host is not None:
        arguments["host"] = spec.host
    if spec.existing_edge is not None:
        edge = spec.existing_edge
        reference = GatewayReference(name=edge.name, namespace=edge.namespace, listener=edge.listener)
        arguments["existing_edge"] = plain(reference)
    if spec.load_balancer is not None:
        _ask_for_load_balancer(arguments, stack, spec, spec.load_balancer)
    if spec.tls is not None and spec.tls.load_balancer_certificate is None:
        arguments["tls_secret_name"] = spec.tls.secret_name or EDGE_CERTIFICATE
        arguments["answers_challenges"] = spec.tls.is_proved_over_http
    return arguments


def _ask_for_load_balancer(
    arguments: GatewayProxyArgs, stack: Stack, spec: GatewaySpec, balancer: LoadBalancerSpec
) -> None:
    """The Service of the edge, as the cloud takes it."""
    certificate = spec.tls.load_balancer_certificate if spec.tls is not None else None
    service = stack.cloud.load_balancer(balancer, certificate)
    record = {EXTERNAL_DNS: spec.host} if balancer.external_dns and spec.host is not None else {}
    arguments["service_type"] = "LoadBalancer"
    arguments["service_annotations"] = {**service.annotations, **record, **balancer.annotations}
    arguments["source_ranges"] = allowed_sources(balancer)
    arguments["external_traffic_policy"] = balancer.external_traffic_policy
    arguments["tls_at_load_balancer"] = certificate is not None
    if service.address is not None:
        arguments["load_balancer_address"] = service.address


def router_arguments(
    stack: Stack,
    platform: Platform,
    endpoint: ModelEndpoint,
    model: ServedModel,
    served: ServedRelease,
    namespace: TeamNamespace,
) -> ReleaseRouterArgs:
    """The router of one release."""
    # Imported here: it takes seconds that a stack without routers need not spend.
    from llm_serving.serving.engines import engine

    spec = stack.settings.gateway
    assert spec is not None
    assert spec.router_image is not None, "the rules refuse a router without an image"
    return {
        "model": model.spec.name,
        "release": served.release.spec.version,
        "team": model.spec.team,
        "namespace": namespace.namespace,
        "image": plain(spec.router_image),
        "router": plain(spec.router),
        "task": endpoint.task.value,
        "service_class": model.spec.service_class.value,
        "engine_port": engine(served.release.spec.engine.name).port,
        "request_seconds": longest_request_seconds(spec, [model.spec.name]),
        # A router is ready when it knows an engine, of which there may be none.
        "awaited": is_awaited(model.spec.timeouts, model.node) and not model.spec.may_sleep,
        "reach": platform.reach,
        "labels": stack.settings.labels,
        **image_pull(stack),
    }


def route_arguments(
    stack: Stack,
    model: ServedModel,
    namespace: TeamNamespace,
    proxy: GatewayProxy,
    release_urls: pulumi.Output[Any],
) -> ModelRouteArgs:
    """The routes to the releases of a model."""
    return {
        "model": plain(model.spec),
        "namespace": namespace.namespace,
        "parents": proxy.models_parents,
        "release_urls": release_urls,
        "labels": stack.settings.labels,
    }
