"""The gateway in front of all models: its parts wired to the teams' namespaces and to the services of the models."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.clouds import Platform
from infra.gateway_arguments import (
    gateway_arguments,
    proxy_arguments,
    redis_arguments,
    route_arguments,
    router_arguments,
)
from infra.redis_passwords import redis_passwords
from infra.webhook_secret import webhook_secret
from llm_serving.gateway import Gateway, Redis, ReleaseRouter
from llm_serving.gateway.proxy import GatewayProxy
from llm_serving.gateway.routes import ModelRoute
from llm_serving.planning.replicas import object_name
from llm_serving.serving import ModelService, TeamNamespace
from llm_serving.spec import GatewaySpec, ModelEndpoint, Routing
from stacks.settings import ServedModel, Stack


@dataclass(frozen=True)
class FrontDoor:
    """What clients need of a gateway.

    Attributes:
        namespace: where it runs.
        url: base URL of its API.
        address: of its load balancer; empty where it has none.
    """

    namespace: pulumi.Output[str]
    url: pulumi.Output[str]
    address: pulumi.Output[str]


def put_gateway_in_front(
    stack: Stack,
    platform: Platform,
    namespaces: Mapping[str, TeamNamespace],
    services: Mapping[str, ModelService],
    shared: list[pulumi.Resource],
) -> FrontDoor | None:
    """Make the gateway, and the routes to every release; nothing where the settings have none.

    Args:
        stack: the stack.
        platform: where it runs.
        namespaces: of the teams, by name.
        services: the models, by name.
        shared: what the gateway's pods need on the cluster: definitions, priority classes.
    """
    spec = stack.settings.gateway
    if spec is None:
        return None
    passwords = redis_passwords(spec) if stack.models else {}
    arguments = gateway_arguments(stack, spec, platform, passwords, webhook_secret(spec) if stack.models else None)
    gateway = Gateway("gateway", arguments, platform.on_cluster(depends_on=[*shared]))
    if not stack.models:
        # The namespace comes first: what somebody else makes in it has to be there before the pods.
        return FrontDoor(gateway.namespace, pulumi.Output.from_input(""), pulumi.Output.from_input(""))
    for store, redis in (("limits", spec.redis.limits), ("cache", spec.redis.cache)):
        if redis is not None:
            Redis(
                f"redis-{store}",
                redis_arguments(stack, spec, gateway, store, redis, passwords.get(store)),
                # Not on all of the gateway: pods with a new password come when Redis has it.
                platform.on_cluster(depends_on=[*shared]),
            )
    proxy = GatewayProxy(
        "proxy",
        proxy_arguments(stack, spec, gateway, namespaces),
        platform.on_cluster(depends_on=[gateway, *namespaces.values()]),
    )
    for endpoint, model in zip(stack.gateway_models, stack.models, strict=True):
        service, namespace = services[model.spec.name], namespaces[model.spec.team]
        routers = _routers(stack, platform, endpoint, model, namespace, service)
        of_routers = pulumi.Output.all(**{version: router.url for version, router in routers.items()})
        ModelRoute(
            model.spec.name,
            route_arguments(stack, model, namespace, proxy, of_routers if routers else service.release_urls),
            platform.on_cluster(depends_on=[proxy, service, *routers.values()]),
        )
    return FrontDoor(gateway.namespace, _url(spec, gateway, proxy), proxy.address)


def _url(spec: GatewaySpec, gateway: Gateway, proxy: GatewayProxy) -> pulumi.Output[str]:
    """By the name that DNS has, else by the load balancer's address, else by the Service inside the cluster."""
    if spec.host is not None or spec.load_balancer is None:
        return gateway.url
    return pulumi.Output.all(gateway.url, proxy.address).apply(
        lambda known: f"{known[0].partition('://')[0]}://{known[1]}/v1" if known[1] else known[0]
    )


def _routers(
    stack: Stack,
    platform: Platform,
    endpoint: ModelEndpoint,
    model: ServedModel,
    namespace: TeamNamespace,
    service: ModelService,
) -> dict[str, ReleaseRouter]:
    """A router for each release of a model, by version; none where the proxy asks engines itself."""
    if endpoint.routing is Routing.SERVICE:
        return {}
    return {
        served.release.spec.version: ReleaseRouter(
            object_name(model.spec.name, served.release.spec.version),
            router_arguments(stack, platform, endpoint, model, served, namespace),
            platform.on_cluster(depends_on=[service]),
        )
        for served in model.releases
    }
