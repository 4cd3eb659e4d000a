"""Which changes replace: the tables, by the engine's own question."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.providers.engine import Made
from tests.unit.local.providers.gcp.google import BUCKET, CLUSTER, NETWORK, POOL, SUBNET, run

CLUSTER_INPUTS: dict[str, Any] = {
    "name": "demo",
    "location": "us-central1",
    "initialNodeCount": 1,
    "network": "n",
    "enableL4IlbSubsetting": True,
    "nodeLocations": ["us-central1-a", "us-central1-b"],
    "ipAllocationPolicy": {"clusterSecondaryRangeName": "pods"},
    "releaseChannel": {"channel": "REGULAR"},
}
POOL_INPUTS: dict[str, Any] = {
    "name": "gpu",
    "cluster": "demo",
    "initialNodeCount": 1,
    "autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": 4},
    "nodeConfig": {
        "machineType": "g2-standard-8",
        "labels": {"a": "b"},
        "guestAccelerators": [{"type": "nvidia-l4", "count": 1}],
    },
}


def with_changes(inputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**inputs, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("token", "old", "changes", "replaces"),
    [
        (NETWORK, {"name": "a"}, {"routingMode": "GLOBAL"}, []),
        (
            NETWORK,
            {"name": "a", "autoCreateSubnetworks": False},
            {"autoCreateSubnetworks": True},
            ["autoCreateSubnetworks"],
        ),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/19"}, []),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/21"}, ["ipCidrRange"]),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.1.0.0/20"}, ["ipCidrRange"]),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/20"}, {"network": "m"}, ["network"]),
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.0/20"}, {"privateIpGoogleAccess": True}, []),
        (CLUSTER, CLUSTER_INPUTS, {"network": "m"}, ["network"]),
        (CLUSTER, CLUSTER_INPUTS, {"initialNodeCount": 2}, ["initialNodeCount"]),
        (CLUSTER, CLUSTER_INPUTS, {"datapathProvider": "ADVANCED_DATAPATH"}, ["datapathProvider"]),
        (CLUSTER, CLUSTER_INPUTS, {"releaseChannel": {"channel": "STABLE"}}, []),
        (CLUSTER, CLUSTER_INPUTS, {"deletionProtection": False}, []),
        (CLUSTER, CLUSTER_INPUTS, {"enableL4IlbSubsetting": False}, ["enableL4IlbSubsetting"]),
        (CLUSTER, CLUSTER_INPUTS, {"ipAllocationPolicy": {"clusterSecondaryRangeName": "x"}}, ["ipAllocationPolicy"]),
        (POOL, POOL_INPUTS, {"initialNodeCount": 2}, ["initialNodeCount"]),
        (POOL, POOL_INPUTS, {"autoscaling": {"totalMinNodeCount": 1, "totalMaxNodeCount": 8}}, []),
        (POOL, POOL_INPUTS, {"nodeConfig": {**POOL_INPUTS["nodeConfig"], "machineType": "g2-standard-12"}}, []),
        (POOL, POOL_INPUTS, {"nodeConfig": {**POOL_INPUTS["nodeConfig"], "labels": {"a": "c"}}}, []),
        (POOL, POOL_INPUTS, {"nodeConfig": {**POOL_INPUTS["nodeConfig"], "spot": True}}, ["nodeConfig"]),
        (
            POOL,
            POOL_INPUTS,
            {"nodeConfig": {**POOL_INPUTS["nodeConfig"], "guestAccelerators": [{"type": "nvidia-l4", "count": 2}]}},
            ["nodeConfig"],
        ),
        (POOL, POOL_INPUTS, {"maxPodsPerNode": 16}, ["maxPodsPerNode"]),
        (BUCKET, {"name": "b", "location": "US"}, {"location": "EU"}, ["location"]),
        (BUCKET, {"name": "b", "location": "US"}, {"storageClass": "NEARLINE"}, []),
    ],
)
def test_replacement_is_asked_for_where_the_real_provider_asks(
    tmp_path: Path, token: str, old: dict[str, Any], changes: dict[str, Any], replaces: list[str]
) -> None:
    with run(tmp_path) as engine:
        difference = engine.diff(Made(engine.urn(token, "x"), token, "id", old, old), with_changes(old, **changes))
    assert difference.changes
    assert difference.replaces == replaces
    assert any(kind.endswith("_REPLACE") for kind in difference.changes.values()) == bool(replaces)


def test_the_order_of_zones_is_no_change(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        resource = Made(engine.urn(CLUSTER, "x"), CLUSTER, "id", CLUSTER_INPUTS, CLUSTER_INPUTS)
        zones = list(reversed(CLUSTER_INPUTS["nodeLocations"]))
        assert engine.diff(resource, with_changes(CLUSTER_INPUTS, nodeLocations=zones)).changes == {}
