"""The images of a gateway: which of them a stack needs, and which it pulls."""

from collections.abc import Iterator, Mapping

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.gateway import routing_of
from llm_serving.planning.rules import StackShape
from llm_serving.spec import GatewaySpec, ImageReference, Routing
from stacks.images.lock import LockedImage


def gateway_images(stack: StackShape) -> Iterator[tuple[str, ImageReference]]:
    """The images that pods of the gateway run, by property path; none where there is no gateway, or nothing
    behind it."""
    gateway = stack.gateway
    if gateway is None or not stack.models:
        return
    yield "gateway.image", gateway.image
    yield "gateway.proxyImage", gateway.proxy_image
    if gateway.router_image is not None and _routed_models(stack, gateway):
        yield "gateway.routerImage", gateway.router_image
    if gateway.redis_image is not None and _installs_redis(gateway):
        yield "gateway.redisImage", gateway.redis_image


def check_gateway_images(stack: StackShape, lock: Mapping[str, LockedImage]) -> Iterator[Problem]:
    """Images that are missing for what the gateway is to have."""
    gateway = stack.gateway
    if gateway is None or not stack.models:
        return
    routed = _routed_models(stack, gateway)
    if gateway.router_image is None and routed:
        reason = f"required: a router spreads the requests of {routed[0]}"
        chosen = any(model.routing is Routing.ROUTER for model in gateway.models)
        without = [] if chosen else [{"/gateway.routing": Routing.SERVICE.value}]
        yield Problem("gateway.routerImage", None, reason, _image("router", lock, without))
    if gateway.redis_image is None and _installs_redis(gateway):
        yield Problem("gateway.redisImage", None, "required: a Redis is installed", _image("redis", lock, []))


def _routed_models(stack: StackShape, gateway: GatewaySpec) -> list[str]:
    stable = {model.name: stack.releases.get((model.name, model.releases.stable)) for model in stack.models}
    return [
        model.name
        for model in stack.models
        if routing_of(gateway, model, release.task if (release := stable[model.name]) else None) is Routing.ROUTER
    ]


def _installs_redis(gateway: GatewaySpec) -> bool:
    return any(redis is not None and redis.is_installed for redis in (gateway.redis.limits, gateway.redis.cache))


def _image(name: str, lock: Mapping[str, LockedImage], edits: list[dict[str, str]]) -> Suggestion:
    """The last image of that name in the lock."""
    known = [key for key in lock if key.partition("@")[0] == name]
    if known:
        return Suggestion(values=known[-1:], edits=edits)
    return Suggestion(f"an image of {name}, by name@version or repository and tag", edits=edits, needs=Needs.FACT)
