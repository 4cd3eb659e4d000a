"""Inputs that the SDK's types, the provider or AWS refuse; nothing is made, and no API is started."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from local.providers.properties import UNKNOWN
from local.state_folder import StateFolder
from tests.unit.local.providers.aws.amazon import (
    ADDON,
    ASSOCIATION,
    BUCKET,
    CLUSTER,
    ENTRY,
    GROUP,
    KEY,
    QUEUE,
    ROLE,
    SUBNET,
    VPC,
    details,
    run,
    trust,
)  # fmt: skip
from tests.unit.local.providers.engine import Engine, RefusedError

ROLE_ARN = "arn:aws:iam::111122223333:role/cluster"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("aws")
    with run(folder) as made:
        yield made
    assert StateFolder(folder).aws_apis() == []


def cluster(**more: Any) -> dict[str, Any]:
    return {"name": "c", "roleArn": ROLE_ARN, "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}, **more}


def group(**more: Any) -> dict[str, Any]:
    return {
        "clusterName": "c",
        "nodeRoleArn": ROLE_ARN,
        "subnetIds": ["subnet-1"],
        "scalingConfig": {"minSize": 1, "desiredSize": 1, "maxSize": 1},
        **more,
    }


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (VPC, {"cidr": "10.0.0.0/16", "cidrBlock": "10.0.0.0/16"}, "unknown property"),
    (VPC, {"cidrBlock": "10.0.0.1/16"}, "cidrBlock: not an address range (try: 10.0.0.0/16)"),
    (VPC, {}, "cidrBlock"),
    (SUBNET, {"vpcId": "vpc-1", "availabilityZone": "us-east-1z"}, "not a zone of the region"),
    (SUBNET, {"cidrBlock": "10.0.0.0/20"}, "vpcId: required, but not given"),
    ("aws:ec2/route:Route", {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"}, "exactly one of gatewayId"),
    ("aws:ec2/natGateway:NatGateway", {"subnetId": "subnet-1"}, "allocationId: required"),
    (
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        {"vpcId": "vpc-1", "serviceName": "com.amazonaws.us-east-1.s3", "subnetIds": ["subnet-1"]},
        "cannot be given where vpcEndpointType is Gateway",
    ),
    (
        "aws:ec2/securityGroup:SecurityGroup",
        {"vpcId": "vpc-1", "ingress": [{"protocol": "-1", "fromPort": 443, "toPort": 443}]},
        "has to be 0 where protocol is -1",
    ),
    ("aws:ec2/flowLog:FlowLog", {"trafficType": "ALL"}, "exactly one of vpcId"),
    ("aws:ec2/flowLog:FlowLog", {"vpcId": "vpc-1", "trafficType": "EVERYTHING"}, "not one of the values"),
    ("aws:cloudwatch/logGroup:LogGroup", {"retentionInDays": 31}, "(try: 30)"),
    ("aws:ec2/placementGroup:PlacementGroup", {"strategy": "cluster", "partitionCount": 2}, "strategy is partition"),
    (ROLE, {"assumeRolePolicy": "{"}, "invalid JSON policy"),
    (ROLE, {"assumeRolePolicy": trust("ec2.amazonaws.com"), "name": "a b"}, "does not have the form"),
    (BUCKET, {"bucket": "Shop_Models"}, "does not have the form"),
    (BUCKET, {"bucket": "xn--models"}, "S3 keeps for itself"),
    (KEY, {"deletionWindowInDays": 3}, "outside of 7 to 30"),
    (QUEUE, {"messageRetentionSeconds": 5}, "outside of 60 to 1209600"),
    (CLUSTER, cluster(computeConfig={"enabled": True}), "no EKS Auto Mode"),
    (CLUSTER, cluster(upgradePolicy={"supportType": "FOREVER"}), "not one of the values that are known"),
    (CLUSTER, cluster(vpcConfig={"subnetIds": ["a"], "endpointPublicAccess": False}), "private or public access"),
    (CLUSTER, cluster(accessConfig={"authenticationmode": "API"}), "authenticationMode"),
    (GROUP, group(scalingConfig={"minSize": 3, "desiredSize": 1, "maxSize": 1}), "greater than desiredSize"),
    (GROUP, group(launchTemplate={"id": "lt-1", "version": "1"}, diskSize=50), "cannot be given with launchTemplate"),
    (GROUP, group(capacityType="spot"), "not one of the values that are known (try: SPOT"),
    (GROUP, group(scalingConfig={"minSize": "one", "desiredSize": 1, "maxSize": 1}), "expected an integer"),
    (ADDON, {"clusterName": "c", "addonName": "coredn"}, "(try: coredns)"),
    (ADDON, {"clusterName": "c", "addonName": "coredns", "addonVersion": "1.13"}, "not a version of an EKS add-on"),
    (ENTRY, {"clusterName": "c", "principalArn": "ml-platform"}, "not the ARN of a role"),
    (
        ASSOCIATION,
        {
            "clusterName": "c",
            "principalArn": ROLE_ARN,
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdmin",
            "accessScope": {"type": "cluster"},
        },
        "(try: arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy)",
    ),
]


@pytest.mark.parametrize(("token", "inputs", "reason"), REFUSED)
def test_bad_inputs_are_refused_with_the_nearest_that_works(
    engine: Engine, token: str, inputs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        engine.check(token, "x", inputs)
    assert reason in str(caught.value)


def test_what_is_not_known_yet_passes(engine: Engine) -> None:
    inputs = cluster(roleArn=UNKNOWN, vpcConfig={"subnetIds": UNKNOWN, "endpointPrivateAccess": True})
    assert engine.check(CLUSTER, "c", inputs)["roleArn"] is UNKNOWN


def test_a_type_that_the_local_cloud_lacks_is_an_error_that_says_so(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.check("aws:rds/instance:Instance", "db", {"instanceClass": "db.t3.micro"})
    assert "the local AWS does not have this type" in details(caught.value)


def test_a_name_is_drawn_where_none_is_given(engine: Engine) -> None:
    assert engine.check(BUCKET, "Models", {})["bucket"].startswith("models-")
    assert engine.check(BUCKET, "Models", {}) == engine.check(BUCKET, "Models", {})


def test_a_provider_setting_that_there_is_not_is_refused(tmp_path: Path) -> None:
    from local.providers.aws.plugin import AwsPlugin

    checked = AwsPlugin(StateFolder(tmp_path)).check_config({"regin": "us-east-1"})
    assert [problem.suggestion for problem in checked.problems] == ["region"]


def test_a_resource_without_a_region_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with run(tmp_path, settings={}) as engine, pytest.raises(grpc.RpcError) as caught:
        engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"})
    assert "Missing region configuration" in details(caught.value)
