"""What is fixed for the life of a stack is compared with what the engine has saved, whatever moment it is read at."""

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from infra import last_update
from infra.clouds import immutable
from stacks.settings import parse_settings, resolve
from tests.unit.infra.test_gateway import GATEWAY
from tests.unit.stacks.settings_files import settings_data

HALF_WRITTEN = "invocation of pulumi:pulumi:readStackOutputs returned an error: failed to load checkpoint: EOF"


@pytest.fixture
def immutable_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(last_update, "RETRY_PAUSES", (0.0, 0.0))
    return immutable


def _stub_outputs(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[Any]:
    """The engine's answers to reading the stack's outputs, one after the other."""
    left = list(answers)

    def invoke(token: str, properties: dict[str, Any]) -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(value={"outputs": answer})

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    return left


def _stack(**more: Any) -> Any:
    return resolve(parse_settings({**settings_data(), **more}, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")


def test_a_checkpoint_that_is_just_being_written_is_read_again(
    immutable_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = _stub_outputs(monkeypatch, Exception(HALF_WRITTEN), {"fixed": _stack().settings.fixed})
    immutable_settings.refuse_changes_of_fixed_settings(_stack())
    assert left == []


def test_a_state_that_cannot_be_read_is_an_error(immutable_settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _stub_outputs(monkeypatch, *[Exception(HALF_WRITTEN)] * 3)
    with pytest.raises(Exception, match="failed to load checkpoint"):
        immutable_settings.refuse_changes_of_fixed_settings(_stack())


def test_a_first_update_has_nothing_to_compare(immutable_settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _stub_outputs(monkeypatch, {})
    immutable_settings.refuse_changes_of_fixed_settings(_stack())


def test_every_fixed_setting_that_differs_is_named(immutable_settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _stack().settings.fixed | {"region": "us-west1", "network.pods": "10.128.0.0/18"}
    _stub_outputs(monkeypatch, {"fixed": before})
    with pytest.raises(pulumi.RunError, match=r"(?s)llm-serving:region = 'us-central1'.*llm-serving:network\.pods"):
        immutable_settings.refuse_changes_of_fixed_settings(_stack())


def test_outputs_of_an_older_program_do_not_stand_in_the_way(
    immutable_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stub_outputs(monkeypatch, {"fixed": _stack().settings.fixed, "cost": {"total": 1}, "models": ["qwen3-0-6b"]})
    immutable_settings.refuse_changes_of_fixed_settings(_stack())


def test_a_disk_keeps_its_class_for_as_long_as_it_is_there(
    immutable_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_limits(limits: Any) -> Any:
        return _stack(gateway={**GATEWAY, "cache": None, "redis": {"limits": limits}})

    before = {"fixed": with_limits({}).settings.fixed}
    _stub_outputs(monkeypatch, before, before, before)
    refused = r"limits\.storageClass = 'fast': fixed for the life of its disk.*first an update without gateway\.redis"
    with pytest.raises(pulumi.RunError, match=refused):
        immutable_settings.refuse_changes_of_fixed_settings(with_limits({"storageClass": "fast"}))
    immutable_settings.refuse_changes_of_fixed_settings(with_limits(None))
    immutable_settings.refuse_changes_of_fixed_settings(_stack())
