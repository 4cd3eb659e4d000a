"""The tier of the real engine. Where a tool is missing the whole tier ends at once, says which, and does not pass."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from local.cluster.layout import missing_programs
from local.cluster.layout import tools as tools_folder
from tests.engine.local_stack import LocalStack

FOLDER = Path(__file__).parent
SECONDS = 1800
"""A guard for a test with what is set up for it, far more than it takes."""


class ByStack(LoadScopeScheduling):
    """Tests that share a stack or a cluster stay in one process.

    By the mark ``xdist_group`` they do not: from pytest 9.2 on, xdist 3.8 ignores it (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.endswith("/test_faults.py"):
            return nodeid  # each has a stack of its own
        if file.endswith("/test_environments.py"):
            return f"{file}[{test.partition('[')[2]}"
        return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    """In the order of collection: by default the groups with the fewest tests, which take longest here, begin last."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest begin first: whole stacks before what runs on a control plane alone."""
    own = [item for item in items if item.path.is_relative_to(FOLDER)]
    for item in own:
        item.add_marker(pytest.mark.timeout(SECONDS))
    items[:] = [item for item in items if item not in own]
    items += sorted(own, key=lambda item: str(item.path), reverse=True)


def missing_tools() -> list[str]:
    """What this tier needs and the machine lacks."""
    engine = [tool for tool in ("pulumi", "pulumi-language-python") if not (tools_folder() / "bin" / tool).exists()]
    return [*(tool for tool in engine if shutil.which(tool) is None), *missing_programs()]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before there are several processes, of which none could tell why it ends."""
    if not hasattr(session.config, "workerinput") and not session.config.option.setupplan:
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
