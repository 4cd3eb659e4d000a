"""Names under which everything finds the objects of a model: labels and annotations.

Selectors of Deployments cannot be changed once they exist, so :func:`selector` holds only what never changes for a
model's pods.
"""

from collections.abc import Mapping

from llm_serving.contract import DOMAIN, LABEL_MODEL, LABEL_POOL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.spec import ModelSpec, QuantizationSpec, ReleaseSpec

LABEL_SHARE = f"{DOMAIN}/share"
SHARE_MAIN = "main"
"""The share of instances that take the pool's capacity in its order. The other one is ``contract.SHARE_BASE``."""

ANNOTATION_RELEASE_HASH = f"{DOMAIN}/release-hash"

LABEL_COMPONENT = "app.kubernetes.io/component"
"""What a pod of ours is for (Kubernetes documentation, "Recommended Labels")."""
COMPONENT_ENGINE = "engine"
COMPONENT_LOADER = "loader"
COMPONENT_COMPILE_CACHE = "compile-cache"
COMPONENT_PLACEHOLDER = "placeholder"
COMPONENT_QUANTIZATION = "quantization"
COMPONENT_GATEWAY = "gateway"
COMPONENT_GATEWAY_WORKER = "gateway-worker"
COMPONENT_GATEWAY_PROXY = "gateway-proxy"
COMPONENT_REDIS_LIMITS = "redis-limits"
COMPONENT_REDIS_CACHE = "redis-cache"
COMPONENT_ROUTER = "router"

_MANAGED = {"app.kubernetes.io/part-of": "llm-serving", "app.kubernetes.io/managed-by": "pulumi"}


def selector(model: ModelSpec, release: str, share: str | None = None) -> dict[str, str]:
    """Labels that select the engine's pods of a model's release, of one share or of all."""
    labels = {LABEL_COMPONENT: COMPONENT_ENGINE, LABEL_MODEL: model.name, LABEL_RELEASE: release}
    return labels if share is None else {**labels, LABEL_SHARE: share}


def model_labels(model: ModelSpec, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the objects that all releases of a model share; ``more`` never replaces one of ours."""
    return {
        **more,
        **_MANAGED,
        LABEL_MODEL: model.name,
        "app.kubernetes.io/instance": model.name,
        LABEL_TEAM: model.team,
        LABEL_POOL: model.pool,
    }


def release_labels(model: ModelSpec, release: ReleaseSpec, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of every object of a release; ``more`` never replaces one of ours."""
    return {
        **more,
        **_MANAGED,
        **selector(model, release.version),
        "app.kubernetes.io/name": release.engine.name.value,
        "app.kubernetes.io/instance": model.name,
        "app.kubernetes.io/version": release.version,
        LABEL_RELEASE: release.version,
        LABEL_TEAM: model.team,
        LABEL_POOL: model.pool,
    }


def loader_labels(release: ReleaseSpec, team: str, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the Job that loads a release's weights; ``more`` never replaces one of ours."""
    return {
        **more,
        **_MANAGED,
        LABEL_COMPONENT: COMPONENT_LOADER,
        "app.kubernetes.io/name": "model-loader",
        "app.kubernetes.io/instance": release.name,
        LABEL_MODEL: release.name,
        LABEL_RELEASE: release.version,
        LABEL_TEAM: team,
    }


def quantization_labels(quantization: QuantizationSpec, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the Job that quantizes; ``more`` never replaces one of ours. None of a model: it is nobody's pod."""
    return {
        **more,
        **_MANAGED,
        LABEL_COMPONENT: COMPONENT_QUANTIZATION,
        "app.kubernetes.io/name": "quantizer",
        "app.kubernetes.io/instance": quantization.name,
        LABEL_TEAM: quantization.team,
        LABEL_POOL: quantization.pool,
    }


def team_labels(team: str, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of every object of a team's namespace; ``more`` never replaces one of ours."""
    return {**more, **_MANAGED, LABEL_TEAM: team}


def gateway_labels(component: str, name: str, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the objects of one part of the gateway; ``more`` never replaces one of ours.

    Args:
        component: value of :data:`LABEL_COMPONENT`, by which policies and Services find its pods.
        name: the program, as ``litellm``.
        more: labels that the user adds.
    """
    return {**more, **_MANAGED, LABEL_COMPONENT: component, "app.kubernetes.io/name": name}
