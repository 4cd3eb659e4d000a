"""The outputs of a stack, as plain data that other stacks and the summary read."""

from typing import Any

import pulumi

from llm_serving.planning.cost import estimate
from llm_serving.serving import ModelService
from stacks.settings import GcpSettings, Stack


def model_outputs(service: ModelService) -> dict[str, pulumi.Output[Any]]:
    """Where a model answers, and which release answers there."""
    return {"url": service.url, "release": service.release, "deployment": service.deployment_name}


def releases(stack: Stack) -> dict[str, dict[str, str]]:
    """What each model serves, with the hash that promotion compares."""
    return {
        model.spec.name: {"stable": model.release.spec.version, "sha256": model.release.sha256}
        for model in stack.models
    }


def cost(stack: Stack) -> dict[str, Any]:
    """Cost an hour as planned; empty where nodes are not bought by the stack."""
    settings = stack.settings
    if not isinstance(settings, GcpSettings):
        return {}
    return estimate(settings.cloud, settings.region, settings.pools).model_dump(mode="json", by_alias=True)
