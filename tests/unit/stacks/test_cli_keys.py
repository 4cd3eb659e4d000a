"""``stacks keys``: the commands by which keys of the gateway are made, listed and checked."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from llm_serving.errors import ProblemsError
from llm_serving.spec import KeySpec
from stacks.cli import app
from stacks.commands.options import read_stack
from stacks.key_table import TableKey
from stacks.keys import hash_key, is_key
from stacks.report.keys import keys_sections, report_keys
from stacks.report.sections import plain_text
from tests.unit.stacks.settings_files import settings_data, write_settings

IMAGE = {"repository": "registry.example.com/gateway", "tag": "1.0.0"}
GATEWAY = {"image": IMAGE, "proxyImage": IMAGE, "routerImage": IMAGE}


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments], input=given)


def made(*arguments: str) -> tuple[str, list[dict[str, Any]]]:
    """A new key, and what is printed for the settings."""
    done = run("new", *arguments)
    assert done.exit_code == 0, done.output
    key, _, rest = done.output.partition("\n")
    return key, yaml.safe_load(rest[rest.index("- name") :])


def stack_with(folder: Path, keys: list[dict[str, Any]]) -> str:
    write_settings(folder, settings_data() | {"gateway": {**GATEWAY, "keys": keys}})
    return "dev"


def test_a_new_key_is_accepted_by_the_settings_that_are_printed_with_it(tmp_path: Path) -> None:
    key, lines = made("search", "--team", "chat", "--model", "qwen3-0-6b")
    assert is_key(key)
    assert lines == [{"name": "search", "sha256": hash_key(key), "team": "chat", "models": ["qwen3-0-6b"]}]
    stack = stack_with(tmp_path, lines)
    done = run("check", stack, "--folder", str(tmp_path), given=f"{key}\n")
    assert done.output == "search of team chat: qwen3-0-6b, without an end\n"


def test_no_two_keys_are_the_same() -> None:
    assert made("search", "--team", "chat")[0] != made("search", "--team", "chat")[0]


def test_a_key_that_the_settings_do_not_have_is_none_of_them_and_is_not_repeated(tmp_path: Path) -> None:
    _, lines = made("search", "--team", "chat")
    other, _ = made("search", "--team", "chat")
    stack = stack_with(tmp_path, lines)
    for given, reason in ((other, "none of them is this key"), (other[:-1], "no key was given"), ("", "no key")):
        done = run("check", stack, "--folder", str(tmp_path), given=given)
        assert isinstance(done.exception, ProblemsError)
        assert reason in str(done.exception)
        assert not given or given not in f"{done.output}{done.exception}"


def test_a_key_that_has_expired_is_refused_with_the_moment(tmp_path: Path) -> None:
    key, (line,) = made("search", "--team", "chat")
    stack = stack_with(tmp_path, [{**line, "expires": "2020-01-01T00:00:00Z"}])
    done = run("check", stack, "--folder", str(tmp_path), given=key)
    assert isinstance(done.exception, ProblemsError)
    assert "expired at 2020-01-01T00:00:00Z" in str(done.exception)


@pytest.mark.parametrize("form", ["table", "json", "markdown"])
def test_the_list_shows_limits_and_no_whole_hash(tmp_path: Path, form: str) -> None:
    _, (line,) = made("search", "--team", "chat")
    limits = {"requestsPerMinute": 600, "budget": {"tokens": 1_000_000}, "expires": "2020-01-01T00:00:00Z"}
    redis = {"redisImage": IMAGE, "redis": {"limits": {}}}
    gateway = {**GATEWAY, **redis, "keys": [{**line, **limits}]}
    write_settings(tmp_path, settings_data() | {"gateway": gateway})
    done = run("list", "dev", "--folder", str(tmp_path), "--format", form)
    assert done.exit_code == 0, done.output
    assert line["sha256"] not in done.output
    assert line["sha256"][:8] in done.output
    if form == "json":
        (key,) = json.loads(done.output)["keys"]
        assert (key["requestsPerMinute"], key["budget"]["tokens"], key["expired"]) == (600, 1_000_000, True)
    else:
        assert "600" in done.output
        assert "2020-01-01, expired" in " ".join(done.output.split())


def test_a_stack_without_a_gateway_has_no_keys(tmp_path: Path) -> None:
    data = settings_data()
    data.pop("gateway", None)
    write_settings(tmp_path, data)
    assert (
        run("list", "dev", "--folder", str(tmp_path)).output
        == "Pulumi.dev.yaml: the stack has no gateway, and no keys\n"
    )


TABLE = {"postgres": {"host": "keys.example.com", "secretName": "keys"}}
NOWHERE = "postgresql://owner:hunter2@127.0.0.1:1/llm_gateway"
"""Of a database that nothing here may ask."""


def refused(done: Result) -> str:
    assert isinstance(done.exception, ProblemsError), done.output
    assert "sk-llm-" not in done.output
    assert "hunter2" not in f"{done.output}{done.exception}"
    return str(done.exception)


@pytest.mark.parametrize(
    ("words", "path", "reason"),
    [
        (("search", "--team", "chats"), "team", "no such team"),
        (("search", "--team", "chat", "--model", "qwen3"), "models[0]", "no such model"),
        (("search", "--team", "chat", "--budget-usd", "5"), "budget.usd", "no price"),
        (("search", "--team", "chat", "--budget-days", "5"), "budget.usd", "a budget limits one of them"),
        (("search", "--team", "chat", "--requests-per-minute", "0"), "requestsPerMinute", "at least"),
        (("search", "--team", "chat", "--expires", "tomorrow"), "expires", "not a moment"),
        (("Search Team", "--team", "chat"), "name", "not a name"),
        (("settled", "--team", "chat"), "name", "is the name of a key of Pulumi.dev.yaml"),
    ],
)
def test_a_key_of_the_table_is_checked_as_one_of_the_settings_before_anything_is_made(
    tmp_path: Path, words: tuple[str, ...], path: str, reason: str
) -> None:
    settled = {"name": "settled", "sha256": hash_key("settled"), "team": "chat"}
    gateway = {**GATEWAY, **TABLE, "redisImage": IMAGE, "redis": {"limits": {}}, "keys": [settled]}
    write_settings(tmp_path, settings_data() | {"gateway": gateway})
    message = refused(run("add", "dev", *words, "--database", NOWHERE, "--folder", str(tmp_path)))
    assert path in message
    assert reason in message


def test_a_budget_that_nothing_counts_is_refused_in_the_table_too(tmp_path: Path) -> None:
    write_settings(tmp_path, settings_data() | {"gateway": {**GATEWAY, **TABLE}})
    words = ("add", "dev", "search", "--team", "chat", "--budget-tokens", "100000", "--database", NOWHERE)
    assert "it would be forgotten" in refused(run(*words, "--folder", str(tmp_path)))


@pytest.mark.parametrize("words", [("add", "search", "--team", "chat"), ("revoke", "x"), ("rotate", "x"), ("migrate",)])
def test_a_stack_without_a_table_has_no_keys_in_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    command, *rest = words
    stack = stack_with(tmp_path, [])
    done = run(command, stack, *rest, "--database", NOWHERE, "--folder", str(tmp_path))
    assert "gateway.postgres" in refused(done)


def test_the_list_says_where_keys_are_and_what_has_become_wrong_with_those_of_the_table(tmp_path: Path) -> None:
    settled = {"name": "settled", "sha256": hash_key("settled"), "team": "chat"}
    write_settings(tmp_path, settings_data() | {"gateway": {**GATEWAY, **TABLE, "keys": [settled]}})
    assert "keys of the table are not listed" in run("list", "dev", "--folder", str(tmp_path)).output
    ends_at = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [
        TableKey(KeySpec(name="gone", sha256=hash_key("gone"), team="former"), None),
        TableKey(KeySpec(name="old", sha256=hash_key("old"), team="chat", expires="2027-01-01T00:00:00Z"), ends_at),
    ]
    report = report_keys(read_stack("dev", tmp_path), datetime(2026, 1, 3, tzinfo=UTC), rows)
    assert [(key.name, key.place, key.expired) for key in report.keys] == [
        ("settled", "settings", False),
        ("gone", "table", False),
        ("old", "table", True),
    ]
    assert report.keys[1].problems == ("team: no such team",)
    text = plain_text(keys_sections(report))
    assert "gone, of the table: team: no such team" in text
