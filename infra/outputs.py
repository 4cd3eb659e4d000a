"""The outputs of a stack, as plain data that other stacks and the summary read."""

from typing import Any

import pulumi

from llm_serving.planning.cost import estimate
from llm_serving.planning.replicas import Role
from llm_serving.serving import ModelService
from stacks.settings import ServedModel, Stack


def model_outputs(service: ModelService) -> dict[str, pulumi.Output[Any]]:
    """Where a model answers, which release answers there, and where each of its releases does."""
    return {
        "url": service.url,
        "release": service.release,
        "releaseUrls": service.release_urls,
        "deployment": service.deployment_name,
    }


def releases(stack: Stack) -> dict[str, dict[str, dict[str, Any]]]:
    """What each model serves, by role, with the hash that promotion compares and the weight of a canary."""
    return {model.spec.name: _by_role(model) for model in stack.models}


def _by_role(model: ServedModel) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        served.role.value: {"version": served.release.spec.version, "sha256": served.release.sha256}
        for served in model.releases
    }
    if model.spec.releases.canary is not None:
        found[Role.CANARY.value]["weight"] = model.spec.releases.canary.weight
    return found


def cost(stack: Stack) -> dict[str, Any]:
    """Cost an hour as planned; empty where nodes are not bought by the stack."""
    settings = stack.settings
    if not settings.buys_nodes:
        return {}
    return estimate(stack.cloud, settings.region, settings.pools).model_dump(mode="json", by_alias=True)
