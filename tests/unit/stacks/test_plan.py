"""The plan of each committed stack, as text that is read in review. UPDATE_GOLDEN=1 writes it anew."""

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stacks.cli import app
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod", "prod-aws"])
def test_the_plan_is_the_one_that_was_reviewed(stack: str) -> None:
    done = CliRunner().invoke(app, ["plan", stack, "--folder", str(REPOSITORY), "--plain"])
    assert done.exit_code == 0, done.output
    plan = "\n".join(line.rstrip() for line in done.output.splitlines()) + "\n"
    file = GOLDEN / f"{stack}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(plan, encoding="utf-8")
    assert plan == file.read_text(encoding="utf-8"), f"the plan of {stack} changed; see UPDATE_GOLDEN"


def test_prod_lists_both_gpus_on_demand_and_on_spot() -> None:
    plan = (GOLDEN / "prod.txt").read_text(encoding="utf-8")
    for word in ("A100-80GB", "H100-80GB", "on-demand", "spot", "qwen3-8b", "qwen3-32b"):
        assert word in plan


def test_check_notes_what_is_accepted_and_may_disappoint(tmp_path: Path) -> None:
    settings = settings_data("dev")
    put(settings, "loader.image", {"repository": "registry.test/model-loader", "tag": "0.1.0"})
    put(settings, "models[0].surge", 1)
    put(settings, "models[0].serviceClass", "critical")
    put(settings, "pools[0]", {"name": "l4", "accelerator": "H100-80GB", "capacity": NOT_SOLD_ON_DEMAND})
    write_settings(tmp_path, settings)
    notes = {command: _notes(command, tmp_path) for command in ("check", "plan")}
    for words in ("waits for ever", "sold as spot, flex-start or reserved only", "may run on spot capacity"):
        assert any(words in note for note in notes["check"]), notes
    assert len(notes["check"]) == len(notes["plan"])
    for note, wrapped in zip(notes["check"], notes["plan"], strict=True):
        assert note.startswith(wrapped)


NOT_SOLD_ON_DEMAND = [
    {"market": "on-demand", "machineType": "a3-highgpu-1g", "max": 1},
    {"market": "spot", "machineType": "a3-highgpu-1g", "max": 1},
]


def _notes(command: str, folder: Path) -> list[str]:
    done = CliRunner().invoke(app, [command, "dev", "--folder", str(folder)])
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if line.startswith("note: ")]


def test_a_plan_shows_the_gateways_pods_and_weights_that_hold_with_it(tmp_path: Path) -> None:
    settings = settings_data("dev")
    put(settings, "models[0].releases", {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 20}})
    put(settings, "pools[0].capacity[0].max", 6)
    without = _plan(settings, tmp_path)
    assert "weight 20 % not in force: no gateway" in without
    assert "Gateway" not in without
    image = {"repository": "registry.test/gateway", "tag": "1.0.0"}
    images = dict.fromkeys(("image", "proxyImage", "routerImage", "redisImage"), image)
    with_gateway = _plan({**settings, "gateway": {**images, "redis": {"limits": {}}}}, tmp_path)
    rows = {line.split("  ")[0].strip(): line.split() for line in with_gateway.splitlines()}
    assert rows["proxy"][1:3] == ["llm-gateway", "2"]
    assert rows["gateway"][1:3] == ["llm-gateway", "2-4"]
    assert rows["routers of qwen3-0-6b"][3:5] == ["chat", "4"]
    assert rows["Redis of limits"][3:5] == ["llm-gateway", "1"]
    assert "weight 20 %" in with_gateway
    assert "not in force" not in with_gateway
    assert "pods and disks of the gateway" in with_gateway


def test_that_requests_leave_the_cluster_is_a_note_and_in_the_plan(tmp_path: Path) -> None:
    settings = settings_data("dev")
    put(settings, "loader.image", {"repository": "registry.test/model-loader", "tag": "0.1.0"})
    image = {"repository": "registry.test/gateway", "tag": "1.0.0"}
    images = dict.fromkeys(("image", "proxyImage", "routerImage", "redisImage"), image)
    price = {"usdPerMillionInputTokens": 1, "usdPerMillionOutputTokens": 1}
    provider = {
        "name": "together",
        "url": "https://api.together.example/v1",
        "secretName": "together",
        "teams": ["chat"],
        "models": [{"model": "qwen3-0-6b", "name": "Qwen/Qwen3-0.6B", "price": price}],
        "budget": {"usd": 100, "days": 7},
    }
    plan = _plan({**settings, "gateway": {**images, "redis": {"limits": {}}, "hosted": [provider]}}, tmp_path)
    assert " ".join(plan.split()).count("100 USD in 7 days at most") == 1
    assert "leave the cluster for https://api.together.example/v1" in " ".join(plan.split())
    (note,) = (each for each in _notes("check", tmp_path) if "hosted" in each)
    assert "prompts of these teams leave the cluster for api.together.example" in note


def _plan(settings: dict[str, Any], folder: Path) -> str:
    write_settings(folder, settings)
    done = CliRunner().invoke(app, ["plan", "dev", "--folder", str(folder), "--plain"])
    assert done.exit_code == 0, done.output
    return done.output
