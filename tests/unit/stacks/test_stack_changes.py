"""What an update changes: figures before and after, and the models that it interrupts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_serving.errors import ProblemsError
from llm_serving.planning.quota import gpu_quotas
from stacks.cli import app
from stacks.engine_events import Event, read_events
from stacks.outputs import StackOutputs, read_outputs
from stacks.report.changes import change_sections
from stacks.report.sections import plain_text
from stacks.report.stack_changes import Interruption, compare_stack
from stacks.settings import Stack, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings

MODEL = "qwen3-0-6b"
SERVICE = f"llm-serving:index:ModelService::{MODEL}"
POOL = "llm-serving:index:GcpGpuPool::l4"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NODE_POOL = "gcp:container/nodePool:NodePool"


def stack(folder: Path, **changes: Any) -> Stack:
    data = settings_data()
    for path, value in changes.items():
        put(data, path, value)
    return resolve(read_settings_file(write_settings(folder, data)), "Pulumi.dev.yaml")


def outputs_of(stack: Stack) -> StackOutputs:
    """What the program puts out of a stack at an update, as far as changes are read from it."""
    cost = stack.cost.model_dump(mode="json", by_alias=True) if stack.settings.buys_nodes else {}
    return read_outputs({"fixed": stack.settings.fixed, "cost": cost})


def step(op: str, kind: str, name: str, parent: str, *changed: str) -> dict[str, Any]:
    """A step as the engine tells it in a preview."""
    urn = f"urn:pulumi:dev::llm-serving::{parent.partition('::')[0]}${kind}::{name}"
    state = {"custom": True, "parent": f"urn:pulumi:dev::llm-serving::{parent}"}
    metadata = {"op": op, "urn": urn, "old" if op.startswith("delete") else "new": state}
    return {"resourcePreEvent": {"metadata": metadata | {"detailedDiff": {key: {} for key in changed} or None}}}


def events(*steps: dict[str, Any]) -> Iterator[Event]:
    return read_events(map(json.dumps, steps))


def interruptions(folder: Path, *steps: dict[str, Any]) -> tuple[Interruption, ...]:
    planned = stack(folder)
    changes = compare_stack(planned, outputs_of(planned), events(*steps))
    assert changes.interruptions is not None
    return changes.interruptions


def test_a_new_stack_has_nothing_before_and_what_its_plan_says_after(tmp_path: Path) -> None:
    planned = stack(tmp_path)
    start = step("create", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE)
    changes = compare_stack(planned, StackOutputs(), events(start))
    assert changes.before is None
    assert changes.is_new
    assert changes.after is not None
    assert changes.after.min_usd_per_hour == planned.cost.min_usd_per_hour
    assert changes.after.max_usd_per_month == planned.cost.max_usd_per_month
    assert list(changes.after.quotas) == gpu_quotas(planned.cloud, planned.settings.region, planned.settings.pools)
    assert changes.starts == (f"Deployment {MODEL}-1-0-0",)
    assert changes.interruptions == ()
    text = plain_text(change_sections(changes))
    assert "before: none, because no update of the stack has completed" in text
    assert f"starts: Deployment {MODEL}-1-0-0" in text


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_figures_read_from_outputs_are_those_of_the_settings_that_led_to_them(name: str) -> None:
    planned = resolve(read_settings_file(REPOSITORY / f"Pulumi.{name}.yaml"), name)
    changes = compare_stack(planned, outputs_of(planned))
    assert changes.before == changes.after
    assert changes.before is not None
    assert changes.before.max_gpus == sum(
        entry.max * planned.cloud.pool_node(pool).gpus for pool in planned.settings.pools for entry in pool.capacity
    )
    assert (changes.starts, changes.interruptions) == (None, None)
    assert "not known without a preview" in plain_text(change_sections(changes))


def test_cost_gpus_and_quotas_are_told_before_and_after(tmp_path: Path) -> None:
    before = stack(tmp_path)
    after = stack(tmp_path, **{"pools[0].capacity[0].max": 5, "models[0].autoscaling": {"min": 3, "max": 5}})
    changes = compare_stack(after, outputs_of(before), events())
    assert changes.before is not None
    assert changes.after is not None
    assert (changes.before.min_gpus, changes.before.max_gpus) == (1, 2)
    assert (changes.after.min_gpus, changes.after.max_gpus) == (3, 5)
    assert changes.after.min_usd_per_hour == pytest.approx(3 * changes.before.min_usd_per_hour, abs=1e-3)
    rows = [line.split() for line in plain_text(change_sections(changes)).splitlines()]
    assert ["quota", "PREEMPTIBLE_NVIDIA_L4_GPUS,", "us-central1", "2", "5"] in rows
    assert ["GPUs,", "at", "minimum", "1", "3"] in rows


def test_a_quota_that_is_no_longer_needed_is_told_too(tmp_path: Path) -> None:
    before = stack(tmp_path)
    capacity = {"market": "on-demand", "machineType": "g2-standard-8", "max": 2}
    changes = compare_stack(stack(tmp_path, **{"pools[0].capacity[0]": capacity}), outputs_of(before), events())
    rows = [line.split() for line in plain_text(change_sections(changes)).splitlines()]
    assert ["quota", "NVIDIA_L4_GPUS,", "us-central1", "none", "2"] in rows
    assert ["quota", "PREEMPTIBLE_NVIDIA_L4_GPUS,", "us-central1", "2", "none"] in rows


def test_what_was_put_out_of_machines_that_are_no_longer_known_is_unknown(tmp_path: Path) -> None:
    planned = stack(tmp_path)
    old = outputs_of(planned).to_data()
    old["cost"]["lines"][0] |= {"machineType": "g9-standard-8"}
    changes = compare_stack(planned, read_outputs(old), events())
    assert changes.before is not None
    assert changes.before.min_gpus is None
    assert changes.before.quotas == ()
    assert ["GPUs,", "at", "minimum", "unknown", "1"] in [
        line.split() for line in plain_text(change_sections(changes)).splitlines()
    ]


TEMPLATE = "spec.template.spec.containers[0].command[19]"
# (steps, what happens, and whether it is certain; nothing where no instance is interrupted)
CASES: list[tuple[list[dict[str, Any]], list[tuple[str, bool]]]] = [
    ([step("update", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, TEMPLATE)], [("restart one after the other", True)]),
    ([step("update", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, "spec.replicas")], []),
    ([step("update", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, "spec")], [("may restart", False)]),
    ([step("update", DEPLOYMENT, f"{MODEL}-placeholder", SERVICE, TEMPLATE)], []),
    ([step("delete", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE)], [("its instances end", True)]),
    (
        [
            step("create-replacement", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, "metadata.namespace"),
            step("replace", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, "metadata.namespace"),
            step("delete-replaced", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE),
        ],
        [("all instances end, and new ones start", True)],
    ),
    (
        [
            step(
                "update",
                "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
                f"{MODEL}-1-0-0",
                SERVICE,
                "spec.leaderWorkerTemplate.size",
            )
        ],
        [("restart one after the other", True)],
    ),
    ([step("update", NODE_POOL, "l4-spot", POOL, "autoscaling.totalMaxNodeCount")], []),
    ([step("update", NODE_POOL, "l4-spot", POOL, "nodeConfig.labels.team")], [("the cloud decides", False)]),
    (
        [step("create", NODE_POOL, "l4-spot-2", POOL), step("delete", NODE_POOL, "l4-spot-1", POOL)],
        [("move; until then old and new nodes count against quotas", True)],
    ),
    ([step("delete", NODE_POOL, "l4-spot-1", POOL)], [("instances on its nodes move", True)]),
    ([step("update", "kubernetes:cloud.google.com/v1:ComputeClass", "l4-class", POOL, "spec.priorities")], []),
    ([step("same", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE)], []),
]


@pytest.mark.parametrize(("steps", "expected"), CASES)
def test_interruptions_are_told_with_what_happens_and_no_others(
    steps: list[dict[str, Any]], expected: list[tuple[str, bool]], tmp_path: Path
) -> None:
    told = interruptions(tmp_path, *steps)
    assert len(told) == len(expected)
    for interruption, (what, certain) in zip(told, expected, strict=True):
        assert what in interruption.what
        assert interruption.certain is certain
        assert interruption.models == (MODEL,)


def test_a_stack_on_nodes_of_somebody_else_has_interruptions_and_no_figures() -> None:
    local = resolve(read_settings_file(REPOSITORY / "Pulumi.local.yaml"), "Pulumi.local.yaml")
    changes = compare_stack(local, outputs_of(local), events())
    assert (changes.before, changes.after, changes.is_new) == (None, None, False)
    text = plain_text(change_sections(changes))
    assert "their owner's" in text
    assert "interruptions: none" in text


def test_the_command_reads_outputs_and_events_and_gives_data(tmp_path: Path) -> None:
    planned = stack(tmp_path)
    (tmp_path / "outputs.json").write_text(json.dumps(outputs_of(planned).to_data()))
    restart = step("update", DEPLOYMENT, f"{MODEL}-1-0-0", SERVICE, TEMPLATE)
    (tmp_path / "events").write_text(json.dumps(restart) + "\n")
    options = ["--outputs", str(tmp_path / "outputs.json"), "--events", str(tmp_path / "events"), "--format", "json"]
    done = CliRunner().invoke(app, ["changes", "dev", "--folder", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    data = json.loads(done.output)
    assert data["before"] == data["after"]
    assert data["interruptions"] == [
        {
            "models": [MODEL],
            "object": f"Deployment {MODEL}-1-0-0",
            "what": "instances restart one after the other",
            "because": [TEMPLATE],
            "certain": True,
        }
    ]


def test_outputs_that_pulumi_could_not_read_are_no_new_stack() -> None:
    """`pulumi stack output --json | stacks changes` without a login: nothing comes through the pipe."""
    arguments = ["changes", "dev", "--folder", str(REPOSITORY), "--outputs", "-"]
    refused = CliRunner().invoke(app, arguments, input="")
    assert isinstance(refused.exception, ProblemsError)
    assert "pulumi stack output --json" in str(refused.exception)
    new = CliRunner().invoke(app, arguments, input="{}")
    assert "no update of the stack has completed" in new.output
