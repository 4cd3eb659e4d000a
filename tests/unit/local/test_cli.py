"""The commands of `make` on this machine: what they hand on, and how they end."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack_runner import StackRunner, destroy
from local.state_folder import REPOSITORY, StateFolder
from tests.unit.local.command_line import exit_status

PULUMI = '#!/bin/sh\nprintf "%s\\n" "$*" >> "$LLM_SERVING_TOOLS/calls"\ncase "$*" in *" refresh "*) exit 3;; esac\n'


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a ``pulumi`` of the test notes the arguments of each call; it fails at ``refresh``."""
    program = tmp_path / "tools" / "bin" / "pulumi"
    program.parent.mkdir(parents=True)
    program.write_text(PULUMI)
    program.chmod(0o755)
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(tmp_path / "state"))
    return tmp_path / "tools" / "calls"


def test_arguments_after_the_stack_reach_pulumi_as_they_are_and_its_status_comes_back(calls: Path) -> None:
    assert exit_status("refresh", "dev", "--target", "urn:a", "--diff") == 3
    last = calls.read_text().splitlines()[-1]
    assert last.endswith("--non-interactive refresh --yes --stack dev --target urn:a --diff")


def test_a_run_that_succeeds_ends_with_zero(calls: Path) -> None:
    assert exit_status("destroy", "dev", "--yes") == 0
    assert calls.read_text().splitlines()[-1].endswith("destroy --yes --stack dev")


def test_destroy_without_a_terminal_needs_a_yes(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("destroy", "dev") == 1
    assert "make destroy STACK=dev YES=1" in capsys.readouterr().err
    assert not calls.exists()


HAVING = [
    {"urn": "urn:pulumi:dev::llm::gcp:container/cluster:Cluster::dev", "type": "gcp:container/cluster:Cluster"},
    {"urn": "urn:pulumi:dev::llm::gcp:container/nodePool:NodePool::l4", "type": "gcp:container/nodePool:NodePool"},
]


@pytest.fixture
def dev(calls: Path) -> StackRunner:
    """A runner whose ``pulumi`` says that stack dev has the resources of HAVING."""
    state = {"deployment": {"resources": [item | {"custom": True} for item in HAVING]}}
    return _having(calls, state)


def _having(calls: Path, state: object) -> StackRunner:
    program = calls.parent / "bin" / "pulumi"
    (calls.parent / "state.json").write_text(json.dumps(state))
    program.write_text(PULUMI + f'case "$*" in *" stack export "*) cat {calls.parent}/state.json;; esac\n')
    return StackRunner(StateFolder.of())


@pytest.mark.parametrize(("answer", "status"), [(False, 1), (True, 0)])
def test_destroy_says_what_it_removes_and_asks(
    dev: StackRunner, calls: Path, capsys: pytest.CaptureFixture[str], answer: bool, status: int
) -> None:
    asked: list[str] = []

    def agrees(question: str) -> bool:
        asked.append(question)
        return answer

    assert destroy(dev, "dev", (), agrees) == status
    assert asked == ["Remove these 2 resources?"]
    assert "1 Cluster, 1 NodePool" in capsys.readouterr().out
    assert any(" destroy " in call for call in calls.read_text().splitlines()) == answer


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real terminal as standard input; what is written to it is typed."""
    keyboard, screen = pty.openpty()
    with os.fdopen(screen, encoding="utf-8") as typed:
        monkeypatch.setattr("sys.stdin", typed)
        yield keyboard
    os.close(keyboard)


@pytest.mark.parametrize(
    ("typed", "is_removed"),
    [("y", True), (" YES ", True), ("n", False), ("", False), ("yy", False)],
    ids=["y", "yes", "no", "only the enter key", "something else"],
)
def test_the_prompt_takes_a_yes_from_a_terminal_and_everything_else_for_a_no(
    dev: StackRunner, calls: Path, terminal: int, capsys: pytest.CaptureFixture[str], typed: str, is_removed: bool
) -> None:
    os.write(terminal, f"{typed}\n".encode())
    assert exit_status("destroy", "dev") == (0 if is_removed else 1)
    said = capsys.readouterr().out
    assert said.index("1 Cluster, 1 NodePool") < said.index("Remove these 2 resources? [y/N] ")
    assert ("nothing of dev was removed" in said) != is_removed
    assert any(" destroy " in call for call in calls.read_text().splitlines()) == is_removed


def test_a_yes_asks_nothing_and_still_says_what_goes(
    dev: StackRunner, calls: Path, terminal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status("destroy", "dev", "--yes") == 0
    said = capsys.readouterr().out
    assert "1 Cluster, 1 NodePool" in said
    assert "[y/N]" not in said


def test_a_protected_stack_is_not_destroyed_and_the_way_is_said(
    calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That the way works is seen in the engine tier (``test_destroy_leaves_nothing``)."""
    protected = {"deployment": {"resources": [item | {"custom": True, "protect": True} for item in HAVING]}}
    assert destroy(_having(calls, protected), "dev", (), None) == 1
    advice = capsys.readouterr().err
    assert "cluster.deletionProtection: false" in advice
    assert "make up STACK=dev" in advice
    assert not any(" destroy " in call for call in calls.read_text().splitlines())


def test_a_plan_of_faults_that_names_what_there_is_not_is_refused_before_anything_happens(
    calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = calls.parent.parent / "state"
    folder.mkdir()
    for plan, suggestion in (
        (
            "- {type: 'gcp:container/nodePol:NodePool', operation: create, fault: quota}",
            "gcp:container/nodePool:NodePool",
        ),
        ("- {type: 'gcp:*', operation: create, fault: qota}", "quota"),
        ("- {type: 'gcp:*', operation: creat, fault: quota}", "create"),
        ("- {type: NodePool, operation: create, fault: quota}", "gcp:container/nodePool:NodePool"),
        ("- {type: 'kubernetes:apps/v1:Deploymnt', operation: create, fault: quota}", "kubernetes:apps/v1:Deployment"),
        ("- {type: 'kubernetes:apps:Deployment', operation: create, fault: quota}", "kubernetes:apps/v1:Deployment"),
        ("- {type: 'kubernetes:apps/v2:Deployment', operation: create, fault: quota}", "kubernetes:apps/v1:Deployment"),
        ("- {type: 'gcp:*', operation: create, fault: quota, nam: x}", "name"),
        ("{type: 'gcp:*', operation: create, fault: quota}", "- type: ..."),
    ):
        (folder / "faults.yaml").write_text(plan)
        assert exit_status("up", "dev") == 1
        assert f"(try: {suggestion}" in capsys.readouterr().err
    assert not calls.exists()


def test_the_columns_of_make_help_stand_below_each_other_on_a_narrow_terminal() -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    command = ["make", "help"]
    shown = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    rows = shown.partition("\n\n")[0].splitlines()
    column = rows[0].index("this list")
    assert len(rows) > 20
    assert max(len(row) for row in shown.splitlines()) <= 80
    assert all(row[column - 1] == " " and row[column] != " " for row in rows)


def test_a_stack_without_settings_is_one_line_and_no_traceback(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("preview", "prd") == 1
    assert capsys.readouterr().err.startswith("error: Pulumi.prd.yaml: no such file (try: ")
    assert not calls.exists()


def test_what_is_no_command_is_refused_before_anything_happens(calls: Path) -> None:
    assert exit_status("ups", "dev") == 2
    assert exit_status() == 2
    assert not calls.exists()


def test_an_image_that_there_is_not_is_one_line(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (calls.parent / "bin" / "docker").write_text("#!/bin/sh\nexit 0\n")
    (calls.parent / "bin" / "docker").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{calls.parent / 'bin'}")
        assert exit_status("images", "build", "vlm") == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: there is no image 'vlm' "
        "(try: base, vllm, model-loader, gateway, quantizer, proxy, router, redis, tiny-model)"
    ]
