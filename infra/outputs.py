"""The outputs of the stack, written as :mod:`stacks.outputs` reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from infra.gateway import FrontDoor
from llm_serving.planning.replicas import Role, total_replicas
from llm_serving.serving import ModelService
from stacks.outputs import GatewayOutputs, ModelOutputs, ReleaseOutputs, Section, output_key
from stacks.settings import ServedModel, Stack


def section(model: type[Section], **values: pulumi.Input[Any]) -> pulumi.Output[dict[str, Any]]:
    """A part of the outputs as plain data, once all of its values are known."""
    return pulumi.Output.all(**values).apply(lambda known: model(**known).to_data())


def export_outputs(
    stack: Stack,
    platform: Mapping[str, Any],
    launcher: str,
    services: Mapping[str, ModelService],
    front_door: FrontDoor | None,
) -> None:
    """Put everything out.

    Args:
        stack: the stack.
        platform: outputs of its cloud, by field of :class:`stacks.outputs.StackOutputs`.
        launcher: version of the launcher that comes with the releases.
        services: the models, by name.
        front_door: the gateway; ``None`` where there is none.
    """
    outputs = {
        "fixed": stack.settings.fixed,
        "launcher": launcher,
        **platform,
        "namespaces": [team.name for team in stack.settings.teams],
        "models": {model.spec.name: _model(model, services[model.spec.name]) for model in stack.models},
        "releases": {model.spec.name: dict(_releases(model)) for model in stack.models},
        "cost": _cost(stack),
    }
    if front_door is not None:
        outputs["gateway"] = section(
            GatewayOutputs, namespace=front_door.namespace, url=front_door.url, address=front_door.address
        )
    for field, value in outputs.items():
        pulumi.export(output_key(field), value)


def _model(model: ServedModel, service: ModelService) -> pulumi.Output[dict[str, Any]]:
    instances = total_replicas(model.spec)
    return section(
        ModelOutputs,
        url=service.url,
        release=service.release,
        release_urls=service.release_urls,
        deployment=service.deployment_name,
        min_instances=instances.fewest,
        max_instances=instances.most,
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
