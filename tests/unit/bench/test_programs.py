"""The measurements start as programs of their own, without what pytest puts on the path."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
IN_THE_IMAGE = ("generator",)
"""Run by the Python of the engine's image, with its packages."""


def test_every_measurement_can_be_imported():
    modules = sorted(path.stem for path in (REPOSITORY / "bench").glob("*.py") if path.stem not in IN_THE_IMAGE)
    assert {"loader", "launcher", "batching"} <= set(modules)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = "; ".join(f"import bench.{module}" for module in modules)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
