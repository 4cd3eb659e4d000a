"""``stacks release``: the commands by which releases are added, checked and listed."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llm_serving.errors import ProblemsError
from stacks.cli import app
from stacks.releases import RELEASES, read_releases
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings

MODEL = "qwen3-0-6b"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "releases"
    shutil.copytree(RELEASES, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def run(*arguments: str, releases: Path = RELEASES) -> Result:
    return CliRunner().invoke(app, ["release", *arguments, "--releases", str(releases)])


def cells(output: str) -> list[list[str]]:
    """The rows of a plain table as they were printed, under its title and the titles of its columns."""
    return [re.split(r"  +", line) for line in output.splitlines()[2:]]


def test_add_writes_a_release_and_says_its_hash(folder: Path) -> None:
    done = run("add", MODEL, "1.2.0", "--from", "1.1.0", "--set", "contextLength=4096", releases=folder)
    assert done.exit_code == 0, done.output
    added = read_releases(folder)[MODEL, "1.2.0"]
    assert f"{MODEL}/1.2.0.yaml  {added.sha256[:12]}" in done.output
    assert added.spec.context_length == 4096


def test_the_example_in_the_documents_prints_what_it_says(folder: Path) -> None:
    page = (REPOSITORY / "docs/releases.md").read_text()
    (example,) = re.findall(r"^```console\n\$ python -m stacks release (.*?)^```", page, re.DOTALL | re.MULTILINE)
    command, *printed = example.splitlines()
    done = run(*shlex.split(command), releases=folder)
    lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    assert [line.replace(str(folder), "stacks/releases") for line in lines] == printed


def test_add_tells_what_its_author_should_know(folder: Path) -> None:
    done = run("add", MODEL, "1.2.0", "--from", "1.1.0", "--set", "engine.version=0.33.0", releases=folder)
    assert "note: image.tag follows the engine's version" in done.stderr


def test_add_starts_from_one_thing(folder: Path) -> None:
    done = run("add", MODEL, "1.2.0", "--from", "1.1.0", "--file", "x.yaml", releases=folder)
    assert isinstance(done.exception, ProblemsError)
    assert "one of the two" in str(done.exception)


def test_verify_says_what_was_compared(folder: Path) -> None:
    done = run("verify", releases=folder)
    assert done.exit_code == 0
    count = len(list(folder.glob("*/*.yaml")))
    assert f"{count} releases match their lock" in done.output
    assert "history was not compared: not a git repository" in done.output


def test_a_refusal_is_an_error_of_the_program_without_a_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "stacks", "release", "verify", "--against", "main", "--releases", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --against = 'main'")


def test_lock_records_what_was_written_by_hand(folder: Path) -> None:
    text = (folder / MODEL / "1.0.0.yaml").read_text()
    (folder / MODEL / "1.2.0.yaml").write_text(text.replace("version: 1.0.0", "version: 1.2.0"))
    assert f"locked {MODEL}/1.2.0.yaml" in run("lock", releases=folder).output
    assert "nothing new" in run("lock", releases=folder).output


def test_list_shows_who_serves_a_release_in_which_role(tmp_path: Path) -> None:
    data = settings_data()
    write_settings(tmp_path, data, "dev")
    put(data, "models[0].releases", {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 10}})
    write_settings(tmp_path, data, "staging")
    put(data, "models[0].releases", {"stable": "1.1.0", "previous": "1.0.0"})
    write_settings(tmp_path, data, "prod")
    done = run("list", MODEL, "--folder", str(tmp_path), "--plain")
    rows = {row[1]: row for row in cells(done.output)}
    assert list(rows) == ["1.0.0", "1.1.0"]
    assert rows["1.0.0"][-1] == "dev: stable, prod: previous, staging: canary, weight 10 % not in force: no gateway"
    assert rows["1.1.0"][-1] == "prod: stable, staging: stable"
    release = read_releases()[MODEL, "1.0.0"]
    assert rows["1.0.0"][:-1] == [
        MODEL,
        "1.0.0",
        "vllm 0.32.0",
        "none",
        "8192",
        release.spec.model.revision[:12],
        release.sha256[:12],
    ]


def test_list_shows_versions_in_their_order(folder: Path) -> None:
    for version in ("1.10.0", "1.9.0", "1.9.0-rc.1"):
        assert run("add", MODEL, version, "--from", "1.0.0", releases=folder).exit_code == 0
    done = run("list", MODEL, "--plain", releases=folder)
    assert [row[1] for row in cells(done.output)] == ["1.0.0", "1.1.0", "1.9.0-rc.1", "1.9.0", "1.10.0"]


def test_list_of_everything_has_a_row_for_each_release() -> None:
    rows = cells(run("list", "--plain", "--folder", str(REPOSITORY)).output)
    assert {(row[0], row[1]) for row in rows} == set(read_releases())


def test_a_settings_file_that_is_refused_does_not_hide_the_others(tmp_path: Path) -> None:
    write_settings(tmp_path, settings_data(), "dev")
    (tmp_path / "Pulumi.broken.yaml").write_text("config: {llm-serving:cloud: azure}\n")
    done = run("list", MODEL, "--folder", str(tmp_path), "--plain")
    assert done.exit_code == 0
    assert "dev: stable" in done.stdout
    assert "warning: Pulumi.broken.yaml is refused" in done.stderr


def test_list_suggests_the_nearest_model() -> None:
    done = run("list", "qwen3-0-6")
    assert isinstance(done.exception, ProblemsError)
    assert MODEL in str(done.exception)
