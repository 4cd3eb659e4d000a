"""Where images come from: GKE streams those of Artifact Registry from the nodes' own region, and pulls all others whole
(GKE documentation, "Use Image streaming to pull container images", requirements)."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.clouds.gcp import registry_location
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.models import ROLE_PATHS
from llm_serving.planning.rules.stack import StackShape

_MULTI_REGIONS = {"us": ("us-",), "europe": ("europe-",), "asia": ("asia-",)}
"""Locations of Artifact Registry that hold regions, by the beginnings of their names (its documentation, "Repository
locations")."""


def check_registry(stack: StackShape) -> Iterator[Problem]:
    """The remote repository is for streaming, so it is where the nodes are."""
    registry = stack.gcp.registry
    if registry is None or registry.pull_through is None or registry.region in (None, stack.region):
        return
    reason = f"would be in {registry.region}, and nodes in {stack.region} stream images of their own region only"
    yield Problem("registry.pullThrough", registry.pull_through, reason, f"region {stack.region}, or no pullThrough")


def note_registry(stack: StackShape) -> Iterator[Problem]:
    """Images that come from another region: each node downloads all of them before it starts an engine."""
    for index, model in enumerate(stack.models):
        for role, version in releases_of(model):
            release = stack.releases.get((model.name, version))
            repository = "" if release is None else release.image.repository
            location = registry_location(repository)
            if location is not None and not stack.region.startswith(_MULTI_REGIONS.get(location, (location,))):
                reason = f"is pulled whole from {location}, and its cold start is counted as if it were streamed"
                yield Problem(
                    f"models[{index}].{ROLE_PATHS[role]}", repository, reason, f"a registry in {stack.region}"
                )
