"""What the components make of a pool, with the real Karpenter: it takes the entries in their order, keeps to their
limits, finds nodes as large as planning says, and a NodePool that is deleted as Pulumi does it is gone when its
machines are."""

import pytest

from tests.engine.karpenter.lab import REGION
from tests.unit.cloud.aws import nodes

PROFILE = "of-the-components"
ZONES = [f"{REGION}a", f"{REGION}b"]
MACHINE = "g6.16xlarge"
CAPACITY = [{"market": market, "machine_type": MACHINE, "max": 1} for market in ("spot", "on-demand")]


def cluster_arguments(account):
    """What a cluster says to its pools."""
    account.iam.create_instance_profile(InstanceProfileName=PROFILE)
    account.iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName="node")
    (group,) = account.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["nodes"]}])[
        "SecurityGroups"
    ]
    tagged = [{"Name": "tag-key", "Values": ["karpenter.sh/discovery"]}]
    subnets = {
        each["AvailabilityZone"]: each["SubnetId"] for each in account.ec2.describe_subnets(Filters=tagged)["Subnets"]
    }
    return {
        "zones": ZONES,
        "subnet_ids": [subnets[zone] for zone in ZONES],
        "security_group_id": group["GroupId"],
        "instance_profile": PROFILE,
    }


@pytest.fixture
def pool(account, api, watched):
    """A pool on the cluster."""
    recording = nodes.gpu_pool(*CAPACITY, name="ours", args=cluster_arguments(account))
    classes = [api.create(nodes.manifest(each)) for each in recording.all(nodes.NODE_CLASS)]
    for each in classes:
        watched.until(lambda name=each["metadata"]["name"]: watched.is_ready("EC2NodeClass", name))
    pools = [api.create(nodes.manifest(each)) for each in recording.all(nodes.NODE_POOL)]
    yield recording
    for each in (*pools, *classes):
        api.delete(each)


def pod(contract, namespace, name):
    """A pod as the contract has it."""
    resources = {"limits": {contract["gpuResource"]: str(contract["gpusPerNode"])}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeSelector": contract["nodeSelector"],
            "tolerations": contract["tolerations"],
            "containers": [{"name": "c", "image": "x", "resources": resources}],
        },
    }


def test_a_pool_is_filled_in_its_order_up_to_its_limits_and_leaves_nothing(account, api, watched, pool, namespace):
    contract, order = pool.output("scheduling"), pool.output("nodePoolNames")
    for name, node_pool in zip("ab", order, strict=True):
        api.create(pod(contract, namespace, name))
        watched.until(lambda name=name, node_pool=node_pool: watched.pool_of(namespace, name) == node_pool)
    api.create(pod(contract, namespace, "c"))
    watched.until(lambda: [m for m in watched.messages(namespace, "c") if "limit" in m])
    spot, on_demand = [each for node_pool in order for each in account.instances(node_pool)]
    assert (spot.get("InstanceLifecycle"), on_demand.get("InstanceLifecycle")) == ("spot", None)

    for node_pool in order:
        (node,) = watched.nodes(node_pool)
        left = node["status"]["allocatable"]
        assert int(left["cpu"].removesuffix("m")) == contract["nodeAllocatableCpu"] * 1000
        # Karpenter counts whole MiB.
        assert abs(int(left["memory"].removesuffix("Mi")) / 1024 - contract["nodeAllocatableMemoryGib"]) < 2 / 1024
        assert left["pods"] == "32"

    for each in api.list("karpenter.sh/v1", "NodePool"):
        if each["metadata"]["name"] in order:
            api.delete(each, propagation="Foreground")
    watched.until(lambda: not any(api.find("karpenter.sh/v1", "NodePool", name) for name in order))
    assert not [each for name in order for each in account.instances(name)]
    assert not [c for c in api.list("karpenter.sh/v1", "NodeClaim") if c["metadata"]["name"].startswith(tuple(order))]
    for name in order:
        api.delete(api.find("karpenter.k8s.aws/v1", "EC2NodeClass", name))
    watched.until(lambda: not any(api.find("karpenter.k8s.aws/v1", "EC2NodeClass", name) for name in order))
    templates = account.ec2.describe_launch_templates()["LaunchTemplates"]
    assert not [t for t in templates if {"Key": "karpenter.k8s.aws/ec2nodeclass", "Value": order[0]} in t["Tags"]]
