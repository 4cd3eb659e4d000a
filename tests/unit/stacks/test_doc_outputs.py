"""What the documents show of the program `stacks` is what it prints."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.stacks.settings_files import REPOSITORY
from tests.unit.stacks.test_doc_commands import PAGES

CONSOLES = [
    pytest.param(block, id=f"{page.relative_to(REPOSITORY)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
    if "python -m stacks" in block
]


@pytest.mark.parametrize("console", CONSOLES)
def test_a_console_shows_lines_of_what_its_commands_print(console: str, tmp_path: Path) -> None:
    """Run on a copy. A line `...` stands for others that are not shown."""
    for folder in ("stacks", "components"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in REPOSITORY.glob("Pulumi*.yaml"):
        shutil.copy(file, tmp_path)
    path = os.pathsep.join([str(tmp_path), str(tmp_path / "components")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "160"}
    for step in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, shown = step.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        printed = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
        for line in shown.rstrip().splitlines():
            assert line in (*printed, "...", ""), f"{command}: {line}\nis none of\n{chr(10).join(printed)}"


def test_the_readmes_costs_are_those_of_the_plan() -> None:
    rows = re.findall(
        r"^\| `(dev|staging|prod|prod-aws)` \| (.+?) \| (.+?) \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE
    )
    assert len(rows) == 4
    for stack, fewest, most in rows:
        command = [sys.executable, "-m", "stacks", "plan", stack, "--format", "json"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        cost = json.loads(done.stdout)["cost"]
        for bound, shown in (("min", fewest), ("max", most)):
            complete = "" if cost[f"{bound}Complete"] else ">= "
            assert shown == f"{complete}{cost[f'{bound}UsdPerHour']:.2f}", stack


def test_there_are_consoles_to_compare() -> None:
    assert len(CONSOLES) >= 3
