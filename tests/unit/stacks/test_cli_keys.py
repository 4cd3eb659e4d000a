"""``stacks keys``: the commands by which keys of the gateway are made, listed and checked."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from llm_serving.errors import ProblemsError
from stacks.cli import app
from stacks.keys import hash_key, is_key
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
