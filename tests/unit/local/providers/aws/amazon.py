"""Programs against the local AWS, as one engine run each."""

import json
from pathlib import Path
from typing import Any

import grpc

from local.providers.aws.plugin import AwsPlugin
from local.state_folder import StateFolder
from tests.unit.local.providers.engine import Engine, Made

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
PROFILE = "aws:iam/instanceProfile:InstanceProfile"
CLUSTER = "aws:eks/cluster:Cluster"
GROUP = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ASSOCIATION = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
BUCKET = "aws:s3/bucket:Bucket"
KEY = "aws:kms/key:Key"
QUEUE = "aws:sqs/queue:Queue"

ACCOUNT = "111122223333"
REGION = "us-east-1"
SETTINGS = {
    "region": REGION,
    "allowedAccountIds": json.dumps([ACCOUNT]),
    "defaultTags": json.dumps({"tags": {"environment": "test"}}),
}


def run(state: Path, *, seed: bytes = b"seed", settings: dict[str, Any] | None = None, **more: Any) -> Engine:
    """A new plugin process, as far as a test can tell: nothing but the state folder and the account's API is shared."""
    return Engine(AwsPlugin(StateFolder(state)), seed=seed, settings=SETTINGS if settings is None else settings, **more)


def api(state: Path, service: str) -> Any:
    """A client of the account's API, as anybody else has one."""
    handle = StateFolder(state).aws_api(ACCOUNT)
    handle.start()
    return handle.client(service, REGION)


def trust(service: str) -> str:
    """A document that lets a service take a role."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def subnet_inputs(vpc: Made, zone: str = "us-east-1a", block: str = "10.0.0.0/20", **more: Any) -> dict[str, Any]:
    return {"vpcId": vpc.id, "availabilityZone": zone, "cidrBlock": block, **more}


def details(error: BaseException) -> str:
    assert isinstance(error, grpc.RpcError)
    return str(error.details())
