"""One account of the local AWS a module, with its API; a module's tests use names of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.state_folder import StateFolder


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("aws")
    yield folder
    for api in StateFolder(folder).aws_apis():
        api.stop()
