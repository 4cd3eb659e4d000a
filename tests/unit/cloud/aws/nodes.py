"""What gives a cluster its nodes, as a small environment would use it; keywords change the arguments."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from llm_serving import catalog
from llm_serving.cloud.aws import AwsGpuPool, AwsNodeProvisioner
from tests.unit.cloud.aws.environment import ACCOUNT, OUTPUTS, REGION, TAGS, ZONES
from tests.unit.recording import Recorded, Recording, record

SPOT = {"market": "spot", "machine_type": "g6.xlarge", "max": 4}
ON_DEMAND = {"market": "on-demand", "machine_type": "g6.xlarge", "max": 2}
RESERVED = {"market": "reservation", "machine_type": "g6.xlarge", "max": 2, "reservation": "cr-0123456789abcdef0"}
BLOCK = {"market": "capacity-block", "machine_type": "p5.4xlarge", "max": 1, "reservation": "cr-0fedcba9876543210"}
EVERY_MARKET = tuple({**entry, "machine_type": BLOCK["machine_type"]} for entry in (RESERVED, BLOCK, SPOT, ON_DEMAND))
"""Of a machine that EC2 sells as capacity blocks too."""

H100: dict[str, Any] = {"name": "h100", "accelerator": "H100-80GB"}
H100_SPOT = {"market": "spot", "machine_type": "p5.48xlarge", "max": 2, "zones": ZONES[:1]}
H100_BLOCK = {**H100_SPOT, "market": "capacity-block", "reservation": "cr-0fedcba9876543210"}

NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
NODE_GROUP = "eks/nodeGroup:NodeGroup"
TEMPLATE = "ec2/launchTemplate:LaunchTemplate"
RELEASE = "kubernetes:helm.sh/v3:Release"

NODE_GROUP_ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-node-groups"
_CLUSTER = {
    "name": "prod",
    "region": REGION,
    "cluster_name": "prod",
    "security_group_id": "sg-0123",
    "subnet_ids": ["subnet-0a", "subnet-0b", "subnet-0c"],
    "zones": ZONES,
    "tags": TAGS,
}


def _options() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(providers={"kubernetes": kubernetes.Provider("kubernetes", kubeconfig="{}")})


def gpu_pool(*capacity: dict[str, Any], preview: bool = False, args: Any = None, **settings: Any) -> Recording:
    entries = list(capacity or (SPOT, ON_DEMAND))
    accelerator = catalog.machine_type("aws", entries[0]["machine_type"]).accelerator
    pool = {"name": "l4", "accelerator": accelerator, "capacity": entries, **settings}
    inputs: Any = {**_CLUSTER, "instance_profile": "prod-nodes", "pool": pool, **(args or {})}
    return record(lambda: AwsGpuPool("pool", inputs, _options()), preview=preview, outputs=OUTPUTS)


def node_group(*capacity: dict[str, Any], **settings: Any) -> Recording:
    """A pool of managed node groups, whose nodes are always there."""
    fixed = [{**entry, "min": entry["max"]} for entry in capacity or (ON_DEMAND,)]
    args = {"instance_profile": None, "node_group_role_arn": NODE_GROUP_ROLE, "version": "1.35"}
    return gpu_pool(*fixed, provisioner="node-group", args=args, **settings)


def provisioner(*pools: dict[str, Any], preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {
        **_CLUSTER,
        "account": ACCOUNT,
        "cluster_arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod",
        "cluster_endpoint": "https://example.eks.amazonaws.com",
        "node_role_name": "prod-nodes",
        "node_role_arn": f"arn:aws:iam::{ACCOUNT}:role/prod-nodes",
        "pools": list(pools),
        **args,
    }
    return record(lambda: AwsNodeProvisioner("nodes", inputs, _options()), preview=preview, outputs=OUTPUTS)


L4 = {"name": "l4", "accelerator": "L4", "capacity": [ON_DEMAND]}
EFA = {**H100, "capacity": [H100_SPOT], "efa": True}
SHARED = {
    **L4,
    "name": "shared",
    "provisioner": "node-group",
    "capacity": [{**ON_DEMAND, "min": 2}],
    "sharing": {"strategy": "time-sharing", "clients": 4},
}
EVERY_COMPONENT: dict[str, Callable[[bool], Recording]] = {
    "AwsNodeProvisioner": lambda preview: provisioner(L4, EFA, SHARED, preview=preview),
    "AwsGpuPool": lambda preview: gpu_pool(H100_BLOCK, H100_SPOT, efa=True, preview=preview, **H100),
}
"""Each component with all of its parts; whether it is a preview."""


def manifest(resource: Recorded) -> dict[str, Any]:
    """A custom resource as the cluster gets it."""
    return {key: resource[key] for key in ("apiVersion", "kind", "metadata", "spec")}
