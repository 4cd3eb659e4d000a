"""What a gateway does with each model of a stack."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from llm_serving.spec import (
    GatewaySpec,
    ImageReference,
    ModelEndpoint,
    ModelSpec,
    ReleaseSpec,
    Routing,
    Task,
)


def why_without_router(model: ModelSpec, task: Task | None) -> str | None:
    """Why a model cannot have routers; ``None`` where it can. A router finds instances by their pods, of which one that
    has several nodes has several, and loses what a rerank request says (vllm-router 0.1.17)."""
    if model.engine.nodes > 1:
        return f"a router spreads requests over pods, and of the {model.engine.nodes} of an instance one answers"
    if task is Task.CLASSIFY:
        return "a router loses what requests to rerank say"
    return None


def routing_of(gateway: GatewaySpec, model: ModelSpec, task: Task | None) -> Routing:
    """What spreads the requests over the instances of a model's releases.

    Args:
        gateway: the gateway.
        model: the model.
        task: what its stable release is asked for; ``None`` where that is not known.
    """
    chosen = gateway.model(model.name).routing
    if chosen is None and why_without_router(model, task) is not None:
        return Routing.SERVICE
    return chosen or gateway.routing


def model_endpoint(
    gateway: GatewaySpec, model: ModelSpec, releases: Iterable[ReleaseSpec], cold_start_seconds: float
) -> ModelEndpoint:
    """A model as the gateway knows it: what each of its releases can do that gets a part of the requests.

    Args:
        gateway: the gateway.
        model: the model.
        releases: its releases, the stable one first.
        cold_start_seconds: the planned cold start of the stable one.
    """
    stable, *others = releases
    canary = model.releases.canary
    # One that waits for a way back is asked by nobody.
    asked = [other for other in others if canary is not None and canary.weight and other.version == canary.release]
    return ModelEndpoint(
        name=model.name,
        context_tokens=min(release.context_length for release in (stable, *asked)),
        task=stable.task,
        service_class=model.service_class,
        cold_start_seconds=_WHOLE_SECONDS * ceil(cold_start_seconds / _WHOLE_SECONDS) if model.may_sleep else None,
        routing=routing_of(gateway, model, stable.task),
    )


_WHOLE_SECONDS = 60
"""A planned cold start is rounded up to it: a release that starts a little faster restarts no gateway."""


def longest_stay_seconds(gateway: GatewaySpec, models: Iterable[ModelEndpoint]) -> int:
    """How long a request to any of the models may be in the gateway: where one may sleep, its waking comes first."""

    def stay(model: ModelEndpoint) -> float:
        timeouts = gateway.timeouts_of(model.name)
        return timeouts.total_seconds + (0 if model.cold_start_seconds is None else timeouts.wake_seconds)

    return max(ceil(stay(model)) for model in models)


class Exposure(StrEnum):
    """From where clients reach a gateway."""

    CLUSTER = "cluster"
    """From inside the cluster alone."""
    PRIVATE = "private"
    """By a load balancer of the private network."""
    PUBLIC = "public"
    """By a load balancer of the internet."""
    EXISTING = "existing"
    """By a Gateway of somebody else's."""


def exposure(gateway: GatewaySpec) -> Exposure:
    """From where clients reach the gateway, as far as the settings tell."""
    if gateway.existing_edge is not None:
        return Exposure.EXISTING
    if gateway.load_balancer is None:
        return Exposure.CLUSTER
    return Exposure.PUBLIC if gateway.load_balancer.public else Exposure.PRIVATE


def dns_record(gateway: GatewaySpec, address: str) -> str | None:
    """The record that DNS must have for the gateway's host, as zone files write it; ``None`` where none is needed, and
    where somebody else knows its address.

    Args:
        gateway: the gateway.
        address: of its load balancer, an IPv4 address or a name; empty where it is not known yet.
    """
    balancer = gateway.load_balancer
    if gateway.host is None or balancer is None or balancer.external_dns or not address:
        return None
    is_name = not address.replace(".", "").isdecimal()
    return f"{gateway.host}. CNAME {address}." if is_name else f"{gateway.host}. A {address}"


def longest_request_seconds(gateway: GatewaySpec, models: Iterable[str]) -> int:
    """How long a request may take that the gateway has passed on, to any of the models."""
    return max(ceil(gateway.timeouts_of(name).total_seconds) for name in models)


@dataclass(frozen=True)
class GatewayPods:
    """Pods of a part of the gateway.

    Attributes:
        part: which, as people read it.
        namespace: where they run.
        fewest: of them.
        most: of them.
        image: their image.
    """

    part: str
    namespace: str
    fewest: int
    most: int
    image: ImageReference


def proxy_replicas(gateway: GatewaySpec) -> int:
    """Pods of the proxy, without which nothing answers: never one alone."""
    return max(_FEWEST_PROXIES, gateway.replicas.min)


_FEWEST_PROXIES = 2


def gateway_pods(
    gateway: GatewaySpec, models: Sequence[ModelSpec], endpoints: Sequence[ModelEndpoint]
) -> Iterator[GatewayPods]:
    """The pods of a gateway, in the order of a request; none while there is no model.

    Args:
        gateway: the gateway.
        models: the models.
        endpoints: the same, as the gateway knows them.
    """
    if not models:
        return
    proxies, namespace = proxy_replicas(gateway), gateway.namespace
    yield GatewayPods("proxy", namespace, proxies, proxies, gateway.proxy_image)
    yield GatewayPods("gateway", namespace, gateway.replicas.min, gateway.replicas.max, gateway.image)
    if gateway.queue is not None:
        workers = gateway.queue.workers
        yield GatewayPods("workers of the queue", namespace, workers, workers, gateway.image)
    for endpoint, model in zip(endpoints, models, strict=True):
        if endpoint.routing is Routing.ROUTER and gateway.router_image is not None:
            routers = gateway.router.replicas * len(model.releases.versions)
            yield GatewayPods(f"routers of {model.name}", model.team, routers, routers, gateway.router_image)
    for store, redis in (("limits", gateway.redis.limits), ("cache", gateway.redis.cache)):
        if redis is not None and redis.is_installed and gateway.redis_image is not None:
            yield GatewayPods(f"Redis of {store}", namespace, 1, 1, gateway.redis_image)
