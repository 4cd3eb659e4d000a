"""Policies give what they are for and no more; AWS's own list of actions knows all that they name (parliament)."""

import inspect
import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from llm_serving_load.stores import s3

from llm_serving.cloud.aws import policies
from tests.unit.cloud.aws.policy_lint import EXPLAINED, actions, findings, known_actions

ACCOUNT, REGION = "012345678901", "us-east-1"
BUCKET = "arn:aws:s3:::012345678901-prod-us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
CLUSTER = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:prod-interruptions"
NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-nodes"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/prod-nodes"

IDENTITY_POLICIES = {
    "read_weights": policies.read_weights(BUCKET, KEY),
    "read_weights of one folder": policies.read_weights(BUCKET, KEY, "qwen3-8b/"),
    "write_weights": policies.write_weights(BUCKET, KEY),
    "node": policies.node(CLUSTER, [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/llm-serving/*"]),
    "pull_images": policies.pull_images(
        [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/llm-serving/*"],
        [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/docker-hub/*"],
    ),
    "write_flow_logs": policies.write_flow_logs(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/llm-serving/prod/flows"),
    "karpenter": policies.karpenter("aws", REGION, ACCOUNT, "prod", NODE_ROLE, PROFILE, QUEUE),
}
RESOURCE_POLICIES = {
    "bucket": policies.bucket(BUCKET, ACCOUNT),
    "interruption_queue": policies.interruption_queue(QUEUE, [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/prod-spot"]),
    "trust_of_pods": policies.trust_of_pods(CLUSTER, "chat", "qwen3-8b"),
    "trust_of_service": policies.trust_of_service("ec2.amazonaws.com"),
}
every_policy = pytest.mark.parametrize("name", [*IDENTITY_POLICIES, *RESOURCE_POLICIES])


def document(name: str) -> dict[str, Any]:
    return {**IDENTITY_POLICIES, **RESOURCE_POLICIES}[name]


def statements(name: str) -> list[dict[str, Any]]:
    return document(name)["Statement"]


@pytest.mark.parametrize("name", IDENTITY_POLICIES)
def test_aws_knows_every_action_and_condition(name: str) -> None:
    assert [finding for finding in findings(document(name)) if not finding.startswith("RESOURCE_MISMATCH")] == []


@pytest.mark.parametrize("name", IDENTITY_POLICIES)
def test_every_action_has_all_the_resources_that_it_needs(name: str) -> None:
    """Of all statements together: a launch needs rights on what it uses and what it makes, under other conditions."""
    resources: dict[str, list[str]] = {}
    for statement in statements(name):
        for action in actions(statement):
            resources.setdefault(action, []).extend(statement["Resource"])
    for action, named in resources.items():
        policy = {"Version": policies.VERSION, "Statement": [{"Effect": "Allow", "Action": action, "Resource": named}]}
        assert action in EXPLAINED or findings(policy) == [], action


def test_the_linter_finds_what_is_wrong() -> None:
    policy = policies.read_weights(BUCKET, KEY)
    policy["Statement"][0] = {"Effect": "Allow", "Action": ["s3:ListBuckett"], "Resource": [BUCKET]}
    assert "UNKNOWN_ACTION" in findings(policy)[0]
    policy["Statement"][0] = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [QUEUE]}
    assert "RESOURCE_MISMATCH" in findings(policy)[0]


@every_policy
def test_no_policy_allows_an_action_with_a_star(name: str) -> None:
    allowing = [statement for statement in statements(name) if statement["Effect"] == "Allow"]
    assert not [action for statement in allowing for action in actions(statement) if "*" in action]


@every_policy
def test_a_resource_is_everything_only_where_the_action_knows_none(name: str) -> None:
    for statement in statements(name):
        if "*" in statement.get("Resource", []):
            assert set(actions(statement)) <= policies.WITHOUT_RESOURCES
            assert statement["Resource"] == ["*"]


@every_policy
def test_a_role_that_may_be_passed_is_named_and_so_is_the_service(name: str) -> None:
    for statement in statements(name):
        if "iam:PassRole" in actions(statement):
            assert not any("*" in resource for resource in statement["Resource"])
            assert "*" not in statement["Condition"]["StringEquals"]["iam:PassedToService"]


@pytest.mark.parametrize("action", sorted(policies.WITHOUT_RESOURCES))
def test_actions_on_everything_take_no_resource(action: str) -> None:
    privilege = known_actions()[action]
    assert {kind["resource_type"].rstrip("*") for kind in privilege["resource_types"]} == {""}


@pytest.mark.parametrize("name", IDENTITY_POLICIES)
def test_a_policy_fits_into_a_managed_one(name: str) -> None:
    """6,144 characters without white space (IAM documentation, "IAM and AWS STS quotas")."""
    assert len(json.dumps(document(name), separators=(",", ":"))) <= 6144


def test_a_model_cannot_change_weights_and_a_loader_can() -> None:
    reading = {action for statement in statements("read_weights") for action in actions(statement)}
    writing = {action for statement in statements("write_weights") for action in actions(statement)}
    assert reading == {"s3:ListBucket", "s3:GetObject", "kms:Decrypt"}
    assert writing - reading == {
        "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads",
        "kms:GenerateDataKey",
    }  # fmt: skip


def test_the_rights_of_a_loader_are_those_that_the_loader_names_when_one_is_missing() -> None:
    message = inspect.getsource(s3)
    asked = set(re.findall(r"s3:[A-Z][A-Za-z]+", message))
    writing = {action for statement in statements("write_weights") for action in actions(statement)}
    assert {action for action in writing if action.startswith("s3:")} == asked


def test_a_bucket_lets_nobody_in_without_tls_or_from_another_account() -> None:
    without_tls, others = statements("bucket")
    assert without_tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert others["Condition"]["StringNotEquals"] == {"aws:PrincipalAccount": ACCOUNT}
    assert {statement["Effect"] for statement in statements("bucket")} == {"Deny"}
    assert without_tls["Resource"] == others["Resource"] == [BUCKET, f"{BUCKET}/*"]


def test_a_model_of_one_folder_sees_no_other() -> None:
    listing, reading, _ = statements("read_weights of one folder")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["qwen3-8b/*"]}}
    assert reading["Resource"] == [f"{BUCKET}/qwen3-8b/*"]


def test_karpenter_passes_the_nodes_role_to_ec2_alone() -> None:
    (passing,) = [s for s in statements("karpenter") if "iam:PassRole" in s["Action"]]
    assert passing["Resource"] == [NODE_ROLE]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_karpenter_ends_and_tags_nothing_of_another_cluster() -> None:
    for statement in statements("karpenter"):
        changing = {"ec2:TerminateInstances", "ec2:DeleteLaunchTemplate", "ec2:CreateTags", "ec2:CreateLaunchTemplate"}
        if changing & set(statement["Action"]):
            tags = statement["Condition"]["StringEquals"]
            assert "owned" in [
                tags.get(f"aws:{whose}Tag/kubernetes.io/cluster/prod") for whose in ("Resource", "Request")
            ]


def test_karpenter_changes_no_identity() -> None:
    listed = {action for statement in statements("karpenter") for action in actions(statement)}
    assert {action for action in listed if action.startswith("iam:")} == {
        "iam:PassRole", "iam:GetInstanceProfile", "iam:ListInstanceProfiles",
    }  # fmt: skip


def test_karpenter_is_told_that_a_node_class_has_no_profile_of_its_own_left() -> None:
    """It asks for the name that a release before 1.0 gave: the cluster's, ``_`` and a number."""
    (asking,) = [s for s in statements("karpenter") if "iam:GetInstanceProfile" in s["Action"]]
    asked = f"arn:aws:iam::{ACCOUNT}:instance-profile/prod_15403273042423432168"
    assert any(fnmatchcase(asked, pattern) for pattern in asking["Resource"])
    assert not any(fnmatchcase(f"arn:aws:iam::{ACCOUNT}:instance-profile/other", p) for p in asking["Resource"])


def test_pods_of_another_account_or_namespace_cannot_take_a_role() -> None:
    (trust,) = statements("trust_of_pods")
    assert trust["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": CLUSTER,
        "aws:RequestTag/kubernetes-namespace": "chat",
        "aws:RequestTag/kubernetes-service-account": "qwen3-8b",
    }


def test_notices_come_from_our_rules_alone() -> None:
    sending, refusing = statements("interruption_queue")
    assert sending["Principal"] == {"Service": "events.amazonaws.com"}
    assert sending["Condition"]["ArnEquals"] == {"aws:SourceArn": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/prod-spot"]}
    assert refusing["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
