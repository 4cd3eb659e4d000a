"""The script that prepares an AWS account makes what is missing, leaves what is there, and calls what AWS knows."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

SCRIPT = Path(__file__).resolve().parents[3] / "tools/aws/prepare-account.sh"
ROOT = SCRIPT.parents[2]
OURS = {
    line.split("/llm-serving/")[1]
    for line in (ROOT / "stacks/releases/images.lock.yaml").read_text().splitlines()
    if "/llm-serving/" in line
}
"""Our own images."""
ACCOUNT = "111122223333"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecr-pullthroughcache/docker-hub-AbCdEf"
EVERYTHING = ("--accounts", "444455556666,777788889999", "--docker-hub-secret", SECRET)

# A stand-in for the AWS CLI: writes down its calls, and what asks for something finds what was created before.
AWS = r"""#!/bin/sh
printf '%s\037' "$@" >> "$CALLS"
printf '\n' >> "$CALLS"
there() { [ -e "$THERE/$1" ]; }
make() { touch "$THERE/$1"; }
case "$1 $2" in
  "sts get-caller-identity") echo 111122223333 ;;
  "s3api head-bucket") there bucket ;;
  "s3api create-bucket") make bucket ;;
  "kms describe-key") there key ;;
  "kms create-key") echo 11111111-2222-3333-4444-555555555555 ;;
  "kms create-alias") make key ;;
  "ecr describe-repositories")
    if [ "$3" = --output ]; then ! there cached || echo docker-hub/vllm/vllm-openai
    else there "repository-${4##*/}"; fi ;;
  "ecr create-repository") make "repository-${4##*/}" ;;
  "ecr describe-pull-through-cache-rules") ! there rule || echo rule ;;
  "ecr create-pull-through-cache-rule") make rule ;;
  "ecr describe-repository-creation-templates") ! there template || echo template ;;
  "ecr create-repository-creation-template") make template ;;
  "ecr get-registry-policy") there policy ;;
  "ecr put-registry-policy") make policy ;;
  "iam get-role") there role ;;
  "iam create-service-linked-role") make role ;;
esac
"""
GLOBAL_OPTIONS = {"--query", "--output"}
PROGRAMS = ("sh", "cat", "touch", "tr")
"""Nothing else is found: not a real AWS CLI."""


def run(folder: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    calls = folder / "calls"
    calls.write_text("")
    for tool in PROGRAMS:
        with contextlib.suppress(FileExistsError):
            (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    env = {"PATH": str(folder / "bin"), "CALLS": str(calls), "THERE": str(folder), "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(["/bin/sh", str(SCRIPT), *args], env=env, capture_output=True, text=True, check=False)
    return done, [line.split("\037")[:-1] for line in calls.read_text().splitlines()]


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/aws"
    program.write_text(AWS)
    program.chmod(0o755)
    return tmp_path


def options(call: list[str]) -> dict[str, str]:
    words = call[2:]
    return {word: words[index + 1] for index, word in enumerate(words) if word.startswith("--")}


def called(calls: list[list[str]], operation: str) -> list[dict[str, str]]:
    return [options(call) for call in calls if call[1] == operation]


@cache
def service(name: str) -> Any:
    return botocore.session.get_session().get_service_model("s3" if name == "s3api" else name)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_aws_knows_every_call_and_option(cli: Path, region: str) -> None:
    done, calls = run(cli, region, *EVERYTHING)
    assert done.returncode == 0, done.stderr
    again, more = run(cli, region, *EVERYTHING)
    assert again.returncode == 0, again.stderr
    for call in calls + more:
        operations = {xform_name(name, "-"): name for name in service(call[0]).operation_names}
        assert call[1] in operations, call
        shape = service(call[0]).operation_model(operations[call[1]]).input_shape
        members = {f"--{xform_name(name, '-')}" for name in (shape.members if shape else ())}
        required = {f"--{xform_name(name, '-')}" for name in (shape.required_members if shape else ())}
        given = set(options(call)) - GLOBAL_OPTIONS
        assert given <= members, call
        assert required <= given, call


def test_a_second_run_creates_nothing(cli: Path) -> None:
    _, first = run(cli, "us-east-1", *EVERYTHING)
    # Bucket, key and its alias, pull-through rule with its template, and the role of Spot instances.
    assert sum(call[1].startswith("create-") for call in first) == len(OURS) + 6
    assert not [call for call in first if call[1].startswith("update-")]
    second, calls = run(cli, "us-east-1", *EVERYTHING)
    assert second.returncode == 0, second.stderr
    assert not [call for call in calls if call[1].startswith(("create-", "put-registry"))]


def test_a_later_run_lets_more_accounts_pull_what_comes_and_what_is_cached_already_with_another_login(
    cli: Path,
) -> None:
    run(cli, "us-east-1", "--accounts", "444455556666", "--docker-hub-secret", SECRET)
    (cli / "cached").touch()
    done, calls = run(cli, "us-east-1", *EVERYTHING[:2], "--docker-hub-secret", f"{SECRET}2")
    assert done.returncode == 0, done.stderr
    (rule,) = called(calls, "update-pull-through-cache-rule")
    assert rule == {"--ecr-repository-prefix": "docker-hub", "--credential-arn": f"{SECRET}2"}
    (template,) = called(calls, "update-repository-creation-template")
    policies = {call["--repository-name"]: call["--policy-text"] for call in called(calls, "set-repository-policy")}
    for document in (template["--repository-policy"], policies["docker-hub/vllm/vllm-openai"]):
        (statement,) = json.loads(document)["Statement"]
        assert statement["Principal"]["AWS"] == ["arn:aws:iam::444455556666:root", "arn:aws:iam::777788889999:root"]


def test_the_state_bucket_is_private_and_keeps_versions(cli: Path) -> None:
    _, calls = run(cli, "us-east-1", "--bucket", "my-state")
    (create,) = called(calls, "create-bucket")
    assert create["--bucket"] == "my-state"
    assert "--create-bucket-configuration" not in create
    (block,) = called(calls, "put-public-access-block")
    assert block["--public-access-block-configuration"].count("=true") == 4
    (versions,) = called(calls, "put-bucket-versioning")
    assert versions["--versioning-configuration"] == "Status=Enabled"


def test_a_bucket_elsewhere_than_in_the_first_region_names_its_region(cli: Path) -> None:
    _, calls = run(cli, "eu-central-1")
    (create,) = called(calls, "create-bucket")
    assert create["--bucket"] == f"{ACCOUNT}-pulumi-state"
    assert create["--create-bucket-configuration"] == "LocationConstraint=eu-central-1"


def test_every_image_of_ours_has_a_repository_whose_tags_never_move_and_which_is_scanned(cli: Path) -> None:
    _, calls = run(cli, "us-east-1")
    made = called(calls, "create-repository")
    assert {repository["--repository-name"] for repository in made} == {f"llm-serving/{image}" for image in OURS}
    assert {repository["--image-tag-mutability"] for repository in made} == {"IMMUTABLE"}
    assert {repository["--image-scanning-configuration"] for repository in made} == {"scanOnPush=true"}
    assert called(calls, "set-repository-policy") == called(calls, "create-pull-through-cache-rule") == []


def test_other_accounts_pull_and_do_nothing_else(cli: Path) -> None:
    _, calls = run(cli, "us-east-1", *EVERYTHING)
    pulling = [json.loads(call["--policy-text"]) for call in called(calls, "set-repository-policy")]
    (template,) = called(calls, "create-repository-creation-template")
    (registry,) = called(calls, "put-registry-policy")
    filling = json.loads(registry["--policy-text"])
    for document in (*pulling, json.loads(template["--repository-policy"]), filling):
        (statement,) = document["Statement"]
        assert statement["Principal"] == {
            "AWS": ["arn:aws:iam::444455556666:root", "arn:aws:iam::777788889999:root"],
        }
    assert len(pulling) == len(OURS)
    actions = {action for document in pulling for statement in document["Statement"] for action in statement["Action"]}
    assert actions == {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    (statement,) = filling["Statement"]
    assert statement["Action"] == ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
    assert statement["Resource"] == [f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/docker-hub/*"]


def test_a_policy_of_the_registry_that_is_there_is_not_written_over(cli: Path) -> None:
    (cli / "policy").touch()
    done, calls = run(cli, "us-east-1", *EVERYTHING)
    assert called(calls, "put-registry-policy") == []
    assert "ecr:CreateRepository" in done.stdout


def test_docker_hub_is_reached_with_the_login_of_a_secret(cli: Path) -> None:
    _, calls = run(cli, "us-east-1", "--docker-hub-secret", SECRET)
    (rule,) = called(calls, "create-pull-through-cache-rule")
    assert rule == {
        "--ecr-repository-prefix": "docker-hub",
        "--upstream-registry-url": "registry-1.docker.io",
        "--credential-arn": SECRET,
    }
    assert called(calls, "put-registry-policy") == []


def test_karpenter_finds_the_role_of_spot_instances_and_disks_of_pods_are_encrypted(cli: Path) -> None:
    _, calls = run(cli, "us-east-1")
    assert called(calls, "create-service-linked-role") == [{"--aws-service-name": "spot.amazonaws.com"}]
    assert len(called(calls, "enable-ebs-encryption-by-default")) == 1


def test_it_ends_with_the_commands_to_type_next_and_every_quota_by_name(cli: Path) -> None:
    done, _ = run(cli, "eu-central-1")
    assert f'pulumi login "s3://{ACCOUNT}-pulumi-state?region=eu-central-1"' in done.stdout
    assert "awskms://alias/pulumi-state?region=eu-central-1" in done.stdout
    assert f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/llm-serving" in done.stdout
    table = ROOT / "components/llm_serving/catalog/data/quotas.csv"
    rows = csv.DictReader(line for line in table.read_text().splitlines() if not line.startswith("#"))
    for row in rows:
        if row["cloud"] == "aws":
            (line,) = [line for line in done.stdout.splitlines() if row["code"] in line]
            assert line.split("  L-")[0].strip() == row["name"]


SERVICES = {"aws:cloudwatch/eventRule": "events", "aws:cloudwatch/eventTarget": "events", "aws:cloudwatch/log": "logs"}
"""Service of AWS by the beginning of a type; any other has that of the type."""


def test_the_page_names_every_service_that_whoever_runs_pulumi_needs() -> None:
    types = {line.split()[0] for line in (ROOT / "tests/unit/infra/golden/prod-aws.txt").open()}
    services = {
        next(
            (service for start, service in SERVICES.items() if token.startswith(start)),
            token.split(":")[1].split("/")[0],
        )
        for token in types
        if token.startswith("aws:")
    }
    page = (ROOT / "docs/cloud-account.md").read_text()
    table = page.partition("### Who runs Pulumi on AWS")[2]
    named = {
        word for line in table.splitlines() if line.startswith("| `") for word in line.split("|")[1].split("`")[1::2]
    }
    assert named == services


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "usage:"),
        (("--bucket", "x"), "usage:"),
        (("us-east-1", "--bucket"), "--bucket has no value"),
        (("us-east-1", "--buckets", "x"), "--buckets: no such option"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_called(cli: Path, args: tuple[str, ...], message: str) -> None:
    done, calls = run(cli, *args)
    assert done.returncode == 1
    assert message in done.stderr
    assert calls == []


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done, _ = run(tmp_path, "us-east-1")
    assert done.returncode == 1
    assert "install the AWS CLI" in done.stderr
