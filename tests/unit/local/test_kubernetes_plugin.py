"""The kubernetes plugin that was asked for is the one that the engine finds."""

from importlib.metadata import version
from pathlib import Path

import pytest

from local import kubernetes_plugin
from local.kubernetes_plugin import PROGRAM, VARIABLE, OfficialPlugin, PluginError, find
from local.pulumi_home import environment, prepare
from local.state_folder import StateFolder

SDK = version("pulumi-kubernetes")
BINARY = b"\x7fELF\xff\xfe"
MAJOR, MINOR, _ = SDK.split(".")


@pytest.fixture(autouse=True)
def tools_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of a folder of tools of its own, in which nothing has been built."""
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(tmp_path / "tools"))
    return tmp_path / "tools" / "bin"


def install(pulumi_home: Path, version_: str = SDK) -> Path:
    program = pulumi_home / "plugins" / f"resource-kubernetes-v{version_}" / PROGRAM
    program.parent.mkdir(parents=True)
    program.write_bytes(BINARY)
    program.chmod(0o755)
    return program


def official_requested(user: Path, path: str = "/nowhere") -> dict[str, str]:
    return {VARIABLE: "official", "PULUMI_HOME": str(user), "PATH": path}


def test_without_a_word_it_is_the_plugin_of_this_repository(tmp_path: Path) -> None:
    state_folder = StateFolder(tmp_path / "state")
    prepare(state_folder, {})
    assert "local.providers.kubernetes" in state_folder.plugin("kubernetes").read_text()
    assert kubernetes_plugin.describe(state_folder, {}) == f"local {SDK} (this repository)"


def test_on_request_the_users_own_is_linked_and_the_way_back_leaves_it_alone(tmp_path: Path) -> None:
    state_folder, theirs = StateFolder(tmp_path / "state"), install(tmp_path / "user")
    environment_ = official_requested(tmp_path / "user")
    prepare(state_folder, {})
    prepare(state_folder, environment_)
    assert state_folder.plugin("kubernetes").resolve() == theirs
    assert "local.providers.gcp" in state_folder.plugin("gcp").read_text()
    assert kubernetes_plugin.describe(state_folder, environment_) == f"official {SDK} ({theirs})"
    prepare(state_folder, environment_)
    prepare(state_folder, {})
    assert "local.providers.kubernetes" in state_folder.plugin("kubernetes").read_text()
    assert theirs.read_bytes() == BINARY


def test_one_of_the_same_version_goes_before_newer_ones_and_older_ones_do_not_fit(tmp_path: Path) -> None:
    user = tmp_path / "user"
    install(user, f"{MAJOR}.0.0")
    install(user, f"{int(MAJOR) + 1}.0.0")
    assert find(tmp_path / "own", SDK, official_requested(user)) is None
    newer = install(user, f"{MAJOR}.{int(MINOR) + 1}.0")
    assert find(tmp_path / "own", SDK, official_requested(user)) == OfficialPlugin(newer, newer.parent.name[21:])
    same = install(user)
    assert find(tmp_path / "own", SDK, official_requested(user)) == OfficialPlugin(same, SDK)


def test_a_download_that_was_cut_off_is_no_plugin(tmp_path: Path) -> None:
    folder = install(tmp_path / "user").parent
    assert find(tmp_path / "own", SDK, official_requested(tmp_path / "user"))
    folder.with_name(f"{folder.name}.partial").touch()
    assert find(tmp_path / "own", SDK, official_requested(tmp_path / "user")) is None


def test_the_one_on_path_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    program = tmp_path / "bin" / PROGRAM
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    state_folder, environment_ = (
        StateFolder(tmp_path / "state"),
        official_requested(tmp_path / "user", str(program.parent)),
    )
    prepare(state_folder, environment_)
    assert state_folder.plugin("kubernetes").resolve() == program
    assert str(program) in kubernetes_plugin.describe(state_folder, environment_)


def test_the_one_that_was_built_is_taken_where_there_is_no_other(tmp_path: Path, tools_folder: Path) -> None:
    built = tools_folder / PROGRAM
    built.parent.mkdir(parents=True)
    built.write_bytes(BINARY)
    built.chmod(0o755)
    state_folder, environment_ = StateFolder(tmp_path / "state"), official_requested(tmp_path / "user")
    prepare(state_folder, environment_)
    assert state_folder.plugin("kubernetes").resolve() == built
    theirs = install(tmp_path / "user")
    prepare(state_folder, environment_)
    assert state_folder.plugin("kubernetes").resolve() == theirs


def test_where_there_is_none_pulumi_downloads_it_into_a_home_of_its_own(tmp_path: Path) -> None:
    """A ``pulumi`` that behaves as the real one does with a network."""
    command = tmp_path / "bin" / "pulumi"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\nfolder="$PULUMI_HOME/plugins/resource-$4-$5"\n'
        f'mkdir -p "$folder" && printf "#!/bin/sh\\n" > "$folder/{PROGRAM}" && chmod +x "$folder/{PROGRAM}"\n'
    )
    command.chmod(0o755)
    environment_ = official_requested(tmp_path / "user", f"{command.parent}:/usr/bin:/bin")
    state_folder = StateFolder(tmp_path / "state")
    assert "not here yet" in kubernetes_plugin.describe(state_folder, environment_)
    prepare(state_folder, environment_)
    assert state_folder.plugin("kubernetes").resolve().is_relative_to(state_folder.official_pulumi_home)


def test_one_that_cannot_be_had_is_an_error_with_the_ways_out_and_leaves_no_launcher_of_ours(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "pulumi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'error: no such host' >&2\nexit 1\n")
    command.chmod(0o755)
    state_folder = StateFolder(tmp_path / "state")
    prepare(state_folder, {})
    with pytest.raises(PluginError, match=rf"(?s)no such host.*plugin install.*unset {VARIABLE}"):
        prepare(state_folder, official_requested(tmp_path / "user", f"{command.parent}:/usr/bin:/bin"))
    assert not state_folder.plugin("kubernetes").exists()


def test_our_launcher_is_not_taken_for_the_official_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    state_folder = StateFolder(tmp_path / "state")
    prepare(state_folder, {})
    assert "not here yet" in kubernetes_plugin.describe(state_folder, official_requested(state_folder.pulumi_home))


def test_another_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"'real'.*'local'.*'official'"):
        prepare(StateFolder(tmp_path), {VARIABLE: "real"})


def test_the_official_one_is_refused_for_simulated_clusters() -> None:
    kubernetes_plugin.refuse_on_local_clouds("existing", {VARIABLE: "official"})
    kubernetes_plugin.refuse_on_local_clouds("gcp", {})
    with pytest.raises(PluginError, match="cloud 'gcp'"):
        kubernetes_plugin.refuse_on_local_clouds("gcp", {VARIABLE: "official"})


def test_a_plugin_that_happens_to_be_on_path_does_not_win(tmp_path: Path) -> None:
    assert environment(StateFolder(tmp_path))["PULUMI_IGNORE_AMBIENT_PLUGINS"] == "true"
