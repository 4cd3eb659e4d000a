from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.pin("1.2.3")
    return made
