"""prod-aws from nothing to nothing, with the real Karpenter: up, an empty preview, destroy, and nothing that is left.

One stack is brought up once for all of its tests: they run in the order in which they stand.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.local_stack import LocalStack

ACCOUNT, REGION = "111122223333", "us-east-1"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path_factory.mktemp("prod-aws"), "prod-aws")
    stack.change(allow_removal)
    yield stack
    stack.close()
    for api in stack.runner.state.aws_apis():
        api.stop()


def allow_removal(settings: dict[str, Any]) -> None:
    settings["cluster"]["deletionProtection"] = False
    settings["modelCache"] = {"forceDestroy": True}


def account(stack: LocalStack, service: str) -> Any:
    """A client of the stack's account."""
    api = stack.runner.state.aws_api(ACCOUNT)
    api.start()
    return api.client(service, REGION)


def test_a_preview_starts_neither_a_cluster_nor_the_accounts_api(stack: LocalStack) -> None:
    done, steps = stack.preview()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {"create Vpc llm-prod", "create Cluster llm-prod"} <= {str(step) for step in steps}
    assert stack.runner.state.aws_apis() == []
    assert stack.runner.state.control_planes() == {}


def test_up_ends_with_every_model_ready_on_machines_of_karpenter(stack: LocalStack) -> None:
    done = stack.up()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    kubernetes = stack.kubernetes()
    claims = kubernetes.list("karpenter.sh/v1", "NodeClaim")
    of_karpenter = {claim["status"]["nodeName"] for claim in claims}
    running = {
        instance["PrivateDnsName"]
        for reservation in account(stack, "ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] == "running"
    }
    assert of_karpenter <= running
    pods = kubernetes.list("v1", "Pod", labels="app.kubernetes.io/component=engine")
    assert len(pods) == 7
    for pod in pods:
        conditions = {each["type"]: each["status"] for each in pod["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert pod["spec"]["nodeName"] in of_karpenter


def test_a_second_preview_changes_nothing(stack: LocalStack) -> None:
    done, steps = stack.preview()
    assert done.returncode == 0, done.stderr[-3000:]
    assert [str(step) for step in steps if step.op != "same"] == []


def test_destroy_leaves_nothing_in_the_account_and_no_process(stack: LocalStack) -> None:
    done = stack.destroy()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert stack.runner.state.control_planes() == {}
    ec2 = account(stack, "ec2")
    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    instances = [each for part in ec2.describe_instances()["Reservations"] for each in part["Instances"]]
    assert {each["State"]["Name"] for each in instances} <= {"terminated"}
    iam = account(stack, "iam")
    assert iam.list_roles()["Roles"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert account(stack, "s3").list_buckets()["Buckets"] == []
    assert account(stack, "sqs").list_queues().get("QueueUrls") is None
    assert account(stack, "eks").list_clusters()["clusters"] == []
