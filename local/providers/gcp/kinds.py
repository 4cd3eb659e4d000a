"""What a resource type does beyond keeping its properties; the types that do more are subclasses elsewhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from llm_serving.errors import Problem
from local.providers.gcp.cloud import Cloud, now
from local.providers.gcp.types import GcpType
from local.providers.properties import Properties, Secret
from local.providers.schema import ResourceType

_MODULES = {
    "gcp:compute/subnetwork:Subnetwork": "network:Subnetwork",
    "gcp:compute/address:Address": "network:Address",
    "gcp:compute/globalAddress:GlobalAddress": "network:Address",
    "gcp:compute/firewall:Firewall": "network:Firewall",
    "gcp:compute/routerNat:RouterNat": "network:RouterNat",
    "gcp:container/cluster:Cluster": "cluster:Cluster",
    "gcp:container/nodePool:NodePool": "node_pool:NodePoolKind",
    "gcp:storage/bucket:Bucket": "storage:Bucket",
    "gcp:storage/bucketObject:BucketObject": "storage:BucketObject",
    "gcp:projects/serviceIdentity:ServiceIdentity": "iam:ServiceIdentity",
    "gcp:kms/cryptoKey:CryptoKey": "kms:CryptoKey",
}
"""Type -> module and class, imported when the first resource of the type is seen: a cluster needs far more
than a network.
"""


@dataclass
class Kind:
    """The operations of one type.

    ``known`` is what is asked for, in the clear, with project and place filled in. Refusals are raised as
    :class:`local.providers.gcp.cloud.GoogleError`.
    """

    cloud: Cloud
    type: GcpType
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
        """Make the thing and return outputs; called again for one that was half made."""
        return {}

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

    def result(self, id: str, known: Properties, old: Properties, own: Properties) -> Properties:
        """All outputs: what was given, what follows from the type, and what this kind adds."""
        schema = self.schema
        derived = self.type.outputs(schema, known, id)
        values: Properties = {
            **derived,
            **{k: v for k, v in known.items() if k in schema.outputs or k in schema.inputs},
        }
        moment = now()
        for key in ("creationTimestamp", "createTime", "creationTime", "timeCreated"):
            if key in schema.computed:
                values[key] = old.get(key) or moment
        for key in ("updateTime", "updated"):
            if key in schema.computed:
                values[key] = moment
        for key in ("etag", "fingerprint", "labelFingerprint"):
            if key in schema.computed:
                values[key] = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:12]
        if "effectiveLabels" in schema.computed:
            labels = self.cloud.labels(known.get("labels") or known.get("resourceLabels"))
            values["effectiveLabels"] = values["pulumiLabels"] = labels
        values.update(own)
        return {
            key: Secret(value) if key in schema.secret_outputs and not isinstance(value, Secret) else value
            for key, value in values.items()
        }


def kind_of(cloud: Cloud, type: GcpType, schema: ResourceType) -> Kind:
    """The kind of a type."""
    membership = "role" in schema.inputs and bool({"member", "members"} & set(schema.inputs))
    place = _MODULES.get(type.token, "iam:Membership" if membership else None)
    if place is None:
        return Kind(cloud, type, schema)
    module, name = place.split(":")
    return getattr(import_module(f"local.providers.gcp.{module}"), name)(cloud, type, schema)
