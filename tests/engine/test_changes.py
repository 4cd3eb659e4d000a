"""A change of one setting changes what it should and nothing else."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.stack_runner import preview
from tests.engine.local_stack import LocalStack

Config = dict[str, Any]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path_factory.mktemp("dev"), "dev")
    try:
        done = stack.up()
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
        yield stack
    finally:
        stack.close()


def _pool_size(config: Config) -> None:
    config["pools"][0]["capacity"][0]["max"] = 3


def _gpu_type(config: Config) -> None:
    config["pools"][0] |= {"accelerator": "A100-40GB"}
    config["pools"][0]["capacity"][0]["machineType"] = "a2-highgpu-1g"


def _machine_of_the_same_gpu(config: Config) -> None:
    config["pools"][0]["capacity"][0]["machineType"] = "g2-standard-12"


def _release(config: Config) -> None:
    config["models"][0]["releases"]["stable"] = "1.1.0"


def _replicas(config: Config) -> None:
    config["models"][0]["autoscaling"] |= {"min": 2}


def _label(config: Config) -> None:
    config["labels"]["owner"] = "somebody-else"


def _a_second_team(config: Config) -> None:
    config["teams"].append({"name": "search"})


# The new node pool is made under a name of its own before the old one goes.
NEW_POOL = {"create NodePool", "delete NodePool", "update ComputeClass", "update Deployment"}
# The new release has objects of its own, its launcher, router and weights among them, the Service and the route in
# front move on to it, and the old ones go. Its context has another length here, up to which the gateway takes prompts.
RELEASE = {
    "Deployment", "Service", "PodDisruptionBudget", "ScaledObject", "ConfigMap", "ModelLoader", "Job",
    "ReleaseRouter", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding",
}  # fmt: skip
NEW_RELEASE = {
    *(f"create {kind}" for kind in RELEASE), *(f"delete {kind}" for kind in RELEASE), "update Service",
    "update HTTPRoute", "replace ConfigMap", "update Deployment", "update PrometheusRule",
}  # fmt: skip
# With the identity of its loader, which writes to the bucket, and the right of the gateway's proxy to read its routes.
TEAM = {
    "TeamNamespace", "Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "Role", "ServiceAccountPatch",
    "PodMonitor", "GcpWorkloadIdentity", "Account", "ServiceAccount", "BucketIAMMember", "IAMMember", "RoleBinding",
}  # fmt: skip
# The proxy, its listeners and policies name the namespaces of all teams.
NEW_TEAM = {*(f"create {kind}" for kind in TEAM), "update Gateway", "update NetworkPolicy", "update Deployment"}

# (what is changed, operations and kinds that are expected: all of them, and no others)
CASES: list[tuple[Callable[[Config], None], set[str]]] = [
    (_pool_size, {"update NodePool"}),
    (_machine_of_the_same_gpu, NEW_POOL),
    (_gpu_type, NEW_POOL),
    (_release, NEW_RELEASE),
    (_replicas, {"update ScaledObject", "update ResourceQuota"}),
    (_a_second_team, NEW_TEAM),
]


def test_a_preview_ends_with_what_the_update_changes_and_interrupts(
    dev: LocalStack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    dev.change(_pool_size)
    dev.change(_machine_of_the_same_gpu)
    dev.prepare()
    assert preview(dev.runner, dev.name, []) == 0
    dev.restore()
    end = capfd.readouterr().out.partition("What the update changes")[2]
    assert re.search(r"quota PREEMPTIBLE_NVIDIA_L4_GPUS, us-central1 +│ 2 +│ 3 ", end)
    assert re.search(r"Deployment qwen3-0-6b-1-0-0 +│ instances restart", end)
    assert re.search(r"NodePool l4-spot-\w+ +│ instances on its nodes move; until then", end)


@pytest.mark.parametrize(("edit", "expected"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_change_of_one_setting_changes_only_what_it_should(
    dev: LocalStack, edit: Callable[[Config], None], expected: set[str]
) -> None:
    dev.change(edit)
    steps = dev.changes()
    dev.restore()
    operations = {f"{step.op} {step.kind}" for step in steps}
    more, fewer = sorted(operations - expected), sorted(expected - operations)
    assert (more, fewer) == ([], []), [str(step) for step in steps]


def test_a_label_updates_resources_and_replaces_none(dev: LocalStack) -> None:
    dev.change(_label)
    steps = dev.changes()
    dev.restore()
    assert steps
    assert {step.op for step in steps} == {"update"}
    assert {"Cluster", "NodePool", "Bucket", "Namespace"} <= {step.kind for step in steps}


def _bad_machine(config: Config) -> None:
    config["pools"][0]["capacity"][0]["machineType"] = "g2-standard-9"


def _unknown_key(config: Config) -> None:
    config["modles"] = []


REFUSED = [
    (_bad_machine, r"Pulumi\.dev\.yaml: llm-serving:pools\[0\]\.capacity\[0\]\.machineType = 'g2-standard-9'"),
    (_unknown_key, r"Pulumi\.dev\.yaml: llm-serving:modles.*unknown key \(try: models\)"),
]


@pytest.mark.parametrize(("edit", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_input_is_refused_at_preview_without_a_traceback(
    dev: LocalStack, edit: Callable[[Config], None], message: str
) -> None:
    dev.change(edit)
    dev.prepare()
    done = dev.pulumi("preview", "--stack", "dev")
    dev.restore()
    assert done.returncode != 0
    assert re.search(message, done.stdout + done.stderr), done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_new_release_reaches_the_pods(dev: LocalStack) -> None:
    dev.change(_release)
    done = dev.up()
    assert done.returncode == 0, done.stdout[-4000:]
    engines = "llm-serving.dev/model,app.kubernetes.io/component=engine"
    (deployment,) = dev.kubernetes().list("apps/v1", "Deployment", labels=engines)
    pods = dev.engine_pods()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["llm-serving.dev/release"] == "1.1.0"
    assert {pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in pods} == {"1.1.0"}
    assert dev.outputs()["releases"]["qwen3-0-6b"]["stable"]["version"] == "1.1.0"


def test_a_replaced_pool_never_leaves_the_model_without_its_nodes(dev: LocalStack) -> None:
    """The new node pool exists before the old one goes: its name differs."""
    before = set(_pool_names(dev))
    dev.change(_machine_of_the_same_gpu)
    done = dev.up()
    assert done.returncode == 0, done.stdout[-4000:]
    after = set(_pool_names(dev))
    assert before.isdisjoint(after)
    lines = done.stdout.splitlines()
    created = next(i for i, line in enumerate(lines) if "NodePool" in line and "creat" in line)
    deleted = next(i for i, line in enumerate(lines) if "NodePool" in line and "delet" in line)
    assert created < deleted
    pods = dev.engine_pods()
    nodes = {node["metadata"]["name"]: node for node in dev.kubernetes().list("v1", "Node")}
    types = {nodes[pod["spec"]["nodeName"]]["metadata"]["labels"]["node.kubernetes.io/instance-type"] for pod in pods}
    assert types == {"g2-standard-12"}


def _pool_names(stack: LocalStack) -> list[str]:
    return [name for names in stack.outputs()["pools"].values() for name in names]
