"""What changes in place, and what replaces."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.providers.aws.amazon import CLUSTER, GROUP, ROLE, VPC, run
from tests.unit.local.providers.engine import Made

CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    (VPC, {"cidrBlock": "10.0.0.0/16"}, {"cidrBlock": "10.1.0.0/16"}, ["cidrBlock"]),
    (VPC, {"cidrBlock": "10.0.0.0/16"}, {"cidrBlock": "10.0.0.0/16", "tags": {"a": "b"}}, []),
    (VPC, {"cidrBlock": "10.0.0.0/16"}, {"cidrBlock": "10.0.0.0/16", "region": "eu-west-1"}, ["region"]),
    (CLUSTER, {"name": "c", "version": "1.34"}, {"name": "c", "version": "1.35"}, []),
    (
        CLUSTER,
        {"name": "c", "kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.20.0.0/16"}},
        {"name": "c", "kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.21.0.0/16"}},
        ["kubernetesNetworkConfig"],
    ),
    (CLUSTER, {"name": "c", "encryptionConfig": {"resources": ["secrets"]}}, {"name": "c"}, ["encryptionConfig"]),
    (CLUSTER, {"name": "c"}, {"name": "c", "encryptionConfig": {"resources": ["secrets"]}}, []),
    (GROUP, {"scalingConfig": {"desiredSize": 1}}, {"scalingConfig": {"desiredSize": 2}}, []),
    (GROUP, {"instanceTypes": ["g6.xlarge"]}, {"instanceTypes": ["g6.2xlarge"]}, ["instanceTypes"]),
    (
        GROUP,
        {"launchTemplate": {"id": "lt-1", "version": "1"}},
        {"launchTemplate": {"id": "lt-1", "version": "2"}},
        [],
    ),
    (ROLE, {"name": "a", "assumeRolePolicy": "{}"}, {"name": "b", "assumeRolePolicy": "{}"}, ["name"]),
]


@pytest.mark.parametrize(("token", "old", "new", "replaced"), CHANGES)
def test_a_change_replaces_where_the_provider_says_so(
    tmp_path: Path, token: str, old: dict[str, Any], new: dict[str, Any], replaced: list[str]
) -> None:
    with run(tmp_path) as engine:
        made = Made(engine.urn(token, "x"), token, "x", old, old)
        difference = engine.diff(made, new)
    assert difference.changes
    assert difference.replaces == replaced


def test_the_order_of_a_set_is_no_change(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        inputs = {"name": "c", "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}}
        turned = {"name": "c", "vpcConfig": {"subnetIds": ["subnet-2", "subnet-1"]}}
        made = Made(engine.urn(CLUSTER, "c"), CLUSTER, "c", inputs, inputs)
        assert engine.diff(made, turned).changes == {}


def test_a_provider_that_moves_to_another_region_replaces_everything(tmp_path: Path) -> None:
    inputs = {"cidrBlock": "10.0.0.0/16"}
    with run(tmp_path) as engine:
        made = Made(engine.urn(VPC, "net"), VPC, "vpc-1", inputs, {**inputs, "region": "eu-west-1"})
        assert engine.diff(made, inputs).replaces == ["region"]


def test_a_name_that_was_given_is_free_before_it_is_taken_again(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        old = {"name": "c", "roleArn": "a"}
        made = Made(engine.urn(CLUSTER, "c"), CLUSTER, "c", old, old)
        assert engine.diff(made, {"name": "c", "roleArn": "b"}).delete_before_replace
