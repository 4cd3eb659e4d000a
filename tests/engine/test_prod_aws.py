"""prod-aws from nothing to nothing, with the real Karpenter: all that may fail on the way up, changes, a Spot notice,
destroy, and nothing that is left.

One stack is brought up once for all of its tests. What fails on the way up comes first, and destroy last; a test in
between brings the stack up itself where none has, and leaves its settings as it found them.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_serving.contract import LABEL_MARKET, LABEL_MODEL
from local.cluster.controller_runtime import ChangeSignal, Informer
from stacks.commands.options import read_stack
from stacks.report.cluster_view import read_cluster
from stacks.report.stack_report import warnings
from tests.engine.local_stack import LocalStack, kill_session, wait_until
from tests.engine.reviewed_plans import assert_reviewed
from tests.engine.test_environments import SECRET_WORDS
from tests.unit.local.aws.notices import notices

ACCOUNT, REGION = "111122223333", "us-east-1"
ON_SPOT = "qwen3-32b"
"""A model whose pool prefers Spot capacity here, which prod-aws takes last."""
OF_NODES = {
    "NodePool": "karpenter.sh/v1",
    "NodeClaim": "karpenter.sh/v1",
    "EC2NodeClass": "karpenter.k8s.aws/v1",
    "PersistentVolume": "v1",
}


@dataclass(frozen=True)
class Trouble:
    """What the local AWS refuses.

    Attributes:
        id: in a word.
        faults: of the plan of faults.
        capacity: of the file that says which machines there are.
    """

    id: str
    faults: Sequence[Mapping[str, Any]] = ()
    capacity: Mapping[str, Any] = field(default_factory=dict)


def fault(kind: str, token: str, **more: Any) -> Trouble:
    return Trouble(kind, [{"type": token, "operation": "create", "fault": kind, **more}])


# (what fails, what the message must name), met one after the other on the way up: before there is a cluster, and after.
BEFORE = [
    (fault("permission-denied", "aws:ec2/subnet:Subnet"), r"(?s)Subnet.*AccessDenied"),
    (fault("rate-limit", "aws:eks/cluster:Cluster"), r"(?s)Cluster.*Throttling: Rate exceeded"),
]
AFTER = [
    (fault("timeout", "aws:eks/cluster:Cluster", after="after"), r"(?s)Cluster.*timeout while waiting"),
    (
        Trouble("no-capacity", capacity={"missing": [{"machine": "m7i.*"}]}),
        r"(?s)NodeGroup.*AsgInstanceLaunchFailures.*InsufficientInstanceCapacity",
    ),
    (
        Trouble("vcpu-quota", capacity={"quotas": [{"machine": "m7i.*", "vcpus": 16}]}),
        r"(?s)NodeGroup.*VcpuLimitExceeded.*current vCPU limit of 16",
    ),
    (
        fault("crash", "aws:eks/nodeGroup:NodeGroup", after="after"),
        r"(?s)NodeGroup.*(EOF|error reading from server|connection|transport|exited)",
    ),
]


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


@pytest.fixture(scope="module")
def running(stack: LocalStack) -> LocalStack:
    """The stack with everything in its place."""
    undisturbed(stack)
    done = stack.up()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return stack


def undisturbed(stack: LocalStack) -> None:
    """From here on nothing is refused."""
    stack.inject()
    capacity_file(stack).write_text("")


def capacity_file(stack: LocalStack) -> Path:
    """The file that says which machines there are."""
    return stack.runner.state.aws_api(ACCOUNT).capacity


def records(stack: LocalStack, kind: str = "") -> list[Path]:
    """What the local AWS keeps of Pulumi's resources, or of those of a kind: a file for each."""
    return [
        path
        for path in stack.runner.state.aws_account(ACCOUNT).glob("*/resources/*/[!.]*.json")
        if path.parent.name.endswith(kind)
    ]


def claims(stack: LocalStack) -> list[dict[str, Any]]:
    """Karpenter's machines."""
    return stack.kubernetes().list("karpenter.sh/v1", "NodeClaim")


def instances(stack: LocalStack) -> list[dict[str, Any]]:
    """Machines that run."""
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    shown = account(stack, "ec2").describe_instances(Filters=running)["Reservations"]
    return [instance for part in shown for instance in part["Instances"]]


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def allow_removal(settings: dict[str, Any]) -> None:
    settings["cluster"]["deletionProtection"] = False
    settings["modelCache"] = {"forceDestroy": True}


def prefer_spot(settings: dict[str, Any]) -> None:
    settings["pools"][1]["capacity"].reverse()


def as_committed(settings: dict[str, Any]) -> None:
    """Without what this file asks for."""
    del settings["cluster"]["deletionProtection"], settings["modelCache"]
    prefer_spot(settings)


@contextlib.contextmanager
def changed(stack: LocalStack, edit: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Other settings, for as long as it takes."""
    settings = stack.settings / f"Pulumi.{stack.name}.yaml"
    before = settings.read_text()
    stack.change(edit)
    yield
    settings.write_text(before)


def account(stack: LocalStack, service: str) -> Any:
    """A client of the stack's account."""
    api = stack.runner.state.aws_api(ACCOUNT)
    api.start()
    return api.client(service, REGION)


def test_a_preview_plans_what_was_reviewed_and_starts_neither_a_cluster_nor_the_accounts_api(stack: LocalStack) -> None:
    with changed(stack, as_committed):
        done, steps = stack.preview()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert_reviewed(stack.name, steps)
    assert stack.runner.state.aws_apis() == []
    assert stack.runner.state.control_planes() == {}


def assert_told(stack: LocalStack, trouble: Trouble, message: str) -> None:
    """An update fails, and says why."""
    stack.inject(*trouble.faults)
    capacity_file(stack).write_text(yaml.safe_dump(trouble.capacity))
    done = stack.up()
    text = done.stdout + done.stderr
    assert done.returncode != 0, "the update did not fail"
    assert re.search(message, text), text[-4000:]


@pytest.mark.parametrize(("trouble", "message"), BEFORE, ids=lambda value: getattr(value, "id", ""))
def test_what_fails_before_there_is_a_cluster_is_told(stack: LocalStack, trouble: Trouble, message: str) -> None:
    assert_told(stack, trouble, message)


def test_an_update_is_killed_while_the_cluster_is_made(stack: LocalStack) -> None:
    undisturbed(stack)
    process = stack.start_up()
    wait_until(lambda: process.poll() is not None or records(stack, "eks.cluster.Cluster") != [], 400, "a cluster")
    assert process.poll() is None, process.communicate()[0][-4000:]
    kill_session(process)


@pytest.mark.parametrize(("trouble", "message"), AFTER, ids=lambda value: getattr(value, "id", ""))
def test_what_fails_after_that_is_told(stack: LocalStack, trouble: Trouble, message: str) -> None:
    assert_told(stack, trouble, message)


def test_nothing_is_there_twice_or_lost_when_the_stack_is_up(running: LocalStack) -> None:
    known = [
        resource["id"]
        for resource in running.resources()
        if resource["type"].startswith("aws:") and resource.get("custom") and "id" in resource
    ]
    assert len(known) == len(records(running))
    ec2 = account(running, "ec2")
    assert len([vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]) == 1
    wait_until(lambda: len(instances(running)) == len(claims(running)), 300, "an instance for each NodeClaim, no other")


def test_every_model_is_ready_on_machines_of_karpenter(running: LocalStack) -> None:
    of_karpenter = {claim["status"]["nodeName"] for claim in claims(running)}
    assert of_karpenter <= {instance["PrivateDnsName"] for instance in instances(running)}
    pods = running.engine_pods()
    assert len(pods) == 7
    for pod in pods:
        assert is_ready(pod)
        assert pod["spec"]["nodeName"] in of_karpenter


def test_a_second_preview_changes_nothing(running: LocalStack) -> None:
    assert [str(step) for step in running.changes()] == []


def test_a_refresh_finds_no_drift(running: LocalStack) -> None:
    done = running.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", running.name)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_no_secret_is_in_the_clear_in_state_or_outputs(running: LocalStack) -> None:
    state = running.pulumi("stack", "export", "--stack", running.name).stdout
    token = running.cluster().endpoint().token
    for text in (state, running.pulumi("stack", "output", "--json", "--stack", running.name).stdout):
        assert text
        assert token not in text
        assert not SECRET_WORDS.search(text), SECRET_WORDS.search(text)


def larger_pool(settings: dict[str, Any]) -> None:
    settings["pools"][0]["capacity"][0]["max"] += 1


def other_system_machine(settings: dict[str, Any]) -> None:
    settings["cluster"]["systemPool"]["machineType"] = "m7i.4xlarge"


def other_account(settings: dict[str, Any]) -> None:
    settings["account"] = "444455556666"


def test_a_larger_pool_updates_its_node_pool_alone(running: LocalStack) -> None:
    with changed(running, larger_pool):
        steps = running.changes()
    assert {f"{step.op} {step.kind}" for step in steps} == {"update NodePool"}, [str(step) for step in steps]


def test_another_account_is_refused(running: LocalStack) -> None:
    with changed(running, other_account):
        done, _ = running.preview()
    message = done.stdout + done.stderr
    assert done.returncode != 0
    assert "llm-serving:account" in message
    assert "fixed for the life of a stack" in message


def test_another_machine_of_the_system_takes_no_identity_no_gpu_node_and_no_instance_away(running: LocalStack) -> None:
    def engines() -> dict[str, str]:
        return {pod["metadata"]["uid"]: pod["spec"]["nodeName"] for pod in running.engine_pods()}

    before = engines()
    running.change(other_system_machine)
    running.change(larger_pool)
    steps = running.changes()
    done = running.up()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert sorted(step.op for step in steps if step.kind == "NodeGroup") == ["create", "delete"]
    assert {step.op for step in steps if step.kind != "NodeGroup"} == {"update"}, [str(step) for step in steps]
    assert engines() == before
    nodes = running.kubernetes().list("v1", "Node")
    labels = [node["metadata"]["labels"] for node in nodes]
    machines = {each["node.kubernetes.io/instance-type"] for each in labels if "eks.amazonaws.com/nodegroup" in each}
    assert machines == {"m7i.4xlarge"}


def test_after_a_spot_notice_instances_run_on_the_next_capacity(running: LocalStack) -> None:
    """The notice comes by the stack's own rule and queue, and EC2 has no Spot machine any more: none in two zones, and
    none for the account in the third."""
    kubernetes = running.kubernetes()

    def markets() -> list[str]:
        """Of the nodes of the instances that are ready."""
        nodes = {node["metadata"]["name"]: node for node in kubernetes.list("v1", "Node")}
        return [
            nodes[pod["spec"]["nodeName"]]["metadata"]["labels"][LABEL_MARKET]
            for pod in running.engine_pods()
            if pod["metadata"]["labels"][LABEL_MODEL] == ON_SPOT and is_ready(pod) and pod["spec"]["nodeName"] in nodes
        ]

    def on_spot() -> list[str]:
        return [each["InstanceId"] for each in instances(running) if each.get("InstanceLifecycle") == "spot"]

    assert markets() == ["spot"] * 4
    (instance,) = on_spot()
    no_spot = {
        "missing": [{"market": "spot", "zone": f"{REGION}{zone}"} for zone in "ab"],
        "quotas": [{"market": "spot", "machine": "p5.*", "vcpus": 0}],
    }
    capacity_file(running).write_text(yaml.safe_dump(no_spot))
    account(running, "events").put_events(Entries=[notices(instance)["spot-interruption"]])
    wait_until(lambda: markets() == ["on-demand"] * 4, 600, "all instances on machines that stay")
    wait_until(lambda: not on_spot(), 300, "the Spot machine is gone")


def test_instances_beyond_a_pools_limit_wait_and_the_summary_says_why(running: LocalStack) -> None:
    kubernetes = running.kubernetes()
    (deployment,) = [
        each
        for each in kubernetes.list("apps/v1", "Deployment", labels="app.kubernetes.io/component=engine")
        if each["metadata"]["labels"][LABEL_MODEL] == ON_SPOT
    ]
    stack = read_stack(running.name, running.runner.project)
    kubeconfig = running.runner.kubeconfig(running.name)
    assert kubeconfig is not None

    def scale(replicas: int) -> None:
        kubernetes.patch(deployment, {"spec": {"replicas": replicas}})

    def told() -> list[str]:
        return [line for line in warnings(stack, read_cluster(kubeconfig)) if "Karpenter" in line and "limit" in line]

    before = len(running.engine_pods())
    scale(deployment["spec"]["replicas"] + 40)
    wait_until(lambda: told() != [], 600, "the limit is told")
    scale(deployment["spec"]["replicas"])
    wait_until(lambda: len(running.engine_pods()) == before, 300, "as many instances as before")


def test_destroy_leaves_nothing_in_the_account_on_the_cluster_and_no_process(running: LocalStack) -> None:
    followed = [
        Informer(running.kubernetes(), version, kind, ChangeSignal()).start() for kind, version in OF_NODES.items()
    ]
    wait_until(lambda: all(each.objects() is not None for each in followed), 60, "what there is of nodes")
    assert all(each.objects() for each in followed)
    done = running.destroy()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert running.runner.state.control_planes() == {}
    # What was known last of a cluster that is gone: nothing waited for a finalizer that nobody would remove.
    assert [each["metadata"]["name"] for part in followed for each in part.objects() or []] == []
    ec2 = account(running, "ec2")
    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert ec2.describe_volumes()["Volumes"] == []
    assert {
        each["State"]["Name"] for part in ec2.describe_instances()["Reservations"] for each in part["Instances"]
    } <= {"terminated"}
    assert ec2.describe_addresses()["Addresses"] == []
    iam = account(running, "iam")
    assert iam.list_roles()["Roles"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert account(running, "s3").list_buckets()["Buckets"] == []
    assert account(running, "sqs").list_queues().get("QueueUrls") is None
    assert account(running, "events").list_rules()["Rules"] == []
    assert account(running, "eks").list_clusters()["clusters"] == []
