import json
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.aws import AwsWorkloadIdentity, policies
from llm_serving.cloud.aws.names import role_name
from tests.unit.cloud.aws.environment import ACCOUNT, CLUSTER_ARN, OUTPUTS, REGION, identity, registry
from tests.unit.recording import Recorded, record

REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"


def document(resource: Recorded, field: str = "policy") -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(resource[field])
    return policy


def test_nodes_pull_from_the_registry_that_is_there_and_nothing_is_made() -> None:
    recording = registry("prod-nodes", "prod-node-groups")
    grants = recording.all("RolePolicy")
    assert [grant["role"] for grant in grants] == ["prod-nodes", "prod-node-groups"]
    assert all(document(grant) == policies.pull_images([f"{REPOSITORY}/llm-serving/*"]) for grant in grants)
    assert recording.all("ecr/repository:Repository") == []
    assert recording.output("repositoryUrl") == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/llm-serving"


def test_nodes_fill_a_pull_through_rules_repositories_and_no_others() -> None:
    (grant,) = registry("prod-nodes", pull_through="docker-hub").all("RolePolicy")
    making = [s for s in document(grant)["Statement"] if "ecr:CreateRepository" in s["Action"]]
    assert [statement["Resource"] for statement in making] == [[f"{REPOSITORY}/docker-hub/*"]]


def test_tags_of_a_repository_never_move_and_images_are_scanned() -> None:
    recording = registry(create=["model-loader", "vllm-cpu"])
    repositories = recording.all("ecr/repository:Repository")
    assert [each["name"] for each in repositories] == ["llm-serving/model-loader", "llm-serving/vllm-cpu"]
    for each in repositories:
        assert each["imageTagMutability"] == "IMMUTABLE"
        assert each["imageScanningConfiguration"] == {"scanOnPush": True}


def test_cleaning_up_spares_tagged_images() -> None:
    (rule,) = document(registry(create=["model-loader"]).one("LifecyclePolicy"))["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"


def test_pods_of_one_service_account_alone_may_take_the_role() -> None:
    recording = identity()
    role = recording.one("iam/role:Role")
    assert role["name"] == role_name(REGION, "prod", "chat", "qwen3-8b")
    assert document(role, "assumeRolePolicy") == policies.trust_of_pods(CLUSTER_ARN, "chat", "qwen3-8b")
    association = recording.one("PodIdentityAssociation")
    assert [association[key] for key in ("clusterName", "namespace", "serviceAccount", "roleArn")] == [
        "prod",
        "chat",
        "qwen3-8b",
        recording.output("roleArn"),
    ]


@pytest.mark.parametrize(("access", "rights"), [("reader", policies.read_weights), ("writer", policies.write_weights)])
def test_a_workload_has_rights_on_one_bucket_and_its_key(access: str, rights: Any) -> None:
    recording = identity(role=access)
    (grant,) = recording.all("RolePolicy")
    assert document(grant) == rights("arn:aws:s3:::weights", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1")
    assert recording.all("RolePolicyAttachment") == []


def test_binding_needs_no_annotation() -> None:
    assert identity().output("binding") == {
        "serviceAccount": "qwen3-8b",
        "namespace": "chat",
        "annotations": {},
        "podLabels": {},
    }


def test_whoever_runs_with_an_identity_finds_it_in_force() -> None:
    def program() -> None:
        ours = AwsWorkloadIdentity(
            "identity",
            {
                "region": REGION, "name": "prod", "cluster_name": "prod", "cluster_arn": CLUSTER_ARN,
                "namespace": "chat", "service_account": "qwen3-8b", "bucket_arn": "arn:aws:s3:::weights",
                "key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
            },
        )  # fmt: skip
        aws.ssm.Parameter("later", type="String", value=ours.binding.apply(json.dumps))

    recording = record(program, outputs=OUTPUTS)
    later = recording.one(name="later")
    assert all(recording.depends_on(later, recording.one(kind)) for kind in ("PodIdentityAssociation", "RolePolicy"))


@pytest.mark.parametrize(
    ("args", "path"),
    [({"role": "owner"}, "role"), ({"namespace": "Team_A"}, "namespace"), ({"region": "us-east-1a"}, "region")],
)
def test_wrong_arguments_of_an_identity_are_refused_with_their_path(args: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        identity(**args)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]


@pytest.mark.parametrize(
    ("args", "path"), [({"account": "12"}, "account"), ({"create": ["a/b"]}, "create[0]"), ({"name": "A"}, "name")]
)
def test_wrong_arguments_of_a_registry_are_refused_with_their_path(args: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        registry(**args)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]
