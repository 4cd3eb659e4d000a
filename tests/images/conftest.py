"""The tier of the images: tests of a file stay in one process, and all of the gateway, which is slow to start."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SHARED = "tests/images/gateway/"
"""Tests below it use the same gateways, back ends and Redis."""

LAST = "test_ends.py"


class ByFile(LoadScopeScheduling):
    """As ``--dist loadfile``, and one process for all files of a folder that shares what it starts."""

    def _split_scope(self, nodeid: str) -> str:
        return SHARED if nodeid.startswith(SHARED) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """In the order of collection: what takes long begins first."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The gateway's tests begin first: they take longest in one process. Those that end what others use come last."""
    folder = Path(__file__).parent / "gateway"
    items.sort(key=lambda item: (not item.path.is_relative_to(folder), item.path == folder / LAST))
