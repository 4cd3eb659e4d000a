"""The measurements that need the engine's image run: figures can be made again."""

import pytest
from rich.console import Console

from bench import batching, endpoint, launcher, up
from tests.e2e.served import Served
from tests.engine.local_stack import wait_until


def test_a_request_through_the_service_is_measured(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(served.runner.state.root))
    assert endpoint.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "first token" in printed
    assert "tokens a second" in printed


def test_a_start_under_the_launcher_is_measured(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert launcher.main(["--quick"]) == 0
    assert "Start to ready" in capsys.readouterr().out


def test_batches_are_measured(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert batching.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "clients 1: continuous" in printed
    assert "clients 4: continuous" in printed


def test_a_start_of_new_pods_is_measured_by_its_stages(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """It removes the stack and brings it up again, as the other tests know it."""
    up.measure(served.runner, 1, Console(width=120))
    printed = capsys.readouterr().out
    for stage in (
        "pulumi up, to the engine's container",
        "first answer",
        "together",
        "vllm serve, to its first answer",
    ):
        assert stage in printed
    wait_until(served.answers, 60, "its Service leads to it")
