import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from local.pulumi_home import environment, prepare
from local.state_folder import StateFolder
from tests.unit.local.command_line import exit_status


def test_pulumi_finds_a_plugin_for_each_sdk_at_its_version(tmp_path: Path) -> None:
    state_folder = StateFolder(tmp_path / "state")
    launchers = prepare(state_folder)
    assert [str(path.relative_to(state_folder.pulumi_home)) for path in launchers] == [
        f"plugins/resource-aws-v{version('pulumi-aws')}/pulumi-resource-aws",
        f"plugins/resource-gcp-v{version('pulumi-gcp')}/pulumi-resource-gcp",
        f"plugins/resource-kubernetes-v{version('pulumi-kubernetes')}/pulumi-resource-kubernetes",
    ]
    for path in launchers:
        assert os.access(path, os.X_OK)
        assert len(path.read_text().splitlines()) == 2


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    state_folder = StateFolder(tmp_path / "state")
    before = {path: (path.stat().st_mtime_ns, path.read_text()) for path in prepare(state_folder)}
    passphrase = state_folder.passphrase_file.read_text()
    assert {path: (path.stat().st_mtime_ns, path.read_text()) for path in prepare(state_folder)} == before
    assert state_folder.passphrase_file.read_text() == passphrase
    assert state_folder.passphrase_file.stat().st_mode & 0o077 == 0


def test_a_launcher_starts_a_plugin_that_says_its_port_first(tmp_path: Path) -> None:
    state_folder = StateFolder(tmp_path / "state with space")
    launcher = prepare(state_folder)[0]
    with subprocess.Popen([launcher, "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert 1024 < port < 65536
        process.terminate()
        assert process.wait(10) == 0


def test_the_environment_points_into_the_state_folder(tmp_path: Path) -> None:
    values = environment(StateFolder(tmp_path))
    assert values["PULUMI_HOME"] == str(tmp_path / "pulumi-home")
    assert values["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/backend"
    assert values["LLM_SERVING_LOCAL"] == str(tmp_path)


def test_the_state_folder_is_named_by_the_environment(tmp_path: Path) -> None:
    assert StateFolder.of({"LLM_SERVING_LOCAL": str(tmp_path)}).root == tmp_path
    assert StateFolder.of({}).root.name == ".local"
    assert StateFolder.of({"LLM_SERVING_LOCAL": "other"}).root.is_absolute()


def test_the_shell_gets_exports_that_survive_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(tmp_path / "a b"))
    assert exit_status("env") == 0
    script = capsys.readouterr().out + '\nprintf %s "$PULUMI_HOME"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == str(tmp_path / "a b" / "pulumi-home")


def test_status_of_nothing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(tmp_path / "none"))
    assert exit_status("status") == 0
    assert "Nothing is there yet" in capsys.readouterr().out
    assert exit_status("kubeconfig") == 1
    assert "run an update first" in capsys.readouterr().err


def test_clean_asks_and_never_takes_what_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state_folder = StateFolder(tmp_path / "state")
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(state_folder.root))
    prepare(state_folder)
    assert exit_status("clean") == 1, "nobody is there to answer"
    (state_folder.root / "thesis.doc").touch()
    assert exit_status("clean", "--yes") == 1
    assert "thesis.doc" in capsys.readouterr().err
    (state_folder.root / "thesis.doc").unlink()
    assert exit_status("clean", "--yes") == 0
    assert not state_folder.root.exists()
