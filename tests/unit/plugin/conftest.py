from collections.abc import Iterator

import pytest

from tests.unit.plugin.engine import Plugin, running_plugin


@pytest.fixture(scope="session")
def plugin() -> Iterator[Plugin]:
    """One plugin process for all tests, as one process serves a whole deployment."""
    with running_plugin() as plugin:
        yield plugin
