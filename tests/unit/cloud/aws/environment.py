"""Each component as a small environment would use it; keywords change its arguments."""

from collections.abc import Callable
from typing import Any

from llm_serving.cloud.aws import AwsCluster, AwsNetwork
from tests.unit.recording import CA_CERTIFICATE, Recording, record

ACCOUNT, REGION = "012345678901", "us-east-1"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
TAGS = {"owner": "platform"}
PRIVATE_ENDPOINTS = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sts"]
EVERY_PART_OF_A_NETWORK = {"pods": "100.64.0.0/16", "endpoints": PRIVATE_ENDPOINTS, "tags": TAGS}
CLUSTER_ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod"


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


OUTPUTS = {
    "aws:cloudwatch/logGroup:LogGroup": _arn(f"logs:{REGION}:{ACCOUNT}:log-group:"),
    "aws:iam/role:Role": _arn(f"iam::{ACCOUNT}:role/"),
    "aws:ec2/eip:Eip": lambda name, _: {"allocationId": f"eipalloc-{name}"},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda name, _: {"id": f"lt-{name}", "latestVersion": 3},
    "aws:ec2/natGateway:NatGateway": lambda name, _: {"publicIp": f"203.0.113.{ord(name[-1]) - 96}"},
    "aws:eks/cluster:Cluster": _cluster,
    "aws:kms/key:Key": _arn(f"kms:{REGION}:{ACCOUNT}:key/"),
}


def network(*, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {"region": REGION, "name": "prod", "zones": ZONES, **args}
    return record(lambda: AwsNetwork("network", inputs), preview=preview, outputs=OUTPUTS)


def cluster_inputs(args: dict[str, Any] | None = None, **settings: Any) -> Any:
    return {
        "account": ACCOUNT,
        "region": REGION,
        "cluster": {"name": "prod", "zones": ZONES, **settings},
        "node_subnet_ids": [f"subnet-{zone[-1]}" for zone in ZONES],
        "services_range": "172.20.0.0/16",
        "tags": TAGS,
        **(args or {}),
    }


def cluster(*, preview: bool = False, args: dict[str, Any] | None = None, **settings: Any) -> Recording:
    inputs = cluster_inputs(args, **settings)
    return record(lambda: AwsCluster("cluster", inputs), preview=preview, outputs=OUTPUTS)


EVERY_COMPONENT: dict[str, Callable[[bool], Recording]] = {
    "AwsNetwork": lambda preview: network(preview=preview, **EVERY_PART_OF_A_NETWORK),
    "AwsCluster": lambda preview: cluster(
        preview=preview,
        access={"mode": "authorized", "authorized": ["203.0.113.0/24"]},
        administrators=[{"principal": f"arn:aws:iam::{ACCOUNT}:role/administrator"}],
    ),
}
"""Each component with all of its parts; whether it is a preview."""
