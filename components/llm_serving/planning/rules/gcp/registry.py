"""Where images come from: GKE streams those of Artifact Registry from the nodes' own region or the multi-region around
it, and pulls all others whole (docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming, "Requirements":
nodes in us-east1 stream from repositories of us-east1 and of us)."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.clouds.gcp import registry_location
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.models import ROLE_PATHS
from llm_serving.planning.rules.stack import StackShape

_MULTI_REGIONS = {"us": "us-", "europe": "europe-", "asia": "asia-"}
"""Multi-regions of Artifact Registry, and how the names of their regions begin
(docs.cloud.google.com/artifact-registry/docs/repositories/repo-locations, "Available multi-regions")."""

_NOT_IN_EUROPE = frozenset({"europe-west2", "europe-west6"})
"""London and Zurich: the multi-region is data centers within member states of the European Union (same page; so for
buckets, docs.cloud.google.com/storage/docs/locations, which names the two)."""


def check_registry(stack: StackShape) -> Iterator[Problem]:
    """The remote repository is for streaming, so it is where the nodes are."""
    registry = stack.gcp.registry
    if registry is None or registry.pull_through is None or registry.region in (None, stack.region):
        return
    reason = f"would be in {registry.region}, and nodes in {stack.region} stream images of their own region only"
    instead = Suggestion(removal=True, edits=[{"region": stack.region}])
    yield Problem("registry.pullThrough", registry.pull_through, reason, instead)


def note_registry(stack: StackShape) -> Iterator[Problem]:
    """Images that come from another region: each node downloads all of them before it starts an engine."""
    for index, model in enumerate(stack.models):
        for role, version in releases_of(model):
            release = stack.releases.get((model.name, version))
            repository = "" if release is None else release.image.repository
            location = registry_location(repository)
            if location is not None and not _streams(location, stack.region):
                reason = f"is pulled whole from {location}, and its cold start is counted as if it were streamed"
                nearer = Suggestion(f"a registry in {stack.region}", needs=Needs.ELSEWHERE)
                yield Problem(f"models[{index}].{ROLE_PATHS[role]}", repository, reason, nearer)


def _streams(location: str, region: str) -> bool:
    """Whether nodes of a region stream images of a repository at that location."""
    if location not in _MULTI_REGIONS:
        return location == region
    return region.startswith(_MULTI_REGIONS[location]) and not (location == "europe" and region in _NOT_IN_EUROPE)
