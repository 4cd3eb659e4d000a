"""Commands of outside programs that the documents tell readers to type are commands that these programs take.

A program reads them itself: as a run against something that is here, or as far as its own parser goes. Of gcloud and
docker nothing is asked: few machines that run these tests have them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from llm_serving_load.main import main as load

from local.cluster.layout import tools
from tests.unit.stacks.settings_files import REPOSITORY
from tests.unit.stacks.test_doc_commands import PAGES, commands, whole_lines

SEARCHED = os.pathsep.join([str(tools() / "bin"), os.environ["PATH"]])
NO_SUCH = "--no-such-option"


def typed(*beginning: str) -> list[list[str]]:
    """Every command of the documents that begins so, once."""
    every = {tuple(command): command for page in PAGES for command in commands(page.read_text())}
    return [command for command in every.values() if tuple(command[: len(beginning)]) == beginning]


def with_help(program: str) -> list[list[str]]:
    return typed(program) if shutil.which(program, path=SEARCHED) else []


def named(command: list[str]) -> str:
    return shlex.join(command)[:60]


def shell_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
            yield page.relative_to(REPOSITORY).as_posix(), block


def test_the_shell_can_read_every_block() -> None:
    for page, block in shell_blocks():
        read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert read.returncode == 0, f"{page}: {read.stderr}\n{block}"


@pytest.mark.parametrize("command", [*with_help("pulumi"), *with_help("kubectl")], ids=named)
def test_pulumi_and_kubectl_know_the_command_and_its_options(command: list[str], tmp_path: Path) -> None:
    """With `--help` they read the command line, refuse what they do not know, and do nothing."""
    environment = {**os.environ, "PATH": SEARCHED, "HOME": str(tmp_path), "PULUMI_HOME": str(tmp_path)}
    # Some options are shown with the first of these only.
    environment |= {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    read = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert read.returncode == 0, f"{shlex.join(command)}: {read.stderr}"
    # The help of a group of commands: the next word is none of them.
    usage = read.stdout.partition("Usage:")[2]
    assert usage
    assert not re.search(r"\[command\]|kubectl \[flags\]", usage), f"{shlex.join(command)}: no such command"


@pytest.mark.parametrize("command", typed("llm-serving-load"), ids=named)
def test_the_loader_knows_the_options(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It names all that it does not know at once."""
    with pytest.raises(SystemExit):
        load([*command[1:], NO_SUCH])
    assert capsys.readouterr().err.endswith(f"unrecognized arguments: {NO_SUCH}\n")


def curl_options() -> str:
    """What curl says of its options; nothing where it is not there."""
    if shutil.which("curl") is None:
        return ""
    return subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=False).stdout


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, which stands for every one that is on the network."""
    folder = tmp_path / "repository"
    folder.mkdir()
    # Hooks of git, and `git rebase --exec`, name the repository that they run in: nothing may be done to that one.
    for variable in [variable for variable in os.environ if variable.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for url in ("https://github.com/OWNER/llm-serving.git", "https://huggingface.co/Qwen/Qwen3-4B"):
        subprocess.run(["git", "config", "--global", "--add", f"url.{folder}.insteadOf", url], check=True)
    for key, value in (("user.name", "Reader"), ("user.email", "reader@example.com")):
        subprocess.run(["git", "config", "--global", key, value], check=True)
    locked = folder / "stacks/releases/images.lock.yaml"
    locked.parent.mkdir(parents=True)
    locked.write_text("{}\n")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "First"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    locked.write_text("{a: b}\n")
    return folder


@pytest.mark.parametrize("command", typed("git"), ids=named)
def test_git_does_what_it_is_told(command: list[str], git: Path) -> None:
    done = subprocess.run(command, cwd=git, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


@pytest.mark.skipif("--json" not in curl_options(), reason="curl is not there, or older than 7.82, which has no --json")
def test_curl_asks_as_an_openai_client_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, dict[str, object]]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    lines = [
        line
        for _, block in shell_blocks()
        for line in whole_lines(block.replace("\\\n", " ").splitlines())
        if line.startswith("curl") and any(re.match("http.*/v1/", word) for word in shlex.split(line))
    ]
    assert lines
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / ".curlrc").write_text(f'connect-to = "::127.0.0.1:{server.server_port}"\nnoproxy = "*"\n')
        monkeypatch.setenv("CURL_HOME", str(tmp_path))
        try:
            for line in lines:
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{line}: {done.stderr}"
        finally:
            server.shutdown()
    for path, content_type, body in asked:
        assert path == "/v1/chat/completions"
        assert content_type == "application/json"
        assert body["model"]
        assert body["messages"]
    assert len(asked) == len(lines)


def test_packages_of_this_repository_have_the_extras_that_are_asked_for() -> None:
    packages = [
        re.fullmatch(r"\./(?:llm-serving/)?([\w/-]+)\[([\w,]+)\]", word)
        for command in typed("pip", "install")
        for word in command
    ]
    asked = [package.groups() for package in packages if package]
    assert asked
    for folder, extras in asked:
        project = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())["project"]
        assert {*extras.split(",")} <= {*project["optional-dependencies"]}, folder


def test_scripts_that_are_started_are_there() -> None:
    scripts = [command[1] if command[0] == "sh" else command[0] for command in [*typed("sh"), *typed(".ci/run")]]
    assert scripts
    for script in scripts:
        assert (REPOSITORY / script).is_file()
    assert os.access(REPOSITORY / ".ci/run", os.X_OK)
