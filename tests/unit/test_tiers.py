"""Tiers that a machine does not run are not forgotten: what they import and the fixtures they name are there."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_what_every_tier_imports_and_the_fixtures_that_its_tests_name_are_there():
    tiers = [folder.parent.name for folder in TESTS.glob("*/conftest.py") if folder.parent.name != "unit"]
    assert {"engine", "e2e", "official"} <= set(tiers)
    plan = [sys.executable, "-m", "pytest", *tiers, "--setup-plan", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(plan, cwd=TESTS, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.OK, run.stdout[-3000:] + run.stderr[-1000:]
