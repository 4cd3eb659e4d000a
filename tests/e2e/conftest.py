"""The endpoint of stack ``local``: first with the real engine, then with a stand-in that starts in a second, for all
that is not about the engine itself.
"""

from pathlib import Path

import pytest

from local.cluster.node.requirements import unmet
from local.endpoint.serving_clusters import OwnNode
from local.state_folder import StateFolder
from tests.e2e.served import EMBEDDER, STAND_IN_STALL_SECONDS, Served
from tests.engine.local_stack import wait_until
from tests.stand_in import image

LAST = ("test_promises.py", "test_embedding.py", "test_autoscaling.py", "test_restart.py", "test_destroy.py")
"""These leave instances that end or a second model, start the node again, or take away what others need."""
STALL_SECONDS = 45
"""Of the real engine, shorter than the default: it still writes a token, or answers a request for one, within that on a
busy machine."""
SECONDS = 3600
"""A guard for a test with what is set up for it, far more than it takes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in own:
        item.add_marker(pytest.mark.timeout(SECONDS))
    # The engine is replaced once, and the node of the run goes down after all that other tiers do with it.
    items[:] = [item for item in items if item not in own] + sorted(own, key=_place)


def _place(item: pytest.Item) -> tuple[bool, int]:
    name = item.path.name
    stands_in = isinstance(item, pytest.Function) and "stand_in" in item.fixturenames
    return stands_in, LAST.index(name) + 1 if name in LAST else 0


@pytest.fixture(scope="session")
def machine() -> None:
    """A machine that can have a node."""
    obstacle = unmet()
    if obstacle is not None:
        pytest.exit(f"the e2e tier did NOT run: {obstacle}", returncode=3)  # a skipped tier has not passed


@pytest.fixture(scope="session")
def opened(
    machine: None, local_node: OwnNode, state_folder: StateFolder, tmp_path_factory: pytest.TempPathFactory
) -> Served:
    """The stack with its images on the node, and nothing deployed."""
    stack = Served(local_node, state_folder, tmp_path_factory.mktemp("e2e"))
    stack.open()
    return stack


@pytest.fixture(scope="session")
def served(opened: Served) -> Served:
    """The stack with the engine that production has, brought up once."""
    # An engine that hangs is restarted sooner.
    opened.change(lambda model: model.update(timeouts={"stallSeconds": STALL_SECONDS}))
    opened.up()
    wait_until(opened.answers, 60, "its Service leads to it")
    return opened


@pytest.fixture(scope="session")
def stand_in(opened: Served) -> Served:
    """The stack with the stand-in for the engine. The tests of the real one are over."""
    opened.restore()
    opened.change(lambda model: model.update(timeouts={"stallSeconds": STAND_IN_STALL_SECONDS}))
    opened.replace_engine(image.build())
    opened.up()
    wait_until(lambda: len(opened.pods()) == 1 and opened.answers(), 240, "the engine is replaced")
    wait_until(lambda: not opened.pods(model=EMBEDDER, ending=True), 120, "the node has room")
    return opened
