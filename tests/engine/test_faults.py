"""Whatever fails on the way, the error names the resource and the cause, and the next ``up`` converges."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.external_weights import seed
from stacks.settings import read_settings_file, resolve
from tests.engine.local_stack import ENVIRONMENTS, LocalStack, kill_session, wait_until

# (what fails, what the message must name). They are met one after the other on the way up.
FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {
            "type": "gcp:compute/subnetwork:Subnetwork",
            "operation": "create",
            "call": 1,
            "fault": "permission-denied",
        },
        r"(?s)Subnetwork.*(403|[Pp]ermission)",
    ),
    (
        {"type": "gcp:container/cluster:Cluster", "operation": "create", "call": 1, "fault": "rate-limit"},
        r"(?s)Cluster.*(429|[Rr]ate)",
    ),
    (
        {
            "type": "gcp:container/cluster:Cluster",
            "operation": "create",
            "call": 2,
            "fault": "timeout",
            "after": "after",
        },
        r"(?s)Cluster.*(deadline|time-?out)",
    ),
    (
        {
            "type": "gcp:container/nodePool:NodePool",
            "name": "l4*",
            "operation": "create",
            "call": 1,
            "fault": "quota",
        },
        r"(?s)NodePool.*([Qq]uota)",
    ),
    (
        {
            "type": "gcp:container/nodePool:NodePool",
            "name": "l4*",
            "operation": "create",
            "call": 2,
            "fault": "crash",
        },
        r"(?s)NodePool.*(EOF|error reading from server|connection|transport|exited)",
    ),
]


@pytest.fixture
def stack(dev: LocalStack) -> Iterator[LocalStack]:
    yield dev
    dev.faults.unlink(missing_ok=True)


def test_every_fault_names_resource_and_cause_and_the_next_up_converges(stack: LocalStack) -> None:
    stack.inject(*(fault for fault, _ in FAULTS))
    for fault, message in FAULTS:
        done = stack.up()
        text = done.stdout + done.stderr
        assert done.returncode != 0, f"{fault} did not fail the update"
        assert re.search(message, text), f"{fault}:\n{text[-4000:]}"
    done = stack.up()
    assert done.returncode == 0, done.stdout[-5000:]
    _assert_whole(stack)
    assert stack.changes() == []


@pytest.mark.parametrize("moment", ["Cluster", "NodePool"])
def test_an_update_killed_half_way_converges_with_no_duplicate_and_nothing_lost(stack: LocalStack, moment: str) -> None:
    process = stack.start_up()
    wait_until(lambda: _exists(stack, moment, process), 400, f"a {moment} on the local cloud")
    kill_session(process)
    done = stack.up()
    assert done.returncode == 0, done.stdout[-5000:]
    _assert_whole(stack)
    assert stack.changes() == []
    destroyed = stack.destroy()
    assert destroyed.returncode == 0, destroyed.stdout[-4000:]


def test_of_two_updates_at_once_one_is_refused_cleanly(stack: LocalStack) -> None:
    first = stack.start_up()
    locks = stack.runner.state.backend / ".pulumi/locks"
    wait_until(lambda: any(locks.rglob("*.json")), 60, "the first update's lock")
    second = stack.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name)
    output, _ = first.communicate(timeout=480)
    assert first.returncode == 0, output[-4000:]
    assert second.returncode != 0
    assert "currently locked" in second.stdout + second.stderr
    _assert_whole(stack)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_stack_that_nobody_brings_weights_to_does_not_come_up_and_says_why(environment: str, tmp_path: Path) -> None:
    """As shipped the loaders' Jobs bring them. An update waits twice the planned cold start at least, many minutes, so
    that its end is not awaited here: the weights come, and nothing else was missing."""
    stack = LocalStack(tmp_path, environment)
    try:
        stack.change(_without_loader)
        updating = stack.start_up()
        settings = resolve(read_settings_file(stack.settings / f"Pulumi.{environment}.yaml"), environment)
        models = {model.spec.name for model in settings.models}
        # Before that the control plane may not have begun to answer.
        wait_until(lambda: _exists(stack, "NodePool", updating), 400, "a NodePool on the local cloud")
        wait_until(lambda: _without_weights(stack, updating) == models, 400, f"pods of {models} that miss weights")
        assert not any(_is_ready(pod) for pod in stack.engine_pods())
        assert not stack.kubernetes().list("batch/v1", "Job", labels="app.kubernetes.io/component=loader")
        assert updating.poll() is None
        assert list(seed(stack.runner.state, environment, settings))
        output, _ = updating.communicate(timeout=480)
        assert updating.returncode == 0, output[-4000:]
        assert all(_is_ready(pod) for pod in stack.engine_pods())
    finally:
        stack.close()


def _without_loader(config: dict[str, Any]) -> None:
    """Also without the Job that compiles, which needs the loader's identity."""
    del config["loader"]
    config["weights"] = "external"
    for model in config["models"]:
        model.pop("compileCache", None)


def _without_weights(stack: LocalStack, updating: subprocess.Popen[str]) -> set[str]:
    """Models with a pod that says that its weights are missing."""
    assert updating.poll() is None, updating.communicate()[0][-4000:]
    return {
        pod["metadata"]["labels"]["llm-serving.dev/model"]
        for pod in stack.engine_pods()
        if "no weights in gs://" in str(pod["status"])
    }


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _exists(stack: LocalStack, kind: str, updating: subprocess.Popen[str]) -> bool:
    assert updating.poll() is None
    return any(kind.lower() in str(path).lower() for path in stack.records())


def _assert_whole(stack: LocalStack) -> None:
    """What the engine knows is what the cloud has: nothing twice, nothing lost."""
    known = [
        resource["id"]
        for resource in stack.resources()
        if resource["type"].startswith("gcp:") and resource.get("custom") and "id" in resource
    ]
    assert len(known) == len(set(known))
    assert len(stack.records()) == len(known)
    assert len(stack.engine_pods()) == 1
