"""``make bench`` takes what this machine can measure, and says what the rest needs."""

from pathlib import Path

import pytest

import bench.__main__ as everything

MEASUREMENTS = {path.stem for path in Path(everything.__file__).parent.glob("*.py") if "def main(" in path.read_text()}


def test_it_runs_every_measurement():
    assert set(everything.PROGRAMS) | {"__main__", "generator"} >= MEASUREMENTS >= set(everything.PROGRAMS)


def test_one_that_lacks_something_is_named_with_what_it_needs_and_is_no_failure(monkeypatch, capfd):
    monkeypatch.setattr(everything, "PROGRAMS", {"endpoint": lambda: "the endpoint (make up)"})
    assert everything.main([]) == 0
    assert capfd.readouterr().out == "endpoint: NOT measured, for it needs the endpoint (make up)\n"


def test_one_that_fails_is_a_failure_and_the_next_one_runs(monkeypatch, capfd):
    monkeypatch.setattr(everything, "PROGRAMS", {"nonexistent": lambda: None, "loader": lambda: None})
    assert everything.main(["--quick"]) == 1
    assert "Loader against a plain copy" in capfd.readouterr().out


def test_a_name_that_is_no_measurement_is_refused(capfd):
    with pytest.raises(SystemExit):
        everything.main(["everything"])
    assert "invalid choice" in capfd.readouterr().err
