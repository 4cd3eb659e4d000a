"""The whole program of stack prod-aws against a recording engine."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llm_serving.cloud.aws.names import role_name
from llm_serving.serving.labels import COMPONENT_ENGINE
from local.providers.schema import Sdk, check
from stacks.outputs import read_outputs
from tests.unit.cloud.aws.outputs import S3_RANGES
from tests.unit.cloud.aws.policy_lint import actions, findings
from tests.unit.infra.test_program import LOADER, Run, run
from tests.unit.recording import Recorded
from tests.unit.stacks.settings_files import data_with_gateway, put

GOLDEN = Path(__file__).parent / "golden/prod-aws.txt"
DOCUMENTS = {
    "iam/role:Role": "assumeRolePolicy",
    "iam/rolePolicy:RolePolicy": "policy",
    "s3/bucketPolicy:BucketPolicy": "policy",
    "sqs/queuePolicy:QueuePolicy": "policy",
}


def settings() -> dict[str, Any]:
    return {**data_with_gateway("prod-aws"), "loader": LOADER}


@cache
def prod() -> Run:
    # Made passwords would differ from run to run.
    return run(settings(), {"redisLimitsPassword": "hunter2", "redisCachePassword": "hunter3"})


def resources(kind: str) -> list[Recorded]:
    return prod().recording.all(kind)


def pods(recorded: Run) -> list[tuple[Recorded, dict[str, Any]]]:
    kinds = ("kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job")
    return [(r, r["spec.template.spec"]) for kind in kinds for r in recorded.recording.all(kind)]


def is_engine(resource: Recorded) -> bool:
    return resource.type.endswith(":Deployment") and COMPONENT_ENGINE in resource["metadata.labels"].values()


def test_the_plan_is_what_was_reviewed() -> None:
    """A change of the golden file is read in review. UPDATE_GOLDEN=1 writes it anew."""
    plan = "\n".join(sorted(f"{resource.type}  {resource.name}" for resource in prod().recording)) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(plan)
    assert plan == GOLDEN.read_text(), "the plan of prod-aws differs from its golden file; see UPDATE_GOLDEN"


def test_aws_sdk_knows_every_input_at_any_depth() -> None:
    sdk = Sdk("pulumi_aws")
    made = [resource for resource in prod().recording if resource.type.startswith("aws:")]
    assert len(made) > 50
    for resource in made:
        known = sdk.resource(resource.type)
        assert known is not None, resource.type
        mistakes, warnings = check(known.inputs, resource.inputs)
        assert (list(mistakes), list(warnings)) == ([], []), resource.urn


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [
        (resource.urn, json.loads(resource[field])) for kind, field in DOCUMENTS.items() for resource in resources(kind)
    ]


def test_no_right_of_the_stack_is_wider_than_its_linter_allows() -> None:
    for urn, document in documents():
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                assert not [action for action in actions(statement) if "*" in action], urn
    for policy in resources("iam/rolePolicy:RolePolicy"):
        unknown = [finding for finding in findings(json.loads(policy["policy"])) if "MISMATCH" not in finding]
        assert unknown == [], policy.urn


def test_one_role_alone_passes_roles_and_only_that_of_the_nodes_to_ec2() -> None:
    passing = [
        statement
        for _, document in documents()
        for statement in document["Statement"]
        if "iam:PassRole" in actions(statement)
    ]
    assert [statement["Resource"] for statement in passing] == [
        [f"arn:aws:iam::012345678901:role/{role_name('us-east-1', 'llm-prod', 'nodes')}"]
    ]
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_credentials_of_another_account_make_nothing() -> None:
    provider = prod().recording.one("pulumi:providers:aws")
    assert json.loads(provider["allowedAccountIds"]) == [settings()["account"]]
    assert all(resource.provider for resource in prod().recording if resource.type.startswith("aws:"))


def test_pods_reach_the_agent_that_gives_them_their_role_and_s3_and_no_other_address_of_aws() -> None:
    policies = [p for p in resources("NetworkPolicy") if p["metadata.name"] == "cloud"]
    assert {policy["metadata.namespace"] for policy in policies} == {"chat", "reasoning"}
    for policy in policies:
        reached = {
            rule["ports"][0]["port"]: sorted(peer["ipBlock"]["cidr"] for peer in rule["to"])
            for rule in policy["spec.egress"]
        }
        assert reached == {80: ["169.254.170.23/32"], 443: sorted(S3_RANGES)}


def test_engines_read_the_bucket_and_compile_jobs_write_it_each_as_itself() -> None:
    claims = {claim["metadata.name"]: claim for claim in resources("PersistentVolumeClaim")}
    engines = [(r, spec) for r, spec in pods(prod()) if is_engine(r) and "volumes" in spec]
    assert len([r for r, _ in engines]) >= 2
    for engine, spec in engines:
        mounted = [v["persistentVolumeClaim"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
        assert [volume["readOnly"] for volume in mounted] == [True], engine.urn
        assert claims[mounted[0]["claimName"]]["spec.accessModes"] == ["ReadOnlyMany"]
    jobs = [(r, spec) for r, spec in pods(prod()) if r.name.endswith("-compile")]
    assert len(jobs) == 2
    for _, spec in jobs:
        writing = [
            v["persistentVolumeClaim"]["claimName"]
            for v in spec["volumes"]
            if "persistentVolumeClaim" in v and not v["persistentVolumeClaim"].get("readOnly")
        ]
        assert [claims[name]["spec.accessModes"] for name in writing] == [["ReadWriteMany"]]


def test_loaders_write_to_the_bucket_itself() -> None:
    jobs = [r for r in resources("kubernetes:batch/v1:Job") if r.name.endswith("-load")]
    assert jobs
    for job in jobs:
        command = job["spec.template.spec.containers[0].command"]
        assert [word for word in command if word.startswith("--target=s3://111122223333-llm-prod-us-east-1/")]


def test_readers_and_writers_of_the_weights_have_roles_of_their_own() -> None:
    rights = {
        association["serviceAccount"]: json.loads(prod().recording.one("RolePolicy", association.name)["policy"])
        for association in resources("PodIdentityAssociation")
        if association["namespace"] in ("chat", "reasoning")
    }
    assert set(rights) == {"qwen3-8b", "qwen3-32b", "model-loader"}
    writing = {
        account
        for account, document in rights.items()
        if any("s3:PutObject" in actions(statement) for statement in document["Statement"])
    }
    assert writing == {"model-loader"}


def test_viewers_and_editors_of_teams_enter_the_cluster() -> None:
    entries = {
        entry["principalArn"]: entry["kubernetesGroups"]
        for entry in resources("eks/accessEntry:AccessEntry")
        if entry["type"] == "STANDARD" and entry["kubernetesGroups"]
    }
    principals = {p for team in settings()["teams"] for p in (*team["viewers"], *team["editors"])}
    assert entries == {principal: [principal] for principal in principals}
    bound = {
        subject["name"] for binding in resources("RoleBinding") for subject in binding["subjects"] if "kind" in subject
    }
    assert principals <= bound


def test_nodes_of_both_kinds_pull_from_the_registry_that_all_environments_share() -> None:
    recording = prod().recording
    grants = [r for r in recording.all("RolePolicy") if "-reader-" in r.name]
    assert len(grants) == 2
    for grant in grants:
        assert "arn:aws:ecr:us-east-1:111122220000:repository/llm-serving/*" in grant["policy"]
        assert "arn:aws:ecr:us-east-1:111122220000:repository/docker-hub/*" in grant["policy"]


def test_models_go_before_the_nodes_that_they_run_on_and_nodes_before_what_removes_them() -> None:
    recording = prod().recording
    node_pools = recording.all("kubernetes:karpenter.sh/v1:NodePool")
    karpenter = recording.one("kubernetes:helm.sh/v3:Release", "llm-prod-karpenter")
    deployments = recording.all("kubernetes:apps/v1:Deployment")
    assert len(node_pools) >= 5  # two entries of each pool, and system
    assert deployments
    for deployment in deployments:
        # A component goes after its children, and what it depends on after the component.
        component = recording.by_urn(deployment.parent)
        assert all(recording.depends_on(component, pool) for pool in node_pools), component.urn
    assert all(recording.depends_on(pool, karpenter) for pool in node_pools)
    provisioner = recording.by_urn(karpenter.parent)
    assert recording.depends_on(provisioner, recording.one("eks/nodeGroup:NodeGroup"))


def test_what_it_puts_out_can_be_read() -> None:
    outputs = read_outputs(prod().outputs)
    assert outputs.to_data() == prod().outputs
    assert outputs.cluster is not None
    assert (outputs.cluster.name, outputs.cluster.location) == ("llm-prod", "us-east-1")
    assert list(outputs.pools or {}) == ["a100-80", "h100"]
    assert outputs.model_cache == "s3://111122223333-llm-prod-us-east-1"


def test_a_preview_comes_through_although_nothing_exists_yet() -> None:
    assert run(settings(), preview=True).recording.resources


def test_a_pool_of_managed_node_groups_needs_no_node_pool() -> None:
    changed = settings()
    put(changed, "pools[1].provisioner", "node-group")
    put(changed, "pools[1].capacity", [{"market": "on-demand", "machineType": "p5.48xlarge", "min": 2, "max": 2}])
    recording = run(changed).recording
    (group,) = [g for g in recording.all("eks/nodeGroup:NodeGroup") if not g["nodeGroupName"].startswith("system-")]
    assert group["scalingConfig"]["desiredSize"] == 2
    role = role_name("us-east-1", "llm-prod", "node-groups")
    assert group["nodeRoleArn"].endswith(f"/{role}")
    named = [pool["metadata.name"] for pool in recording.all("kubernetes:karpenter.sh/v1:NodePool")]
    assert not [name for name in named if name.startswith("h100")]


@pytest.mark.parametrize("key", ["account", "region", "cluster.name", "network.vpc"])
def test_what_is_fixed_for_the_life_of_a_stack_is_put_out(key: str) -> None:
    assert key in prod().outputs["fixed"]
