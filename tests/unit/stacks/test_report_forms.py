"""Reports in each of their forms: nothing is broken or cut, and every form says the same."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from llm_serving.planning.quota import gpu_quotas
from llm_serving.planning.replicas import plan_replicas
from stacks.cli import app
from stacks.outputs import read_outputs
from stacks.report.cluster_view import ClusterView, NodeView, PodState, PodView
from stacks.report.explain import model_sections
from stacks.report.explain_report import report_models
from stacks.report.quotas import quota_sections, report_quotas
from stacks.report.sections import Part, Section, Sentence, markdown, print_tables
from stacks.report.stack_report import report_stack
from stacks.report.summary import summary_sections
from stacks.settings import Stack, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings

STACKS = ("local", "dev", "staging", "prod", "prod-aws")
WIDTHS = (40, 80, 100, 160)
BOUNDS = ("minNodes", "maxNodes")
BOX = re.compile("[─-╿]")

CANARY = {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 10}}


def output(*arguments: str, columns: int | None = None, folder: Path = REPOSITORY) -> str:
    environment = {"COLUMNS": None if columns is None else str(columns)}
    done = CliRunner().invoke(app, [*arguments, "--folder", str(folder)], env=environment)
    assert done.exit_code == 0, done.output
    return done.output


@cache
def planned(name: str, folder: Path = REPOSITORY) -> Stack:
    return resolve(read_settings_file(folder / f"Pulumi.{name}.yaml"), name)


def words(text: str) -> Counter[str]:
    """What stands between spaces and lines of a box, and how often. A list has its own punctuation behind titles and
    cells."""
    return Counter(stripped for word in BOX.sub(" ", text).split() if (stripped := word.rstrip(":;")))


def words_of(parts: list[Part]) -> Counter[str]:
    """Words of cells and notes."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Sentence):
            texts.append(part.text)
        else:
            texts += [part.title, *part.notes, *(str(cell) for row in part.all_rows for cell in row)]
    return words("\n".join(texts))


def as_tables(parts: list[Part], width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        print_tables(parts, console)
    return captured.get()


def after_an_update() -> list[Part]:
    """prod with names as clouds give them: long ones."""
    prod = planned("prod")
    node = NodeView(
        name="gke-llm-prod-a100-80-on-demand-3f3265-e3234818-gsyv",
        pool="a100-80",
        market="on-demand",
        machine_type="a2-ultragpu-1g",
        zone="us-east4-a",
        gpus=1,
        ready=True,
    )
    pod = PodView(
        name="qwen3-8b-1-0-0-5d8f7c9b6-abcde",
        namespace="chat",
        model="qwen3-8b",
        release="1.0.0",
        node=node.name,
        state=PodState.WAITING_FOR_CAPACITY,
        reason="0/3 nodes are available",
    )
    url = "http://qwen3-8b.a-team-with-a-rather-long-name-for-a-namespace.svc.cluster.local:8000/v1"
    model = {"url": url, "release": "1.0.0", "releaseUrls": {}, "deployment": "qwen3-8b-1-0-0"}
    outputs = {
        "models": {"qwen3-8b": model},
        "registry": "us-east4-docker.pkg.dev/acme-llm-prod/llm-serving",
        "modelCache": "gs://acme-llm-prod-llm-serving-model-cache-us-east4",
        "cluster": {"name": "llm-prod", "endpoint": f"gke-{'0123456789' * 8}.us-east4.gke.goog"},
    }
    view = ClusterView(nodes=(node,), pods=(pod,))
    return list(summary_sections(report_stack(prod, read_outputs(outputs), view)))


@pytest.mark.parametrize(("stack", "width"), list(product(STACKS, WIDTHS)))
def test_no_word_is_broken_or_cut_at_any_width(stack: str, width: int) -> None:
    """So no identifier, no quota, no address and no expression is either."""
    resolved = planned(stack)
    models = report_models(resolved).models
    parts = [
        *summary_sections(report_stack(resolved)),
        *quota_sections(report_quotas(resolved)),
        *(part for model in models for part in model_sections(model)),
    ]
    table = as_tables(parts, width)
    assert words_of(parts) <= words(table)
    for line in table.splitlines():
        assert len(line) <= width or len(line.split()) == 1


def test_what_stands_in_brackets_is_shown() -> None:
    parts: list[Part] = [Section("A title", ("a", "b"), [("x", "[container runtime is down]")])]
    assert "[container runtime is down]" in as_tables(parts, 80)


@pytest.mark.parametrize("width", WIDTHS)
def test_nodes_endpoints_and_addresses_stay_whole_after_an_update(width: int) -> None:
    parts = after_an_update()
    assert words_of(parts) <= words(as_tables(parts, width))


def test_tables_of_the_committed_stacks_have_boxes_at_80_columns() -> None:
    for stack in STACKS:
        for command in ("plan", "explain"):
            table = output(command, stack, columns=80)
            titles = output(command, stack, "--plain").count("\n\n") + 1
            assert table.count("┏") == titles


@pytest.mark.parametrize("columns", [80, 200])
def test_columns_are_heeded_where_no_terminal_is(columns: int) -> None:
    command = [sys.executable, "-m", "stacks", "explain", "prod", "--folder", str(REPOSITORY)]
    environment = os.environ | {"COLUMNS": str(columns)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    longest = max(map(len, done.stdout.splitlines()))
    assert columns - 40 < longest <= columns


@pytest.mark.parametrize("stack", STACKS)
def test_plain_tables_have_no_box_and_a_line_a_row(stack: str) -> None:
    text = output("plan", stack, "--plain")
    assert not BOX.search(text)
    served = [f"{model.spec.name} " for model in planned(stack).models]
    table = text.partition("\nModels\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] + " " for line in table[1 : 1 + len(served)]] == served


def test_plain_does_not_go_with_another_form() -> None:
    done = CliRunner().invoke(app, ["plan", "dev", "--plain", "--format", "json", "--folder", str(REPOSITORY)])
    assert done.exit_code == 2


def test_markdown_has_as_many_cells_in_each_row_whatever_stands_in_them() -> None:
    text = markdown([Section("A title", ("a", "b"), [("x|y", "1\n2")], notes=["a note"])])
    assert text.splitlines() == ["### A title", "", "| a | b |", "| --- | --- |", r"| x\|y | 1<br>2 |", "", "- a note"]
    for stack, command in product(STACKS, ("plan", "explain", "quotas")):
        rows = [line for line in output(command, stack, "--format", "markdown").splitlines() if line.startswith("|")]
        for row, rule in pairwise(rows):
            if rule.startswith("| ---"):
                assert row.count("|") == rule.count("|")


def report(command: str, stack: str, folder: Path = REPOSITORY) -> Any:
    return json.loads(output(command, stack, "--format", "json", folder=folder))


def busy(folder: Path) -> str:
    """A stack on which every figure differs: a canary that scales, a base, placeholders, an unknown price."""
    data = settings_data("prod")
    qwen = next(index for index, model in enumerate(data["models"]) if model["name"] == "qwen3-8b")
    put(data, f"models[{qwen}].warmPool", {"placeholders": 2})
    write_settings(folder, data, "prod")
    small = settings_data()
    put(small, "pools[0].capacity[0].max", 12)
    put(small, "models[0].autoscaling", {"min": 2, "max": 5})
    put(small, "models[0].releases", CANARY)
    write_settings(folder, small, "dev")
    return "prod"


@pytest.mark.parametrize("stack", ["dev", "staging", "prod", "busy dev", "busy prod"])
def test_every_figure_of_plan_explain_and_quotas_is_that_of_the_planned_objects(stack: str, tmp_path: Path) -> None:
    folder = REPOSITORY
    if stack.startswith("busy "):
        busy(tmp_path)
        stack, folder = stack.removeprefix("busy "), tmp_path
    expected = planned(stack, folder)
    plan, explain, quotas = (report(command, stack, folder) for command in ("plan", "explain", "quotas"))

    replicas = [(model, served) for model in expected.models for served in plan_replicas(model.spec)]
    assert [(row["minInstances"], row["maxInstances"]) for row in plan["models"]] == [
        (served.replicas, served.most) for _, served in replicas
    ]
    explained = [row for model in explain["models"] for row in model["releases"]]
    for key in ("minInstances", "maxInstances", "weight", "weightInForce", "contextLength"):
        assert [row[key] for row in explained] == [row[key] for row in plan["models"]]
    for row, brief in zip(explained, plan["models"], strict=True):
        assert row["instance"]["gpus"] == brief["gpusPerInstance"]
        assert row["instance"]["kvCacheGib"] == brief["kvCacheGib"]
        stages = row["instance"]["coldStart"]["stages"]
        assert row["coldStartSeconds"] == sum(stage["seconds"] for stage in stages)

    prices = {(line["pool"], line["market"], line["machineType"]): line for line in plan["cost"]["lines"]}
    for model, planned_model in zip(explain["models"], expected.models, strict=True):
        held = planned_model.spec.warm_pool.placeholders * planned_model.plan.gpus
        served = [row for row in plan["models"] if row["model"] == model["name"]]
        for bound in ("min", "max"):
            gpus = sum(row[f"{bound}Instances"] * row["gpusPerInstance"] for row in served) + held
            assert model["cost"][f"{bound}Gpus"] == gpus
        for line in model["cost"]["capacity"]:
            node = prices[model["pool"], line["market"], line["machineType"]]["usdPerHour"]
            share = None if node is None else node * planned_model.plan.gpus / planned_model.node.gpus
            assert line["instance"] == (None if share is None else pytest.approx(share))

    for pool in {row["pool"] for row in plan["pools"]}:
        entries = [row for row in plan["pools"] if row["pool"] == pool]
        nodes = [sum(line[key] for line in plan["cost"]["lines"] if line["pool"] == pool) for key in BOUNDS]
        wanted = [model["cost"] for model in explain["models"] if model["pool"] == pool]
        assert nodes[0] * entries[0]["gpusPerNode"] >= sum(cost["minGpus"] for cost in wanted) > 0
        assert nodes[1] == sum(row["maxNodes"] for row in entries)

    for line, capacity in zip(plan["cost"]["lines"], plan["pools"], strict=True):
        assert (line["pool"], line["market"]) == (capacity["pool"], capacity["market"])
        assert capacity["minNodes"] <= line["minNodes"] <= line["maxNodes"] == capacity["maxNodes"]
        for bound in ("min", "max"):
            price, nodes = line["usdPerHour"], line[f"{bound}Nodes"]
            cost = 0 if nodes == 0 else None if price is None else pytest.approx(price * nodes, abs=1e-3)
            assert line[f"{bound}UsdPerHour"] == cost
    for bound in ("min", "max"):
        costs = [line[f"{bound}UsdPerHour"] for line in plan["cost"]["lines"]]
        assert plan["cost"][f"{bound}UsdPerHour"] == pytest.approx(sum(filter(None, costs)), abs=1e-3)
        assert plan["cost"][f"{bound}Complete"] is (None not in costs)
        month = 730 * plan["cost"][f"{bound}UsdPerHour"]
        assert plan["cost"][f"{bound}UsdPerMonth"] == pytest.approx(month, abs=0.01)

    # The most nodes times their GPUs (docs/cost-model.md): no more for upgrades.
    everywhere = next(quota for quota in quotas["quotas"] if quota["region"] == "global")
    assert everywhere["amount"] == sum(row["maxNodes"] * row["gpusPerNode"] for row in plan["pools"])
    assert [quota["amount"] for quota in quotas["quotas"]] == [
        quota.amount for quota in gpu_quotas(expected.cloud, expected.settings.region, expected.settings.pools)
    ]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_tables_show_the_figures_of_the_data(stack: str, tmp_path: Path) -> None:
    busy(tmp_path)
    text = output("plan", stack, "--plain", folder=tmp_path)
    plan = report("plan", stack, tmp_path)
    rows = [re.split(r"  +", line) for line in text.splitlines()]

    def shown(value: float | None) -> str:
        return "unknown" if value is None else f"{value:,.2f}"

    for line in plan["cost"]["lines"]:
        amounts = [shown(line[key]) for key in ("usdPerHour", "minUsdPerHour", "maxUsdPerHour")]
        assert [line["pool"], f"{line['market']} {line['machineType']}", *amounts] in rows
    total = next(row for row in rows if row[0] == "sum")
    for bound, cell in zip(("min", "max"), total[1:], strict=True):
        at_least = "" if plan["cost"][f"{bound}Complete"] else ">= "
        assert cell == at_least + shown(plan["cost"][f"{bound}UsdPerHour"])
    for row in plan["models"]:
        instances = f"{row['minInstances']}-{row['maxInstances']} x {row['gpusPerInstance']}"
        assert any(cells[:2] == [row["model"], row["release"]] and instances in cells for cells in rows)
    for quota in report("quotas", stack, tmp_path)["quotas"]:
        quota_rows = [
            re.split(r"  +", line) for line in output("quotas", stack, "--plain", folder=tmp_path).splitlines()
        ]
        assert [quota["name"], quota["region"], str(quota["amount"]), quota["unit"]] in quota_rows


def test_what_is_not_known_is_null_and_never_a_number() -> None:
    plan = report("plan", "prod")
    unknown = next(line for line in plan["cost"]["lines"] if line["usdPerHour"] is None)
    assert unknown["minNodes"] > 0
    assert unknown["minUsdPerHour"] is None
    assert plan["cost"]["minComplete"] is False
    assert plan["nodes"] is None
    assert report("quotas", "local") == {"settings": "Pulumi.local.yaml", "account": None, "quotas": []}
