"""Each component as a small environment would use it; keywords change its arguments."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from llm_serving.cloud.aws import (
    AwsCluster,
    AwsModelCache,
    AwsModelVolume,
    AwsNetwork,
    AwsRegistry,
    AwsWorkloadIdentity,
)
from tests.unit.cloud.aws.outputs import ACCOUNT, OUTPUTS, REGION
from tests.unit.recording import Recording, record

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
ADMINISTRATORS = [{"principal": "arn:aws:iam::111122223333:role/deployer"}]
TAGS = {"owner": "platform"}
PRIVATE_ENDPOINTS = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sqs", "ssm", "sts"]
EVERY_PART_OF_A_NETWORK = {"pods": "100.64.0.0/16", "endpoints": PRIVATE_ENDPOINTS, "tags": TAGS}
CLUSTER_ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod"


def network(*, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {"region": REGION, "name": "prod", "zones": ZONES, **args}
    return record(lambda: AwsNetwork("network", inputs), preview=preview, outputs=OUTPUTS)


def cluster_inputs(args: dict[str, Any] | None = None, **settings: Any) -> Any:
    return {
        "account": ACCOUNT,
        "region": REGION,
        "cluster": {"name": "prod", "zones": ZONES, "administrators": ADMINISTRATORS, **settings},
        "node_subnet_ids": [f"subnet-{zone[-1]}" for zone in ZONES],
        "services_range": "172.20.0.0/16",
        "tags": TAGS,
        **(args or {}),
    }


def cluster(*, preview: bool = False, args: dict[str, Any] | None = None, **settings: Any) -> Recording:
    inputs = cluster_inputs(args, **settings)
    return record(lambda: AwsCluster("cluster", inputs), preview=preview, outputs=OUTPUTS)


def model_cache(*, preview: bool = False, args: dict[str, Any] | None = None, **cache: Any) -> Recording:
    inputs: Any = {"account": ACCOUNT, "region": REGION, "name": "prod", "cache": cache, "tags": TAGS, **(args or {})}
    return record(lambda: AwsModelCache("cache", inputs), preview=preview, outputs=OUTPUTS)


def model_volume(*, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {
        "region": REGION,
        "name": "prod",
        "namespace": "chat",
        "bucket_name": "weights",
        "cache_gib": 120,
        **args,
    }

    def program() -> AwsModelVolume:
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        return AwsModelVolume("chat", inputs, pulumi.ResourceOptions(providers={"kubernetes": provider}))

    return record(program, preview=preview, outputs=OUTPUTS)


def registry(*readers: Any, preview: bool = False, **more: Any) -> Recording:
    inputs: Any = {
        "account": ACCOUNT,
        "region": REGION,
        "name": "llm-serving",
        "readers": list(readers),
        "tags": TAGS,
        **more,
    }
    return record(lambda: AwsRegistry("registry", inputs), preview=preview, outputs=OUTPUTS)


def identity(*, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {
        "region": REGION,
        "name": "prod",
        "cluster_name": "prod",
        "cluster_arn": CLUSTER_ARN,
        "namespace": "chat",
        "service_account": "qwen3-8b",
        "bucket_arn": "arn:aws:s3:::weights",
        "key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
        "tags": TAGS,
        **args,
    }
    return record(lambda: AwsWorkloadIdentity("identity", inputs), preview=preview, outputs=OUTPUTS)


EVERY_COMPONENT: dict[str, Callable[[bool], Recording]] = {
    "AwsNetwork": lambda preview: network(preview=preview, **EVERY_PART_OF_A_NETWORK),
    "AwsCluster": lambda preview: cluster(
        preview=preview,
        access={"mode": "authorized", "authorized": ["203.0.113.0/24"]},
        administrators=[{"principal": f"arn:aws:iam::{ACCOUNT}:role/administrator"}],
    ),
    "AwsModelCache": lambda preview: model_cache(preview=preview),
    "AwsModelVolume": lambda preview: model_volume(preview=preview),
    "AwsRegistry": lambda preview: registry("nodes", create=["model-loader"], preview=preview),
    "AwsWorkloadIdentity": lambda preview: identity(preview=preview),
}
"""Each component with all of its parts; whether it is a preview."""
