"""What a resource type does beyond keeping its properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llm_serving.errors import Problem
from local.providers.properties import Properties, Secret
from local.providers.schema import ResourceType
from local.providers.simulated.cloud import Cloud
from local.providers.simulated.types import CloudType

C = TypeVar("C", bound=Cloud[Any])
T = TypeVar("T", bound=CloudType)


@dataclass
class Kind(Generic[C, T]):
    """The operations of one type.

    ``known`` is what is asked for, in the clear, with the place filled in. Refusals are raised as
    :class:`local.providers.provider.CloudError`.
    """

    cloud: C
    type: T
    schema: ResourceType

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Rules across properties that the Terraform provider checks before anything is made."""
        return []

    def replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """Paths whose change replaces the resource, where that depends on the values."""
        return frozenset()

    def refuse_create(self, id: str, known: Properties) -> None:
        """Refuse what the API would refuse."""

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Make the thing and return outputs.

        Where the cloud draws the id (a type without a template for it), ``id`` is the plugin's own until the outputs
        have one under ``id``.
        """
        return {}

    def resume(self, id: str, known: Properties, timeout: float) -> Properties:
        """Make the thing of which an earlier create, which was interrupted, may have left a part or the whole."""
        return self.create(id, known, timeout)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Change the thing and return outputs."""
        return {}

    def refuse_delete(self, id: str, outputs: Properties) -> None:
        """Refuse what the provider or the API would refuse."""

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """Remove the thing; one that is half gone is no error."""

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """What changed on its own; ``None`` where the thing is gone."""
        return outputs

    def stamps(self, known: Properties, old: Properties) -> Properties:
        """Outputs that this cloud gives to types of all kinds."""
        return {}

    def result(self, id: str, known: Properties, old: Properties, own: Properties) -> Properties:
        """All outputs: what was given, what follows from the type, and what this kind adds."""
        schema = self.schema
        derived = self.type.outputs(schema, known, id)
        values: Properties = {
            **derived,
            **{k: v for k, v in known.items() if k in schema.outputs or k in schema.inputs},
            **self.stamps(known, old),
            **own,
        }
        return {
            key: Secret(value) if key in schema.secret_outputs and not isinstance(value, Secret) else value
            for key, value in values.items()
        }
