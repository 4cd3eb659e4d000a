"""A cluster of EKS, its node groups and its parts: a real control plane with simulated nodes."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from local.cluster import LocalCluster
from local.providers import host_names
from local.providers.aws.plugin import AwsPlugin
from local.state_folder import StateFolder
from tests.unit.local.providers.aws.amazon import (
    ACCOUNT,
    ADDON,
    ASSOCIATION,
    CLUSTER,
    ENTRY,
    GROUP,
    IDENTITY,
    REGION,
    ROLE,
    SUBNET,
    VPC,
    api,
    details,
    run,
    subnet_inputs,
    trust,
)  # fmt: skip
from tests.unit.local.providers.aws.conftest import state  # noqa: F401 (fixture)
from tests.unit.local.providers.engine import Engine, Made, RefusedError

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
PODS_AND_DISKS = {
    "apiVersion": "node.eks.aws/v1alpha1",
    "kind": "NodeConfig",
    "spec": {"kubelet": {"config": {"maxPods": 32}}, "instance": {"localStorage": {"strategy": "RAID0"}}},
}


@dataclass
class World:
    """A cluster and what it stands on."""

    state: Path
    subnets: list[Made]
    cluster_role: Made
    node_role: Made
    pod_role: Made
    cluster: Made

    def inputs(self, **more: Any) -> dict[str, Any]:
        return {
            "name": "llm",
            "version": "1.34",
            "roleArn": self.cluster_role.outputs["arn"],
            "vpcConfig": {"subnetIds": [subnet.id for subnet in self.subnets], "endpointPrivateAccess": True},
            "accessConfig": {"authenticationMode": "API"},
            **more,
        }

    def group(self, name: str, machine: str, count: int = 1, **more: Any) -> dict[str, Any]:
        return {
            "clusterName": "llm",
            "nodeGroupName": name,
            "nodeRoleArn": self.node_role.outputs["arn"],
            "subnetIds": [subnet.id for subnet in self.subnets],
            "scalingConfig": {"minSize": count, "desiredSize": count, "maxSize": count},
            "instanceTypes": [machine],
            **more,
        }

    @property
    def local(self) -> LocalCluster:
        return LocalCluster(StateFolder(self.state).cluster(ACCOUNT, REGION, "llm"))

    def nodes(self, group: str) -> list[dict[str, Any]]:
        with self.local.client() as client:
            nodes = client.list("v1", "Node")
        return [node for node in nodes if node["metadata"]["labels"].get("eks.amazonaws.com/nodegroup") == group]


@pytest.fixture(scope="module")
def world(state: Path) -> Iterator[World]:  # noqa: F811 (fixture)
    with run(state) as engine:
        vpc = engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"})
        subnets = [
            engine.create(SUBNET, zone, subnet_inputs(vpc, zone, f"10.0.{number * 16}.0/20"))
            for number, zone in enumerate(("us-east-1a", "us-east-1b"))
        ]
        roles = [
            engine.create(ROLE, service, {"name": service, "assumeRolePolicy": trust(f"{service}.amazonaws.com")})
            for service in ("eks", "ec2", "pods.eks")
        ]
        made = World(state, subnets, *roles, cluster=vpc)
        made.cluster = engine.create(CLUSTER, "c", made.inputs())
    yield made
    for cluster in StateFolder(state).control_planes().values():
        cluster.delete()


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    with run(world.state) as made:
        yield made


def refused(engine: Engine, token: str, name: str, inputs: dict[str, Any]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(token, name, inputs)
    return details(caught.value)


def test_the_endpoint_leads_to_a_control_plane_with_what_eks_brings(world: World) -> None:
    outputs = world.cluster.outputs
    host = outputs["endpoint"].removeprefix("https://")
    assert host.endswith(f".{REGION}.eks.amazonaws.com")
    assert host_names.resolve(host, StateFolder(world.state)) == world.local.directory
    assert b"BEGIN CERTIFICATE" in base64.b64decode(outputs["certificateAuthority"]["data"])
    with world.local.client() as client:
        assert client.find("storage.k8s.io/v1", "StorageClass", "gp2") is not None


def test_the_accounts_api_knows_the_cluster_its_security_group_and_its_interfaces(world: World) -> None:
    found = api(world.state, "eks").describe_cluster(name="llm")["cluster"]
    assert found["arn"] == world.cluster.outputs["arn"]
    assert found["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.20.0.0/16"
    group = world.cluster.outputs["vpcConfig"]["clusterSecurityGroupId"]
    [described] = api(world.state, "ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert described["VpcId"] == world.cluster.outputs["vpcConfig"]["vpcId"]


def test_a_subnet_of_a_cluster_cannot_go_before_it(world: World, engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(world.subnets[0])
    assert "DependencyViolation" in details(caught.value)
    assert "Amazon EKS llm" in details(caught.value)


def test_a_cluster_that_eks_would_refuse_is_refused(world: World, engine: Engine) -> None:
    one_zone = {"subnetIds": [world.subnets[0].id]}
    assert "at least two different AZs" in refused(engine, CLUSTER, "z", world.inputs(name="z", vpcConfig=one_zone))
    assert "unsupported Kubernetes version" in refused(engine, CLUSTER, "v", world.inputs(name="v", version="1.99"))
    wrong = world.inputs(name="r", roleArn=world.node_role.outputs["arn"])
    assert "could not be assumed" in refused(engine, CLUSTER, "r", wrong)
    assert "already exists" in refused(engine, CLUSTER, "again", world.inputs())


def test_a_version_grows_by_one_minor_and_never_shrinks(world: World, engine: Engine) -> None:
    for version in ("1.36", "1.33"):
        with pytest.raises(grpc.RpcError) as caught:
            engine.update(world.cluster, world.inputs(version=version))
        assert f"minor version update from 1.34 to {version}" in details(caught.value)


def test_nodes_of_a_group_have_the_machines_shape_labels_and_taints(world: World, engine: Engine) -> None:
    data = base64.b64encode(json.dumps(PODS_AND_DISKS).encode()).decode()
    template = engine.create(TEMPLATE, "t", {"userData": data})
    settings = {
        "amiType": "AL2023_x86_64_NVIDIA",
        "capacityType": "SPOT",
        "labels": {"llm-serving.dev/pool": "l4"},
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
        "launchTemplate": {"id": template.id, "version": "1"},
    }
    group = engine.create(GROUP, "gpus", world.group("gpus", "g6.12xlarge", 2, **settings))
    assert group.id == "llm:gpus"
    assert group.outputs["status"] == "ACTIVE"
    nodes = world.nodes("gpus")
    assert sorted(node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes) == [
        "us-east-1a", "us-east-1b",
    ]  # fmt: skip
    node = nodes[0]
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "g6.12xlarge"
    assert node["metadata"]["labels"]["eks.amazonaws.com/capacityType"] == "SPOT"
    assert node["metadata"]["labels"]["llm-serving.dev/pool"] == "l4"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert node["status"]["capacity"]["cpu"] == "48"
    assert node["status"]["allocatable"]["pods"] == "32"
    assert {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"} in node["spec"]["taints"]
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(world.cluster)
    assert "nodegroups attached: gpus" in details(caught.value)
    fewer = engine.update(group, world.group("gpus", "g6.12xlarge", 1, **settings))
    live = engine.read(fewer)
    assert live is not None
    assert live.outputs["scalingConfig"]["desiredSize"] == 1
    engine.delete(fewer)
    assert world.nodes("gpus") == []
    assert engine.read(fewer) is None
    assert "gpus" not in api(world.state, "eks").list_nodegroups(clusterName="llm")["nodegroups"]


def test_a_group_that_eks_would_refuse_is_refused(world: World, engine: Engine) -> None:
    assert "nearest: g6.12xlarge" in refused(engine, GROUP, "m", world.group("m", "g6.13xlarge"))
    newer = world.group("n", "m7i.xlarge", version="1.35")
    assert "is newer than the cluster's, 1.34" in refused(engine, GROUP, "n", newer)
    stranger = world.group("s", "m7i.xlarge", nodeRoleArn=world.cluster_role.outputs["arn"])
    assert "[ec2.amazonaws.com] were not found" in refused(engine, GROUP, "s", stranger)
    nowhere = {**world.group("w", "m7i.xlarge"), "clusterName": "llm-2"}
    assert "No cluster found for name: llm-2" in refused(engine, GROUP, "w", nowhere)


def test_machines_that_the_capacity_file_lacks_fail_a_group(world: World, engine: Engine) -> None:
    file = world.state / "capacity.yaml"
    try:
        file.write_text("missing: [{machine: 'p5.*', zone: us-east-1b}]\nquotas: [{machine: 'g6.*', vcpus: 4}]\n")
        assert "do not have sufficient p5.48xlarge capacity" in refused(
            engine, GROUP, "p", world.group("p", "p5.48xlarge", 2)
        )
        assert "VcpuLimitExceeded" in refused(engine, GROUP, "g", world.group("g", "g6.12xlarge"))
    finally:
        file.unlink()
    assert api(world.state, "eks").list_nodegroups(clusterName="llm")["nodegroups"] == []


def test_addons_put_their_drivers_and_classes_into_the_cluster(world: World, engine: Engine) -> None:
    inputs = {
        "clusterName": "llm",
        "addonName": "aws-ebs-csi-driver",
        "addonVersion": "v1.63.1-eksbuild.1",
        "configurationValues": json.dumps({"defaultStorageClass": {"enabled": True}}),
        "podIdentityAssociations": [
            {"roleArn": world.pod_role.outputs["arn"], "serviceAccount": "ebs-csi-controller-sa"}
        ],
    }
    addon = engine.create(ADDON, "ebs", inputs)
    with world.local.client() as client:
        assert client.find("storage.k8s.io/v1", "CSIDriver", "ebs.csi.aws.com") is not None
        assert client.find("storage.k8s.io/v1", "StorageClass", "ebs-csi-default-sc") is not None
    wrong = {**inputs, "podIdentityAssociations": [{"roleArn": world.node_role.outputs["arn"], "serviceAccount": "x"}]}
    assert "does not trust pods.eks.amazonaws.com" in refused(engine, ADDON, "wrong", {**wrong, "addonName": "coredns"})
    engine.delete(addon)
    with world.local.client() as client:
        assert client.find("storage.k8s.io/v1", "CSIDriver", "ebs.csi.aws.com") is None


def test_a_policy_needs_an_access_entry(world: World, engine: Engine) -> None:
    principal = f"arn:aws:iam::{ACCOUNT}:role/ml-platform"
    policy = {
        "clusterName": "llm",
        "principalArn": principal,
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
        "accessScope": {"type": "namespace", "namespaces": ["chat"]},
    }
    assert "has no access entry in llm" in refused(engine, ASSOCIATION, "early", policy)
    entry = engine.create(ENTRY, "e", {"clusterName": "llm", "principalArn": principal})
    assert entry.outputs["userName"] == principal
    assert engine.create(ASSOCIATION, "p", policy).outputs["associatedAt"]
    nodes = engine.create(
        ENTRY, "n", {"clusterName": "llm", "principalArn": world.node_role.outputs["arn"], "type": "EC2_LINUX"}
    )
    assert nodes.outputs["kubernetesGroups"] == ["system:nodes"]
    again = {"clusterName": "llm", "principalArn": principal}
    assert "ResourceInUseException" in refused(engine, ENTRY, "again", again)
    with pytest.raises(RefusedError, match="EKS keeps for itself"):
        engine.check(ENTRY, "m", {**again, "kubernetesGroups": ["system:masters"]})


def test_a_service_account_has_one_role(world: World, engine: Engine) -> None:
    inputs = {
        "clusterName": "llm", "namespace": "chat", "serviceAccount": "qwen", "roleArn": world.pod_role.outputs["arn"],
    }  # fmt: skip
    first = engine.create(IDENTITY, "one", inputs)
    assert first.id == first.outputs["associationId"]
    assert f"Association already exists: {first.id}" in refused(engine, IDENTITY, "two", inputs)
    other = {**inputs, "serviceAccount": "llama", "roleArn": world.cluster_role.outputs["arn"]}
    assert "does not trust pods.eks.amazonaws.com" in refused(engine, IDENTITY, "three", other)
    engine.delete(first)
    assert engine.create(IDENTITY, "two", inputs).id == first.id


def test_a_cluster_whose_creation_was_killed_half_way_is_made_by_the_next_try(world: World, engine: Engine) -> None:
    inputs = world.inputs(name="half")
    assert isinstance(engine.plugin, AwsPlugin)
    engine.plugin.cloud.store.begin(CLUSTER, "half", engine.urn(CLUSTER, "half"), inputs)
    api(world.state, "eks").create_cluster(
        name="half", roleArn=inputs["roleArn"], resourcesVpcConfig={"subnetIds": inputs["vpcConfig"]["subnetIds"]}
    )
    made = engine.create(CLUSTER, "half", inputs)
    assert made.outputs["status"] == "ACTIVE"
    assert LocalCluster(StateFolder(world.state).cluster(ACCOUNT, REGION, "half")).running()
    engine.delete(made)
    assert engine.read(made) is None


def test_nothing_is_left_of_a_cluster_that_is_deleted(world: World, engine: Engine) -> None:
    protected = engine.update(world.cluster, world.inputs(deletionProtection=True))
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(protected)
    assert "Deletion protection is enabled" in details(caught.value)
    cluster = engine.update(protected, world.inputs())
    engine.delete(cluster)
    assert engine.read(cluster) is None
    assert not world.local.exists()
    assert host_names.of(world.local.directory, StateFolder(world.state)) == set()
    ec2 = api(world.state, "ec2")
    assert (
        ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": ["Amazon EKS llm"]}])[
            "NetworkInterfaces"
        ]
        == []
    )
    assert "llm" not in api(world.state, "eks").list_clusters()["clusters"]
