"""The model cache on a cluster without an object store: a claim in the namespace of a team.

Somebody has made and filled it, or it is made here from a storage class of the cluster and filled by the loader.
A folder of the node is not offered: Pod Security "restricted", which team namespaces enforce, refuses ``hostPath``. A
PersistentVolume of type ``local`` or ``hostPath`` behind the claim does the same with the administrator's consent.
"""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import core, meta
from pydantic import StringConstraints

from llm_serving.cloud.existing.arguments import CacheStorageArgs
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import ModelCacheVolume
from llm_serving.spec import CacheStorageSpec


class ExistingModelCacheArgs(TypedDict):
    """Arguments of `ExistingModelCache`."""

    claim: str
    """PersistentVolumeClaim in the namespace of each team, with the weights in `<model>/<version>`."""
    storage: NotRequired[CacheStorageArgs]
    """Make the claim; left out: it is there."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace in which to make it; needed with `storage`."""


class ExistingModelCacheInputs(Frozen):
    """Arguments of :class:`ExistingModelCache`, validated."""

    claim: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
    storage: CacheStorageSpec | None = None
    namespace: Any = None


class ExistingModelCache(pulumi.ComponentResource):
    """Weights on a volume of the cluster."""

    volume: pulumi.Output[dict[str, Any]]
    """The cache as pods mount it (contract `ModelCacheVolume`)."""

    def __init__(self, name: str, args: ExistingModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ExistingModelCacheInputs, args, "ExistingModelCache", name)
        super().__init__(token("ExistingModelCache"), name, {}, opts)
        claim = pulumi.Output.from_input(inputs.claim)
        if inputs.storage is not None:
            created = _claim(name, inputs.claim, inputs.namespace, inputs.storage, child(self))
            claim = created.metadata.apply(lambda metadata: metadata.name or inputs.claim)
        self.volume = claim.apply(
            lambda claim_name: ModelCacheVolume(
                volume={"persistentVolumeClaim": {"claimName": claim_name, "readOnly": True}},
                loader_volume={"persistentVolumeClaim": {"claimName": claim_name}},
            ).to_data()
        )
        self.register_outputs({"volume": self.volume})


def _claim(
    name: str, claim: str, namespace: Any, storage: CacheStorageSpec, opts: pulumi.ResourceOptions
) -> core.v1.PersistentVolumeClaim:
    return core.v1.PersistentVolumeClaim(
        name,
        metadata=meta.v1.ObjectMetaArgs(
            name=claim,
            namespace=namespace,
            # Classes that wait for a first pod bind it when the loader runs, which waits for this claim.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=[storage.access_mode],
            storage_class_name=storage.storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{storage.size_gib}Gi"}),
        ),
        opts=opts,
    )
