"""An upgrade of the package restarts nothing by itself, and a change of the launcher names what it restarts."""

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from infra import launcher_version
from llm_serving.errors import ProblemsError
from llm_serving.launchers import Launcher, current
from stacks.settings import parse_settings, resolve
from tests.unit.stacks.settings_files import settings_data

NEWEST = Launcher("0.9.0", b"", "9" * 64)
OLDER = Launcher("0.8.0", b"", "8" * 64)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A preview with a package that carries two launchers; what it tells."""
    lines: list[str] = []
    monkeypatch.setattr(launcher_version, "current", lambda: NEWEST)
    monkeypatch.setattr(launcher_version, "launchers", lambda: {NEWEST.version: NEWEST, OLDER.version: OLDER})
    monkeypatch.setattr(pulumi.log, "warn", lines.append)
    monkeypatch.setattr(pulumi.log, "info", lines.append)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    return lines


def _last(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    outputs = {} if version is None else {"launcher": version}
    monkeypatch.setattr(pulumi.runtime, "invoke", lambda *_: SimpleNamespace(value={"outputs": outputs}))


def _stack(version: str | None = None) -> Any:
    """The stack ``dev``, whose settings name a launcher that the real package may not carry."""
    stack = resolve(parse_settings(settings_data(), "Pulumi.dev.yaml"), "Pulumi.dev.yaml")
    launcher = stack.settings.launcher.model_copy(update={"version": version})
    object.__setattr__(stack, "settings", stack.settings.model_copy(update={"launcher": launcher}))
    return stack


def test_a_first_update_takes_the_newest(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _last(monkeypatch, None)
    assert launcher_version.launcher_version(_stack()) == NEWEST.version
    assert told == []


def test_what_runs_stays_as_long_as_the_package_carries_it(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _last(monkeypatch, OLDER.version)
    assert launcher_version.launcher_version(_stack()) == OLDER.version
    (line,) = told
    assert f"{OLDER.version} runs, and {NEWEST.version} is there" in line
    assert line.startswith("Pulumi.dev.yaml: llm-serving:launcher.version")


@pytest.mark.parametrize("last", [OLDER.version, "0.1.0"])
def test_a_change_names_the_models_that_restart(told: list[str], monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    _last(monkeypatch, last)
    stack = _stack(NEWEST.version if last == OLDER.version else None)
    assert launcher_version.launcher_version(stack) == NEWEST.version
    (line,) = told
    assert f"{NEWEST.version} in the place of {last}" in line
    assert line.endswith(f"restarts {', '.join(model.spec.name for model in stack.models)}")


def test_a_version_that_is_not_carried_is_refused_before_anything_is_made() -> None:
    data = settings_data() | {"launcher": {"version": "99.0.0"}}
    with pytest.raises(ProblemsError) as refusal:
        resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")
    (problem,) = refusal.value.problems
    assert problem.path == "llm-serving:launcher.version"
    assert current().version in str(problem.suggestion)
