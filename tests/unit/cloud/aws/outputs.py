"""What AWS answers, as far as programs look at it. No SDK here."""

from collections.abc import Callable
from typing import Any

from tests.unit.recording import CA_CERTIFICATE

ACCOUNT, REGION = "012345678901", "us-east-1"


def _arn(kind: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    return lambda name, inputs: {"arn": f"arn:aws:{kind}{inputs.get('name', name)}"}


def _cluster(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    host = "0123456789ABCDEF0123456789ABCDEF.gr7.us-east-1.eks.amazonaws.com"
    return {
        "id": inputs["name"],
        "arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{inputs['name']}",
        "endpoint": f"https://{host}",
        "certificateAuthority": {"data": CA_CERTIFICATE},
        "vpcConfig": {**inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"},
    }


OUTPUTS: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "aws:cloudwatch/logGroup:LogGroup": _arn(f"logs:{REGION}:{ACCOUNT}:log-group:"),
    "aws:iam/role:Role": _arn(f"iam::{ACCOUNT}:role/"),
    "aws:ecr/repository:Repository": _arn(f"ecr:{REGION}:{ACCOUNT}:repository/"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": lambda name, _: {"associationId": f"a-{name}"},
    "aws:s3/bucket:Bucket": lambda _, inputs: {"arn": f"arn:aws:s3:::{inputs['bucket']}"},
    "aws:ec2/eip:Eip": lambda name, _: {"allocationId": f"eipalloc-{name}"},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda name, _: {"id": f"lt-{name}", "latestVersion": 3},
    "aws:ec2/natGateway:NatGateway": lambda name, _: {"publicIp": f"203.0.113.{ord(name[-1]) - 96}"},
    "aws:eks/cluster:Cluster": _cluster,
    "aws:kms/key:Key": _arn(f"kms:{REGION}:{ACCOUNT}:key/"),
    "aws:iam/instanceProfile:InstanceProfile": _arn(f"iam::{ACCOUNT}:instance-profile/"),
    "aws:sqs/queue:Queue": lambda _, inputs: {
        "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{inputs['name']}",
        "url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{inputs['name']}",
    },
    "aws:cloudwatch/eventRule:EventRule": _arn(f"events:{REGION}:{ACCOUNT}:rule/"),
}
"""Outputs of a resource by type, as :data:`tests.unit.recording.OUTPUTS`."""

S3_RANGES = ["52.216.0.0/15", "16.15.176.0/20", "3.5.0.0/19"]
FUNCTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": lambda arguments: {
        "name": arguments["name"],
        "entries": [{"cidr": cidr, "description": ""} for cidr in S3_RANGES],
    },
}
"""Answers of provider functions by token."""
