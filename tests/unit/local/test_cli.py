"""The commands of `make` on this machine: what they hand on, and how they end."""

from pathlib import Path

import pytest

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
    assert exit_status("destroy", "dev") == 0
    assert calls.read_text().splitlines()[-1].endswith("destroy --yes --stack dev")


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
        "error: there is no image 'vlm' (try: base, vllm, model-loader, tiny-model)"
    ]
