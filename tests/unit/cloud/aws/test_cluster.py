import base64
import email
import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from kubernetes.config.kube_config import KubeConfigLoader
from pulumi.errors import InputPropertiesError

from llm_serving import catalog
from llm_serving.cloud.aws import AwsCluster
from llm_serving.cloud.aws.names import role_name
from tests.unit.cloud.aws.environment import ACCOUNT, CLUSTER_ARN, OUTPUTS, REGION, ZONES, cluster, cluster_inputs
from tests.unit.recording import Recorded, Recording, record

CLUSTER = "eks/cluster:Cluster"
BEFORE_NODES = ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"]
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:role/administrator"


def addon(recording: Recording, name: str) -> Recorded:
    return recording.one("eks/addon:Addon", f"cluster-{name}")


def configuration(recording: Recording, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(addon(recording, name)["configurationValues"])
    return values


def role_of(recording: Recording, arn: str) -> Recorded:
    (role,) = [role for role in recording.all("iam/role:Role") if role.outputs["arn"] == arn]
    return role


def test_the_control_plane_has_no_public_address() -> None:
    access = cluster().one(CLUSTER)["vpcConfig"]
    assert access["endpointPrivateAccess"] is True
    assert access["endpointPublicAccess"] is False
    assert access["subnetIds"] == ["subnet-a", "subnet-b", "subnet-c"]


def test_a_public_address_is_for_the_authorized_ranges_alone() -> None:
    access = cluster(access={"mode": "authorized", "authorized": ["203.0.113.0/24"]}).one(CLUSTER)["vpcConfig"]
    assert access["endpointPrivateAccess"] is access["endpointPublicAccess"] is True
    assert access["publicAccessCidrs"] == ["203.0.113.0/24"]


def test_kubeconfig_holds_no_credentials() -> None:
    recording = cluster()
    config = json.loads(recording.output("kubeconfig"))
    user = config["users"][0]["user"]
    assert set(user) == {"exec"}
    assert [user["exec"]["command"], *user["exec"]["args"]] == [
        "aws", "eks", "get-token", "--cluster-name", "prod", "--region", REGION,
    ]  # fmt: skip
    assert config["clusters"][0]["cluster"]["server"] == recording.output("endpoint")
    assert KubeConfigLoader(config).current_context["name"] == "prod"


def test_access_is_by_entries_alone() -> None:
    assert cluster().one(CLUSTER)["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": False,
    }


def test_nodes_that_karpenter_makes_may_join() -> None:
    recording = cluster()
    (entry,) = (each for each in recording.all("eks/accessEntry:AccessEntry") if each["type"] == "EC2_LINUX")
    assert entry["principalArn"] == recording.output("nodeRoleArn")
    assert recording.output("nodeRoleArn") != recording.output("nodeGroupRoleArn")


def test_administrators_may_do_everything_and_nobody_else_enters() -> None:
    recording = cluster(administrators=[{"principal": ADMINISTRATOR}])
    people = [r for r in recording.all("eks/accessEntry:AccessEntry") if r["type"] == "STANDARD"]
    assert [entry["principalArn"] for entry in people] == [ADMINISTRATOR]
    grant = recording.one("AccessPolicyAssociation")
    assert grant["principalArn"] == ADMINISTRATOR
    assert grant["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    assert grant["accessScope"] == {"type": "cluster"}
    assert recording.depends_on(grant, people[0])


def test_members_of_teams_enter_as_groups_that_may_do_nothing_by_themselves() -> None:
    reader = f"arn:aws:iam::{ACCOUNT}:role/reader"
    recording = cluster(administrators=[{"principal": ADMINISTRATOR}], args={"groups": [reader, ADMINISTRATOR, reader]})
    entries = {
        r["principalArn"]: r["kubernetesGroups"]
        for r in recording.all("eks/accessEntry:AccessEntry")
        if r["type"] == "STANDARD"
    }
    assert entries == {reader: [reader], ADMINISTRATOR: [ADMINISTRATOR]}
    assert [grant["principalArn"] for grant in recording.all("AccessPolicyAssociation")] == [ADMINISTRATOR]


def test_it_never_stays_on_a_version_whose_support_costs_more() -> None:
    assert cluster().one(CLUSTER)["upgradePolicy"] == {"supportType": "STANDARD"}


def test_secrets_are_encrypted_with_a_key_of_our_own_that_is_rotated() -> None:
    recording = cluster()
    key = recording.one("kms/key:Key")
    assert key["enableKeyRotation"] is True
    assert recording.one(CLUSTER)["encryptionConfig"] == {
        "provider": {"keyArn": key.outputs["arn"]},
        "resources": ["secrets"],
    }
    assert cluster(encrypt_secrets=False).all("kms/key:Key") == []


@pytest.mark.parametrize("protection", [True, False])
def test_cluster_and_key_are_protected_as_the_settings_say(protection: bool) -> None:
    recording = cluster(deletion_protection=protection)
    assert recording.one(CLUSTER)["deletionProtection"] is protection
    assert recording.one(CLUSTER).protect is recording.one("kms/key:Key").protect is protection


def test_logs_of_the_control_plane_end_and_are_kept_by_us() -> None:
    recording = cluster(log_types=["audit", "controllerManager"])
    control_plane, group = recording.one(CLUSTER), recording.one("LogGroup")
    assert control_plane["enabledClusterLogTypes"] == ["audit", "controllerManager"]
    assert (group["name"], group["retentionInDays"]) == ("/aws/eks/prod/cluster", 90)
    assert recording.depends_on(control_plane, group)
    assert cluster(log_types=[]).all("LogGroup") == []


def test_every_add_on_has_the_version_of_the_catalog() -> None:
    recording = cluster(version="1.36")
    assert {r["addonName"]: r["addonVersion"] for r in recording.all("eks/addon:Addon")} == catalog.eks_addons("1.36")
    assert recording.one(CLUSTER)["bootstrapSelfManagedAddons"] is False


def test_network_and_identity_come_before_nodes_and_what_needs_nodes_after() -> None:
    recording = cluster()
    nodes = recording.one("NodeGroup")
    first = [addon(recording, name) for name in BEFORE_NODES]
    assert all(recording.depends_on(nodes, each) for each in first)
    rest = [each for each in recording.all("eks/addon:Addon") if each not in first]
    assert len(rest) == 4
    assert all(recording.depends_on(each, nodes) for each in rest)
    assert not any(recording.depends_on(each, nodes) for each in first)


def test_network_policies_are_enforced() -> None:
    assert configuration(cluster(), "vpc-cni")["enableNetworkPolicy"] == "true"


@pytest.mark.parametrize(("pods", "prefixes"), [(29, "false"), (30, "true"), (110, "true")])
def test_addresses_come_in_prefixes_where_the_smallest_machine_has_too_few(pods: int, prefixes: str) -> None:
    values = configuration(cluster(max_pods_per_node=pods), "vpc-cni")
    assert values["env"]["ENABLE_PREFIX_DELEGATION"] == prefixes


def test_disks_of_pods_have_a_default_class() -> None:
    assert configuration(cluster(), "aws-ebs-csi-driver")["defaultStorageClass"] == {"enabled": True}


@pytest.mark.parametrize(
    ("name", "account", "policy"),
    [
        ("vpc-cni", "aws-node", "AmazonEKS_CNI_Policy"),
        ("aws-ebs-csi-driver", "ebs-csi-controller-sa", "AmazonEBSCSIDriverPolicyV2"),
    ],
)
def test_an_add_on_calls_aws_as_itself_and_not_as_the_node(name: str, account: str, policy: str) -> None:
    recording = cluster()
    (identity,) = addon(recording, name)["podIdentityAssociations"]
    assert identity["serviceAccount"] == account
    role = role_of(recording, identity["roleArn"])
    (trust,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": CLUSTER_ARN,
        "aws:RequestTag/kubernetes-namespace": "kube-system",
        "aws:RequestTag/kubernetes-service-account": account,
    }
    (grant,) = [r for r in recording.all("RolePolicyAttachment") if r["role"] == role["name"]]
    assert grant["policyArn"] == f"arn:aws:iam::aws:policy/{policy}"
    assert recording.depends_on(addon(recording, name), grant)


def test_add_ons_that_call_nobody_have_no_role() -> None:
    recording = cluster()
    with_roles = [r["addonName"] for r in recording.all("eks/addon:Addon") if r.get("podIdentityAssociations")]
    assert sorted(with_roles) == ["aws-ebs-csi-driver", "vpc-cni"]


@pytest.mark.parametrize("output", ["nodeRoleName", "nodeGroupRoleName"])
def test_a_node_joins_its_own_cluster_and_pulls_amazons_images_and_no_more(output: str) -> None:
    recording = cluster()
    (policy,) = [r for r in recording.all("RolePolicy") if r["role"] == recording.output(output)]
    resources = {
        action: statement["Resource"]
        for statement in json.loads(policy["policy"])["Statement"]
        for action in statement["Action"]
    }
    assert resources["eks-auth:AssumeRoleForPodIdentity"] == [CLUSTER_ARN]
    assert resources["ecr:BatchGetImage"] == [f"arn:aws:ecr:{REGION}:602401143452:repository/*"]
    assert not [r for r in recording.all("RolePolicyAttachment") if r["role"] == recording.output(output)]


def test_system_nodes_are_there_in_every_zone() -> None:
    group = cluster(system_pool={"min": 2, "machine_type": "m7i.2xlarge"}).one("NodeGroup")
    assert group["scalingConfig"] == {"minSize": 6, "desiredSize": 6, "maxSize": 6}
    assert group["subnetIds"] == ["subnet-a", "subnet-b", "subnet-c"]
    assert group["instanceTypes"] == ["m7i.2xlarge"]
    assert group["version"] == cluster().one(CLUSTER)["version"]


def test_pods_cannot_become_their_node() -> None:
    """The answer of the metadata service has one hop: it ends at the node."""
    options = cluster().one("LaunchTemplate")["metadataOptions"]
    assert options["httpTokens"] == "required"
    assert options["httpPutResponseHopLimit"] == 1


def test_the_disk_of_a_node_is_encrypted() -> None:
    (disk,) = cluster().one("LaunchTemplate")["blockDeviceMappings"]
    assert (disk["ebs"]["encrypted"], disk["ebs"]["volumeType"]) == ("true", "gp3")


def test_kubelet_takes_as_many_pods_as_the_settings_say() -> None:
    data = base64.b64decode(cluster(max_pods_per_node=58).one("LaunchTemplate")["userData"])
    (part,) = email.message_from_bytes(data).get_payload()
    assert part.get_content_type() == "application/node.eks.aws"  # type: ignore[union-attr]
    config = json.loads(part.get_payload())  # type: ignore[union-attr,arg-type]
    assert config["spec"] == {"kubelet": {"config": {"maxPods": 58}}}


def test_a_node_group_follows_its_launch_template() -> None:
    recording = cluster()
    template = recording.one("LaunchTemplate")
    assert recording.one("NodeGroup")["launchTemplate"] == {"id": template.outputs["id"], "version": "3"}


def test_whoever_depends_on_the_cluster_finds_nodes_and_add_ons_ready() -> None:
    def program() -> None:
        ours = AwsCluster("cluster", cluster_inputs())
        later = pulumi.ResourceOptions(depends_on=[ours])
        aws.ssm.Parameter("later", type="String", value=ours.name, opts=later)

    recording = record(program, outputs=OUTPUTS)
    later = recording.one(name="later")
    waited_for = recording.all("eks/addon:Addon") + recording.all("NodeGroup") + recording.all("AccessEntry")
    assert len(waited_for) == 10
    assert all(recording.depends_on(later, each) for each in waited_for)


def test_system_nodes_of_another_machine_or_zone_come_before_the_old_ones_go() -> None:
    """A group that keeps its name is deleted first."""
    names = {
        (group.name, group["nodeGroupName"])
        for made in (cluster(), cluster(system_pool={"machine_type": "m7i.2xlarge"}), cluster(zones=ZONES[:2]))
        for group in made.all("NodeGroup")
    }
    assert len({name for name, _ in names}) == len({group for _, group in names}) == 3


def test_roles_of_two_clusters_are_not_the_same() -> None:
    assert cluster().output("nodeRoleName") == role_name(REGION, "prod", "nodes")
    assert cluster(name="staging").output("nodeRoleName") != cluster().output("nodeRoleName")


def test_regions_of_other_partitions_have_arns_of_theirs() -> None:
    zones = ["us-gov-west-1a", "us-gov-west-1b"]
    recording = cluster(zones=zones, args={"region": "us-gov-west-1"})
    arns = [r["policyArn"] for r in recording.all("RolePolicyAttachment")]
    assert {arn.split(":")[1] for arn in arns} == {"aws-us-gov"}
    policy = json.loads(recording.one("RolePolicy", "cluster-nodes")["policy"])
    assert "arn:aws-us-gov:ecr:us-gov-west-1:013241004608:repository/*" in str(policy)


@pytest.mark.parametrize(
    ("settings", "args", "path", "hint"),
    [
        ({"zones": ZONES[:1]}, {}, "cluster.zones", "us-east-1a"),
        ({"zones": [ZONES[0], "us-west-2a"]}, {}, "cluster.zones[1]", "region us-east-1"),
        ({"version": "1.30"}, {}, "cluster.version", "1.3"),
        ({"system_pool": {"machine_type": "m7i.exlarge"}}, {}, "cluster.systemPool.machineType", "m7i.xlarge"),
        ({"system_pool": {"min": 4, "max": 3}}, {}, "cluster.systemPool.min", "3"),
        ({"access": {"mode": "authorized"}}, {}, "cluster.access.authorized", ""),
        ({"access": {"mode": "dns"}}, {}, "cluster.access.mode", ""),
        ({"release_channel": "regular"}, {}, "cluster.release_channel", ""),
        ({}, {"account": "12"}, "account", ""),
        ({}, {"services_range": "172.20.0.1/16"}, "servicesRange", ""),
    ],
)
def test_a_mistake_is_refused_with_its_path(
    settings: dict[str, Any], args: dict[str, Any], path: str, hint: str
) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        cluster(args=args, **settings)
    (error,) = caught.value.errors or []
    assert error["property_path"] == path
    assert hint in error["reason"]
