"""The endpoint of stack ``local``, brought up once for all tests of this tier in a state folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cluster.node.requirements import unmet
from tests.e2e.served import Served
from tests.engine.local_stack import wait_until

LAST = ("test_autoscaling.py", "test_restart.py", "test_destroy.py")
"""These start the node again, or take away what others need."""
SECONDS = 3600
"""A guard for a test with what is set up for it, far more than it takes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))
    items.sort(key=lambda item: LAST.index(item.path.name) + 1 if item.path.name in LAST else 0)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    obstacle = unmet()
    if obstacle is not None:
        pytest.exit(f"the e2e tier did NOT run: {obstacle}", returncode=3)  # a skipped tier has not passed
    stack = Served(tmp_path_factory.mktemp("e2e"))
    try:
        stack.open()
        stack.up()
        wait_until(stack.answers, 60, "its Service leads to it")
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]
