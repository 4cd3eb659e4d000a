"""The plan of each committed stack, as text that is read in review. UPDATE_GOLDEN=1 writes it anew."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stacks.cli import app
from tests.unit.stacks.settings_files import REPOSITORY

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
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
