"""Settings of these tests."""

from datetime import date
from importlib import import_module

import pytest


@pytest.fixture(autouse=True)
def fixed_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Support of a Kubernetes version ends on a day, and a test says the same on every day."""
    monkeypatch.setattr(import_module("stacks.settings.resolve"), "today", lambda: date(2026, 11, 29))
