"""The outputs of the stack, written as :mod:`stacks.outputs` reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from llm_serving.planning.replicas import Role
from llm_serving.serving import ModelService
from stacks.outputs import ModelOutputs, ReleaseOutputs, Section, output_key
from stacks.settings import ServedModel, Stack


def section(model: type[Section], **values: pulumi.Input[Any]) -> pulumi.Output[dict[str, Any]]:
    """A part of the outputs as plain data, once all of its values are known."""
    return pulumi.Output.all(**values).apply(lambda known: model(**known).to_data())


def export_outputs(
    stack: Stack, platform: Mapping[str, Any], launcher: str, services: Mapping[str, ModelService]
) -> None:
    """Put everything out.

    Args:
        stack: the stack.
        platform: outputs of its cloud, by field of :class:`stacks.outputs.StackOutputs`.
        launcher: version of the launcher that comes with the releases.
        services: the models, by name.
    """
    outputs = {
        "fixed": stack.settings.fixed,
        "launcher": launcher,
        **platform,
        "namespaces": [team.name for team in stack.settings.teams],
        "models": {name: _model(service) for name, service in services.items()},
        "releases": {model.spec.name: dict(_releases(model)) for model in stack.models},
        "cost": _cost(stack),
    }
    for field, value in outputs.items():
        pulumi.export(output_key(field), value)


def _model(service: ModelService) -> pulumi.Output[dict[str, Any]]:
    return section(
        ModelOutputs,
        url=service.url,
        release=service.release,
        release_urls=service.release_urls,
        deployment=service.deployment_name,
    )


def _releases(model: ServedModel) -> Iterator[tuple[str, dict[str, Any]]]:
    canary = model.spec.releases.canary
    for served in model.releases:
        release = ReleaseOutputs(
            version=served.release.spec.version,
            sha256=served.release.sha256,
            weight=canary.weight if canary is not None and served.role is Role.CANARY else None,
        )
        yield served.role.value, release.to_data()


def _cost(stack: Stack) -> dict[str, Any]:
    settings = stack.settings
    if not settings.buys_nodes:
        return {}
    return stack.cost.model_dump(mode="json", by_alias=True)
