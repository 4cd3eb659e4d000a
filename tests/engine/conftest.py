"""The tier of the real engine. Where a tool is missing the whole tier is skipped, and says which."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.home import REPOSITORY
from tests.engine.local_stack import LocalStack

NEEDED = (
    "pulumi",
    "pulumi-language-python",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
)


def missing_tools() -> list[str]:
    """Programs of this tier that are neither in .tools/bin nor on PATH."""
    return [tool for tool in NEEDED if not (REPOSITORY / ".tools/bin" / tool).exists() and shutil.which(tool) is None]


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Skips the tier, loudly, on a machine without its programs."""
    missing = missing_tools()
    if missing:
        pytest.skip(f"NOT RUN: {', '.join(missing)} missing (try: make setup)")


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[LocalStack]:
    """The dev stack on fresh local clouds."""
    stack = LocalStack(tmp_path, "dev")
    yield stack
    stack.close()
