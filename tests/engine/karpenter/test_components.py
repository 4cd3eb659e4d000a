"""What the components make of a pool, with the real Karpenter: it takes the entries in their order, keeps to their
limits, finds nodes as large as planning says, and a NodePool that is deleted as Pulumi does it is gone when its
machines are."""

import pytest
from botocore.exceptions import ClientError

from tests.engine.karpenter.lab import REGION
from tests.unit.cloud.aws import nodes

PROFILE = "of-the-components"
ZONES = [f"{REGION}a", f"{REGION}b"]
MACHINE = "g6.16xlarge"
CAPACITY = [{"market": market, "machine_type": MACHINE, "max": 1} for market in ("spot", "on-demand")]
LARGE = [{"market": "on-demand", "machine_type": "g6.12xlarge", "max": 2}]
"""Of four GPUs each."""
NEAR = [{"market": "on-demand", "machine_type": "p5.48xlarge", "max": 1, "zones": ZONES[:1]}]


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


@pytest.fixture(scope="module")
def arguments(account):
    return cluster_arguments(account)


@pytest.fixture
def pool(request, account, arguments, api, watched):
    """A pool on the cluster, as the test asks for it."""
    recording = nodes.gpu_pool(*request.param["capacity"], **request.param["pool"], args=arguments)
    for group in recording.all("ec2/placementGroup:PlacementGroup"):
        account.ec2.create_placement_group(GroupName=group["name"], Strategy=group["strategy"])
    classes = [api.create(nodes.manifest(each)) for each in recording.all(nodes.NODE_CLASS)]
    for each in classes:
        watched.until(lambda name=each["metadata"]["name"]: watched.is_ready("EC2NodeClass", name))
    pools = [api.create(nodes.manifest(each)) for each in recording.all(nodes.NODE_POOL)]
    yield recording
    for each in (*pools, *classes):
        api.delete(each)


def pod(contract, namespace, name):
    """A pod as the contract has it."""
    devices = {contract["gpuResource"]: contract["gpusPerNode"], **contract.get("networkDevices", {})}
    resources = {"limits": {name: str(count) for name, count in devices.items()}}
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


@pytest.mark.parametrize("pool", [{"capacity": LARGE, "pool": {"name": "large"}}], indirect=True)
def test_pods_that_come_at_once_share_machines_and_get_no_more_than_there_may_be(
    account, api, watched, pool, namespace
):
    """Ten of one GPU, which would rather each be on a node of its own: eight fit."""
    contract, (node_pool,) = pool.output("scheduling"), pool.output("nodePoolNames")
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "instance"}},
    }
    names = [f"p{number}" for number in range(10)]
    for name in names:
        instance = pod({**contract, "gpusPerNode": 1}, namespace, name)
        instance["metadata"]["labels"] = {"app": "instance"}
        instance["spec"]["topologySpreadConstraints"] = [apart]
        api.create(instance)

    def running():
        return [name for name in names if watched.pool_of(namespace, name) == node_pool]

    watched.until(lambda: len(running()) == 8)
    for name in set(names) - set(running()):
        watched.until(lambda name=name: [m for m in watched.messages(namespace, name) if "limit" in m])
    assert len(account.instances(node_pool)) == len(watched.claims(node_pool)) == 2


@pytest.mark.parametrize("pool", [{"capacity": NEAR, "pool": {"name": "near", "efa": True}}], indirect=True)
def test_machines_with_efa_have_its_interfaces_and_are_in_one_placement_group(account, api, watched, pool, namespace):
    contract, (node_pool,) = pool.output("scheduling"), pool.output("nodePoolNames")
    api.create(pod(contract, namespace, "a"))
    watched.until(lambda: watched.pool_of(namespace, "a") == node_pool)
    (node,) = watched.nodes(node_pool)
    assert node["status"]["allocatable"]["vpc.amazonaws.com/efa"] == "32"
    (group,) = account.ec2.describe_placement_groups(
        GroupNames=[pool.one("ec2/placementGroup:PlacementGroup")["name"]]
    )["PlacementGroups"]
    for template in account.launch_templates(node_pool):
        (version,) = account.ec2.describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        assert data["Placement"]["GroupId"] == group["GroupId"]
        types = [each["InterfaceType"] for each in data["NetworkInterfaces"]]
        assert (types.count("interface"), types.count("efa-only")) == (1, 32)
    with pytest.raises(ClientError, match=r"InvalidPlacementGroup\.InUse"):
        account.ec2.delete_placement_group(GroupName=group["GroupName"])


@pytest.mark.parametrize("pool", [{"capacity": CAPACITY, "pool": {"name": "ours"}}], indirect=True)
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
    assert not [each for name in order for each in account.launch_templates(name)]
