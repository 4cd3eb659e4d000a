"""What the plugin makes is in the account's own records, for everybody who asks its API."""

import json
from pathlib import Path

import grpc
import pytest
from botocore.exceptions import ClientError

from local.providers.faults import FaultPlan, InjectedFaultError
from local.providers.properties import UNKNOWN, Secret
from local.state_folder import StateFolder
from tests.unit.local.providers.aws.amazon import (
    ACCOUNT,
    ATTACHMENT,
    BUCKET,
    KEY,
    PROFILE,
    QUEUE,
    REGION,
    ROLE,
    ROLE_POLICY,
    SUBNET,
    VPC,
    api,
    details,
    run,
    subnet_inputs,
    trust,
)  # fmt: skip

EKS_POLICY = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"


def test_a_preview_starts_no_api_and_leaves_no_record(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        outputs = engine.preview(VPC, "net", {"cidrBlock": "10.0.0.0/16", "tags": {"owner": UNKNOWN}})
        zones = engine.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", {"state": "available"})
        identity = engine.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})
    assert outputs["cidrBlock"] == "10.0.0.0/16"
    assert outputs["region"] == REGION
    assert outputs["arn"] is outputs["defaultSecurityGroupId"] is UNKNOWN
    assert zones["names"][:2] == ["us-east-1a", "us-east-1b"]
    assert identity["accountId"] == ACCOUNT
    assert not (tmp_path / "clouds").exists()


def test_the_accounts_api_shows_what_the_plugin_made(state: Path) -> None:
    with run(state) as engine:
        vpc = engine.create(VPC, "shown", {"cidrBlock": "10.0.0.0/16", "tags": {"Name": "shown"}})
        subnet = engine.create(SUBNET, "shown", subnet_inputs(vpc))
    [found] = api(state, "ec2").describe_subnets(SubnetIds=[subnet.id])["Subnets"]
    assert found["VpcId"] == vpc.id
    assert found["AvailabilityZone"] == subnet.outputs["availabilityZone"] == "us-east-1a"
    [found] = api(state, "ec2").describe_vpcs(VpcIds=[vpc.id])["Vpcs"]
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {"Name": "shown", "environment": "test"}
    assert vpc.outputs["tagsAll"] == {"Name": "shown", "environment": "test"}
    assert vpc.outputs["arn"] == f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{vpc.id}"


def test_what_was_made_is_read_updated_and_deleted_also_after_a_restart(state: Path) -> None:
    with run(state) as engine:
        vpc = engine.create(VPC, "kept", {"cidrBlock": "10.1.0.0/16"})
    StateFolder(state).aws_api(ACCOUNT).stop()
    with run(state) as engine:
        live = engine.read(vpc)
        assert live is not None
        assert live.outputs == vpc.outputs
        changed = engine.update(vpc, {"cidrBlock": "10.1.0.0/16", "enableDnsHostnames": True, "tags": {"a": "b"}})
        assert changed.outputs["tagsAll"] == {"a": "b", "environment": "test"}
        answer = api(state, "ec2").describe_vpc_attribute(VpcId=vpc.id, Attribute="enableDnsHostnames")
        assert answer["EnableDnsHostnames"] == {"Value": True}
        engine.delete(changed)
        assert engine.read(changed) is None
        engine.delete(changed)


def test_what_somebody_deleted_elsewhere_is_gone(state: Path) -> None:
    with run(state) as engine:
        key = engine.create(KEY, "gone", {"deletionWindowInDays": 7})
        assert engine.read(key) is not None
        api(state, "kms").schedule_key_deletion(KeyId=key.id, PendingWindowInDays=7)
        assert engine.read(key) is None
        with pytest.raises(grpc.RpcError) as caught:
            engine.update(key, {"description": "x"})
        assert "deleted" in details(caught.value) or "not exist" in details(caught.value)


def test_a_vpc_with_subnets_cannot_be_deleted(state: Path) -> None:
    with run(state) as engine:
        vpc = engine.create(VPC, "used", {"cidrBlock": "10.2.0.0/16"})
        subnet = engine.create(SUBNET, "used", subnet_inputs(vpc, block="10.2.0.0/20"))
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(vpc)
        assert "DependencyViolation" in details(caught.value)
        assert subnet.id in details(caught.value)
        engine.delete(subnet)
        engine.delete(vpc)


def test_ranges_that_overlap_are_refused_in_ec2s_words(state: Path) -> None:
    with run(state) as engine:
        vpc = engine.create(VPC, "overlap", {"cidrBlock": "10.3.0.0/16"})
        engine.create(SUBNET, "one", subnet_inputs(vpc, block="10.3.0.0/20"))
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(SUBNET, "two", subnet_inputs(vpc, block="10.3.8.0/21"))
        assert "InvalidSubnet.Conflict" in details(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(SUBNET, "three", subnet_inputs(vpc, block="10.9.0.0/20"))
        assert "InvalidSubnet.Range" in details(caught.value)


def test_a_name_that_exists_is_refused_whoever_has_it(state: Path) -> None:
    inputs = {"name": "taken", "assumeRolePolicy": trust("ec2.amazonaws.com")}
    with run(state) as engine:
        engine.create(ROLE, "first", inputs)
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(ROLE, "second", inputs)
        assert "EntityAlreadyExists" in details(caught.value)
        assert "::first" in details(caught.value)
    api(state, "s3").create_bucket(Bucket="made-by-somebody-else")
    with run(state) as engine, pytest.raises(grpc.RpcError) as caught:
        engine.create(BUCKET, "b", {"bucket": "made-by-somebody-else"})
    assert "BucketAlreadyOwnedByYou" in details(caught.value)


def test_a_create_that_was_cut_short_is_taken_up_again(state: Path) -> None:
    inputs = {"cidrBlock": "10.4.0.0/16"}
    with run(state) as engine:
        first = engine.create(VPC, "again", inputs)
    with run(state) as engine:  # the engine never wrote it down
        again = engine.create(VPC, "again", {**inputs, "enableDnsHostnames": True})
        assert again.id == first.id
        assert again.outputs["enableDnsHostnames"] is True
        other = engine.create(VPC, "another", inputs)
        assert other.id != first.id


def test_a_replacement_under_the_same_urn_is_another_thing(state: Path) -> None:
    with run(state) as engine:
        old = engine.create(VPC, "moved", {"cidrBlock": "10.5.0.0/16"})
        engine.diff(old, {"cidrBlock": "10.6.0.0/16"})
        new = engine.create(VPC, "moved", {"cidrBlock": "10.6.0.0/16"})
        assert new.id != old.id
        engine.delete(old)
        assert engine.read(new) is not None


def test_roles_with_policies_and_profiles(state: Path) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    with run(state) as engine:
        role = engine.create(ROLE, "r", {"name": "nodes", "assumeRolePolicy": trust("ec2.amazonaws.com")})
        inline = engine.create(ROLE_POLICY, "p", {"role": "nodes", "name": "read", "policy": json.dumps(policy)})
        attached = engine.create(ATTACHMENT, "a", {"role": "nodes", "policyArn": EKS_POLICY})
        profile = engine.create(PROFILE, "i", {"name": "nodes", "role": "nodes"})
        assert role.outputs["arn"] == f"arn:aws:iam::{ACCOUNT}:role/nodes"
        assert inline.id == "nodes:read"
        [held] = api(state, "iam").get_instance_profile(InstanceProfileName="nodes")["InstanceProfile"]["Roles"]
        assert held["Arn"] == role.outputs["arn"]
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(role)
        assert "DeleteConflict" in details(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(ATTACHMENT, "b", {"role": "nodes", "policyArn": "arn:aws:iam::aws:policy/AmazonEKSCluster"})
        assert "NoSuchEntity" in details(caught.value)
        malformed = {"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps", "Action": "s3:GetObject"}]}
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(ROLE_POLICY, "m", {"role": "nodes", "name": "m", "policy": json.dumps(malformed)})
        assert "MalformedPolicyDocument" in details(caught.value)
        for made in (profile, attached, inline, role):
            engine.delete(made)
            assert engine.read(made) is None


def test_a_bucket_with_versions_goes_only_where_that_is_forced(state: Path) -> None:
    with run(state) as engine:
        bucket = engine.create(BUCKET, "m", {"bucket": "models-1"})
        part = "aws:s3/bucketVersioning:BucketVersioning"
        engine.create(part, "m", {"bucket": bucket.id, "versioningConfiguration": {"status": "Enabled"}})
        client = api(state, "s3")
        client.put_object(Bucket="models-1", Key="llama/config.json", Body=b"{}")
        client.delete_object(Bucket="models-1", Key="llama/config.json")
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(bucket)
        assert "BucketNotEmpty" in details(caught.value)
        forced = engine.update(bucket, {"bucket": "models-1", "forceDestroy": True})
        engine.delete(forced)
        assert [each["Name"] for each in client.list_buckets()["Buckets"] if each["Name"] == "models-1"] == []


def test_settings_of_a_bucket_that_is_not_there_are_refused(state: Path) -> None:
    with run(state) as engine, pytest.raises(grpc.RpcError) as caught:
        engine.create("aws:s3/bucketPolicy:BucketPolicy", "p", {"bucket": "nowhere-1", "policy": "{}"})
    assert "NoSuchBucket" in details(caught.value)


def test_the_url_of_a_queue_is_that_of_aws_and_its_messages_are_motos(state: Path) -> None:
    with run(state) as engine:
        queue = engine.create(QUEUE, "q", {"name": "interruptions", "messageRetentionSeconds": 300})
    assert queue.id == queue.outputs["url"] == f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/interruptions"
    client = api(state, "sqs")
    url = client.get_queue_url(QueueName="interruptions")["QueueUrl"]
    assert (
        client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["MessageRetentionPeriod"]
        == "300"
    )


def test_a_placement_group_is_ec2s_own(state: Path) -> None:
    with run(state) as engine:
        inputs = {"name": "near", "strategy": "cluster", "tags": {"team": "chat"}}
        made = engine.create("aws:ec2/placementGroup:PlacementGroup", "near", inputs)
        [found] = api(state, "ec2").describe_placement_groups(GroupNames=["near"])["PlacementGroups"]
        assert found["GroupId"] == made.outputs["placementGroupId"]
        assert (found["Strategy"], found["GroupArn"]) == ("cluster", made.outputs["arn"])
        assert {"Key": "team", "Value": "chat"} in found["Tags"]
        engine.delete(made)
    with pytest.raises(ClientError, match=r"InvalidPlacementGroup\.Unknown"):
        api(state, "ec2").describe_placement_groups(GroupNames=["near"])


def test_secrets_stay_secret_in_outputs_and_are_not_in_the_plugins_records(state: Path) -> None:
    with run(state) as engine:
        made = engine.create(KEY, "secret", {"description": Secret("hunter2-of-the-key")})
    assert made.outputs["description"] == Secret("hunter2-of-the-key")
    for path in (state / "clouds" / "aws" / ACCOUNT / REGION).rglob("*"):
        assert path.is_dir() or b"hunter2-of-the-key" not in path.read_bytes()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("quota", "VcpuLimitExceeded"),
        ("permission-denied", "is not authorized to perform: eks:CreateNodeGroup"),
        ("rate-limit", "Throttling: Rate exceeded"),
        ("timeout", "context deadline exceeded"),
    ],
)
def test_faults_speak_as_aws_does(tmp_path: Path, fault: str, words: str) -> None:
    token = "aws:eks/nodeGroup:NodeGroup"
    plan = tmp_path / "faults.yaml"
    plan.write_text(f"- {{type: '{token}', operation: create, fault: {fault}}}\n")
    faults = FaultPlan.of(StateFolder(tmp_path), {})
    faults.check()
    drawn = faults.draw(token, "system", "create")
    assert drawn is not None
    with pytest.raises(InjectedFaultError, match=words):
        drawn.strike("aws", token, "system", "create", {"nodeGroupName": "system"})


def test_a_type_of_a_fault_that_the_local_aws_lacks_is_refused(tmp_path: Path) -> None:
    from llm_serving.errors import ProblemsError

    plan = tmp_path / "faults.yaml"
    plan.write_text("- {type: 'aws:eks/nodeGroups:NodeGroup', operation: create, fault: quota}\n")
    with pytest.raises(ProblemsError, match="aws:eks/nodeGroup:NodeGroup"):
        FaultPlan.of(StateFolder(tmp_path), {}).check()
