"""What tiers share: that no cluster outlives a run, the node of this machine, and how long each tier of a run took."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local.cluster.layout import OWNER_VARIABLE

if TYPE_CHECKING:
    from local.endpoint.serving_clusters import OwnNode
    from local.state_folder import StateFolder

# A run that is killed cleans nothing up, and clusters are detached from whoever starts them. Whoever runs several tiers
# on one cluster names itself before.
os.environ.setdefault(OWNER_VARIABLE, str(os.getpid()))


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> "StateFolder":
    """The state folder of the node."""
    from local.state_folder import StateFolder  # tiers without a node need not wait for these imports

    return StateFolder(tmp_path_factory.mktemp("node") / "local")


@pytest.fixture(scope="session")
def local_node(state_folder: "StateFolder") -> "Iterator[OwnNode]":
    """A running node for every tier of the run, with what scales pods where the machine has that: a node that gets it
    later has to be started again, with all that runs on it.

    Whoever asks for it has made sure that the machine can have a node.
    """
    from local.cluster.autoscaling import programs
    from local.endpoint.serving_clusters import OwnNode

    node = OwnNode(state_folder)
    try:
        node.start(scales=not programs.missing())
        yield node
    finally:
        node.cluster.delete()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where a run had tests of several tiers: the time of each, with what was set up for it."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("/")[1]] += report.duration
    if len(seconds) > 1:
        terminalreporter.section("minutes of each tier")
        for tier, duration in seconds.items():
            terminalreporter.write_line(f"{duration / 60:6.1f}  {tier}")
