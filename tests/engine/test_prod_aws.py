"""prod-aws from nothing to nothing, with the real Karpenter: a fault, up, changes, a Spot notice, destroy, and nothing
that is left.

One stack is brought up once for all of its tests: they run in the order in which they stand.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from llm_serving.contract import LABEL_MARKET, LABEL_MODEL
from tests.engine.karpenter.lab import spot_notice
from tests.engine.local_stack import LocalStack, wait_until
from tests.engine.test_environments import SECRET_WORDS

ACCOUNT, REGION = "111122223333", "us-east-1"
ON_SPOT = "qwen3-32b"
"""A model whose pool prefers Spot capacity here, which prod-aws takes last."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path_factory.mktemp("prod-aws"), "prod-aws")
    stack.change(allow_removal)
    stack.change(prefer_spot)
    yield stack
    stack.faults.unlink(missing_ok=True)
    stack.close()
    for api in stack.runner.state.aws_apis():
        api.stop()


def allow_removal(settings: dict[str, Any]) -> None:
    settings["cluster"]["deletionProtection"] = False
    settings["modelCache"] = {"forceDestroy": True}


def prefer_spot(settings: dict[str, Any]) -> None:
    settings["pools"][1]["capacity"].reverse()


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


def test_a_fault_names_the_resource_and_the_cause(stack: LocalStack) -> None:
    fault = {"type": "aws:eks/nodeGroup:NodeGroup", "operation": "create", "call": 1, "fault": "quota"}
    stack.inject(fault)
    done = stack.up()
    assert done.returncode != 0
    assert re.search(r"(?s)NodeGroup.*(VcpuLimitExceeded|vCPU)", done.stdout + done.stderr), done.stdout[-4000:]


def test_the_next_up_ends_with_every_model_ready_on_machines_of_karpenter(stack: LocalStack) -> None:
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


def test_no_secret_is_in_the_clear_in_state_or_outputs(stack: LocalStack) -> None:
    state = stack.pulumi("stack", "export", "--stack", stack.name).stdout
    token = stack.cluster().endpoint().token
    for text in (state, stack.pulumi("stack", "output", "--json", "--stack", stack.name).stdout):
        assert text
        assert token not in text
        assert not SECRET_WORDS.search(text), SECRET_WORDS.search(text)


def test_a_larger_pool_updates_its_node_pool_alone(stack: LocalStack) -> None:
    stack.change(lambda settings: settings["pools"][0]["capacity"][0].update(max=2))
    steps = stack.changes()
    stack.change(lambda settings: settings["pools"][0]["capacity"][0].update(max=1))
    assert {f"{step.op} {step.kind}" for step in steps} == {"update NodePool"}, [str(step) for step in steps]


def test_another_machine_of_the_system_takes_no_identity_and_no_gpu_node_away(stack: LocalStack) -> None:
    stack.change(lambda settings: settings["cluster"]["systemPool"].update(machineType="m7i.4xlarge"))
    steps = stack.changes()
    stack.change(lambda settings: settings["cluster"]["systemPool"].update(machineType="m7i.2xlarge"))
    groups = [step.op for step in steps if step.kind == "NodeGroup"]
    assert sorted(groups) == ["create", "delete"]
    others = {f"{step.op} {step.kind}" for step in steps if step.kind != "NodeGroup"}
    assert not [each for each in others if not each.startswith("update")], [str(step) for step in steps]


def test_another_account_is_refused(stack: LocalStack) -> None:
    stack.change(lambda settings: settings.update(account="444455556666"))
    done, _ = stack.preview()
    stack.change(lambda settings: settings.update(account=ACCOUNT))
    message = done.stdout + done.stderr
    assert done.returncode != 0
    assert "llm-serving:account" in message
    assert "fixed for the life of a stack" in message


def test_after_a_spot_notice_instances_run_on_the_next_capacity(stack: LocalStack) -> None:
    """The notice comes through the stack's own queue, and EC2 has no Spot machine any more."""
    kubernetes = stack.kubernetes()

    def markets() -> list[str]:
        """Of the nodes of the instances that are ready."""
        nodes = {node["metadata"]["name"]: node for node in kubernetes.list("v1", "Node")}
        return [
            nodes[pod["spec"]["nodeName"]]["metadata"]["labels"][LABEL_MARKET]
            for pod in kubernetes.list(
                "v1", "Pod", labels=f"app.kubernetes.io/component=engine,{LABEL_MODEL}={ON_SPOT}"
            )
            if pod["spec"].get("nodeName") in nodes
            and {"type": "Ready", "status": "True"}.items()
            <= next((each for each in pod["status"].get("conditions", []) if each["type"] == "Ready"), {}).items()
        ]

    assert markets() == ["spot"] * 4
    ec2, sqs = account(stack, "ec2"), account(stack, "sqs")
    (queue,) = sqs.list_queues()["QueueUrls"]

    def on_spot() -> list[str]:
        """Ids of the Spot machines that run."""
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        shown = ec2.describe_instances(Filters=running)["Reservations"]
        instances = [instance for part in shown for instance in part["Instances"]]
        return [each["InstanceId"] for each in instances if each.get("InstanceLifecycle") == "spot"]

    (instance,) = on_spot()
    capacity = stack.runner.state.aws_api(ACCOUNT).capacity
    capacity.write_text(yaml.safe_dump({"missing": [{"market": "spot"}]}))
    sqs.send_message(QueueUrl=queue, MessageBody=spot_notice(instance, ACCOUNT))
    wait_until(lambda: markets() == ["on-demand"] * 4, 600, "all instances on machines that stay")
    wait_until(lambda: not on_spot(), 300, "the Spot machine is gone")


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
