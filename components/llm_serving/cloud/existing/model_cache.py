"""The model cache on a cluster without an object store: a claim that somebody filled.

A folder of the node is not offered: Pod Security "restricted", which team namespaces enforce, refuses ``hostPath``. A
PersistentVolume of type ``local`` or ``hostPath`` behind the claim does the same with the administrator's consent.
"""

from typing import Annotated, Any, TypedDict

import pulumi
from pydantic import StringConstraints

from llm_serving.component import Frozen, token, validated
from llm_serving.contract import ModelCacheVolume


class ExistingModelCacheArgs(TypedDict):
    """Arguments of `ExistingModelCache`."""

    claim: str
    """PersistentVolumeClaim in the namespace of each team, with the weights in `<model>/<version>`."""


class ExistingModelCacheInputs(Frozen):
    """Arguments of :class:`ExistingModelCache`, validated."""

    claim: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]


class ExistingModelCache(pulumi.ComponentResource):
    """Weights on a volume that is already there. Creates nothing."""

    volume: pulumi.Output[dict[str, Any]]
    """The cache as pods mount it (contract `ModelCacheVolume`)."""

    def __init__(self, name: str, args: ExistingModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ExistingModelCacheInputs, args, "ExistingModelCache", name)
        super().__init__(token("ExistingModelCache"), name, {}, opts)
        claim = {"persistentVolumeClaim": {"claimName": inputs.claim, "readOnly": True}}
        self.volume = pulumi.Output.from_input(ModelCacheVolume(volume=claim).to_data())
        self.register_outputs({"volume": self.volume})
