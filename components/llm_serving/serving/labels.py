"""Names under which everything finds the objects of a model: labels and annotations.

Selectors of Deployments cannot be changed once they exist, so :func:`selector` holds only what never changes for a
model's pods.
"""

from collections.abc import Mapping

from llm_serving.contract import DOMAIN, MODEL_LABEL, POOL_LABEL
from llm_serving.spec import ModelSpec, ReleaseSpec

MODEL = MODEL_LABEL
RELEASE = f"{DOMAIN}/release"
TEAM = f"{DOMAIN}/team"
POOL = POOL_LABEL
SHARE = f"{DOMAIN}/share"
RELEASE_HASH = f"{DOMAIN}/release-hash"

MAIN = "main"
"""The share of instances that take the pool's capacity in its order."""
BASE = "base"
"""The share of instances that run on capacity that is not taken away."""

_MANAGED = {"app.kubernetes.io/part-of": "llm-serving", "app.kubernetes.io/managed-by": "pulumi"}


def selector(model: ModelSpec, release: str, share: str | None = None) -> dict[str, str]:
    """Labels that select the engine's pods of a model's release, of one share or of all."""
    found = {"app.kubernetes.io/component": "engine", MODEL: model.name, RELEASE: release}
    return found if share is None else {**found, SHARE: share}


def model_labels(model: ModelSpec, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the objects that all releases of a model share; ``more`` never replaces one of ours."""
    return {
        **more,
        **_MANAGED,
        MODEL: model.name,
        "app.kubernetes.io/instance": model.name,
        TEAM: model.team,
        POOL: model.pool,
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
        RELEASE: release.version,
        TEAM: model.team,
        POOL: model.pool,
    }


def loader_labels(release: ReleaseSpec, team: str, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of the Job that loads a release's weights; ``more`` never replaces one of ours."""
    return {
        **more,
        **_MANAGED,
        "app.kubernetes.io/component": "loader",
        "app.kubernetes.io/name": "model-loader",
        "app.kubernetes.io/instance": release.name,
        MODEL: release.name,
        RELEASE: release.version,
        TEAM: team,
    }


def team_labels(team: str, more: Mapping[str, str]) -> dict[str, str]:
    """Labels of every object of a team's namespace; ``more`` never replaces one of ours."""
    return {**more, **_MANAGED, TEAM: team}
