"""The tier of the real engine. Where a tool is missing the whole tier ends at once, says which, and does not pass."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cluster.layout import missing_programs
from local.cluster.layout import tools as tools_folder
from tests.engine.local_stack import LocalStack

FOLDER = Path(__file__).parent
SECONDS = 1800
"""A guard for a test with what is set up for it, far more than it takes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a stack or a cluster stay in one process; those that take longest begin first."""
    own = [item for item in items if item.path.is_relative_to(FOLDER)]
    for item in own:
        item.add_marker(pytest.mark.timeout(SECONDS))
        item.add_marker(pytest.mark.xdist_group(_shared(item)))
    # Whole stacks before what runs on a control plane alone.
    items[:] = [item for item in items if item not in own]
    items += sorted(own, key=lambda item: str(item.path), reverse=True)


def _shared(item: pytest.Item) -> str:
    """What a test shares with others, by name."""
    if item.path.name == "test_faults.py":
        return item.name  # each has a stack of its own
    callspec = getattr(item, "callspec", None)
    stack = callspec.params.get("stack", "") if callspec is not None else ""
    return f"{item.path.stem}-{stack}" if stack else item.path.stem


def missing_tools() -> list[str]:
    """What this tier needs and the machine lacks."""
    engine = [tool for tool in ("pulumi", "pulumi-language-python") if not (tools_folder() / "bin" / tool).exists()]
    return [*(tool for tool in engine if shutil.which(tool) is None), *missing_programs()]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before there are several processes, of which none could tell why it ends."""
    if not hasattr(session.config, "workerinput"):
        end_without_tools()


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Where the tier was not named on the command line."""
    end_without_tools()


def end_without_tools() -> None:
    """Ends the tier, as not passed, on a machine without its programs."""
    missing = missing_tools()
    if missing:
        pytest.exit(f"the engine tier did NOT RUN: {', '.join(missing)} missing (try: make setup)", returncode=3)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[LocalStack]:
    """The dev stack on fresh local clouds."""
    stack = LocalStack(tmp_path, "dev")
    yield stack
    stack.close()
