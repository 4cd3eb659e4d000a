"""The kinds of Google's types; those that do more than keep their properties are subclasses elsewhere."""

import hashlib
from importlib import import_module

from local.providers.gcp.cloud import Cloud, now
from local.providers.gcp.types import GcpType
from local.providers.properties import Properties
from local.providers.schema import ResourceType
from local.providers.simulated import kinds

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


class Kind(kinds.Kind[Cloud, GcpType]):
    """The operations of one type of Google's."""

    def stamps(self, known: Properties, old: Properties) -> Properties:
        """Times, fingerprints and labels."""
        computed = self.schema.computed
        moment = now()
        values: Properties = {}
        for key in ("creationTimestamp", "createTime", "creationTime", "timeCreated"):
            if key in computed:
                values[key] = old.get(key) or moment
        for key in ("updateTime", "updated"):
            if key in computed:
                values[key] = moment
        for key in ("etag", "fingerprint", "labelFingerprint"):
            if key in computed:
                values[key] = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:12]
        if "effectiveLabels" in computed:
            labels = self.cloud.labels(known.get("labels") or known.get("resourceLabels"))
            values["effectiveLabels"] = values["pulumiLabels"] = labels
        return values


def kind_of(cloud: Cloud, type: GcpType, schema: ResourceType) -> Kind:
    """The kind of a type."""
    membership = "role" in schema.inputs and bool({"member", "members"} & set(schema.inputs))
    place = _MODULES.get(type.token, "iam:Membership" if membership else None)
    if place is None:
        return Kind(cloud, type, schema)
    module, name = place.split(":")
    return getattr(import_module(f"local.providers.gcp.{module}"), name)(cloud, type, schema)
