"""Keys and budgets in Postgres: keys count and end without an update; a Postgres that fails keeps nobody waiting, and
nothing that was spent is forgotten."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from llm_serving.errors import ProblemsError
from stacks.cli import app
from stacks.key_table import in_database
from tests.images.gateway.pods import Pod, wait_until
from tests.images.gateway.postgres import PASSWORD
from tests.images.gateway.test_limits import everything_counted
from tests.images.gateway.test_parts import run
from tests.unit.stacks.settings_files import settings_data, write_settings

AWAY = "llm_gateway_postgres_away"
IMAGE = {"repository": "registry.example.com/gateway", "tag": "1.0.0"}
MADE_UP = "sk-llm-" + "x" * 43


@pytest.fixture
def keys(postgres, tmp_path, monkeypatch):
    """``stacks keys`` on the table; returns what it printed."""
    table = {"host": "127.0.0.1", "secretName": "keys"}
    gateway = {"image": IMAGE, "proxyImage": IMAGE, "routerImage": IMAGE, "redisImage": IMAGE}
    gateway |= {"redis": {"limits": {}}, "postgres": table}
    write_settings(tmp_path, settings_data() | {"gateway": gateway})
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("LLM_SERVING_KEYS_DATABASE", postgres.url)

    def keys(command: str, *words: str) -> str:
        done = CliRunner().invoke(app, ["keys", command, "dev", *words, "--folder", str(tmp_path)])
        assert done.exit_code == 0, f"{done.output}{done.exception}"
        return done.output

    return keys


def made(output: str) -> str:
    """The key that was printed."""
    found = re.match(r"sk-llm-\S{43}\n", output)
    assert found, output
    return found[0].strip()


def ask(pod: Pod, key: str, **fields):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, **fields}
    return pod.post("/v1/chat/completions", body, None, headers={"authorization": f"Bearer {key}"})


def status(pod: Pod, key: str) -> int:
    return ask(pod, key).status_code


def test_a_key_counts_once_it_is_added_and_ends_once_it_is_revoked_without_a_restart(pods, pod, keys):
    assert [status(pod, MADE_UP) for pod in pods] == [401, 401]
    key = made(keys("add", "search", "--team", "chat", "--requests-per-minute", "1000"))
    assert [status(pod, key) for pod in pods] == [200, 200]
    assert "search" in keys("list")
    assert key not in keys("list")
    keys("revoke", "search")
    for pod in pods:
        # What it has looked up counts for an hour: it was told.
        wait_until(lambda pod=pod: status(pod, key) == 401, "the end of the key")
    # A name that was revoked is free.
    assert status(pods[0], made(keys("add", "search", "--team", "chat"))) == 200


def test_a_database_that_refuses_is_named_without_what_is_secret(keys, monkeypatch, postgres):
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    for url in (postgres.url, postgres.url.replace("postgres@", "postgres:hunter3@"), "postgresql://:hunter2@["):
        with pytest.raises(ProblemsError) as refusal:
            in_database(url, lambda tables: tables.keys())
        assert "the database" in str(refusal.value)
        assert "hunter" not in str(refusal.value)


def test_a_gateway_may_read_keys_and_write_none(keys, postgres):
    url = postgres.url.replace("postgres@", "gateway@")
    assert isinstance(in_database(url, lambda tables: tables.keys()), list)
    with pytest.raises(ProblemsError, match="permission denied"):
        in_database(url, lambda tables: tables.revoke("any"))


def test_a_key_that_is_added_after_it_was_refused_counts_at_once(pods, pod, keys, postgres):
    key = made(keys("add", "late", "--team", "chat"))
    postgres.ask("CREATE TABLE aside AS SELECT * FROM llm_gateway.keys WHERE name = 'late'")
    postgres.ask("DELETE FROM llm_gateway.keys WHERE name = 'late'")
    assert [status(pod, key) for pod in pods] == [401, 401]
    postgres.ask("INSERT INTO llm_gateway.keys SELECT * FROM aside")
    for pod in pods:
        wait_until(lambda pod=pod: status(pod, key) == 200, "the key")


def test_a_key_that_follows_another_shares_its_limits_until_that_one_ends(pods, pod, keys):
    old = made(keys("add", "follow", "--team", "chat", "--requests-per-minute", "3"))
    assert status(pods[0], old) == 200
    new = made(keys("rotate", "follow"))
    assert [status(pods[1], new), status(pods[0], old), status(pods[1], new)] == [200, 200, 429]
    newest = made(keys("rotate", "follow", "--overlap-hours", "0"))
    for key in (old, new):
        wait_until(lambda key=key: status(pods[0], key) == 401, "the end of those before")
    assert status(pods[0], newest) == 429


def test_many_requests_with_one_key_make_one_look_up(pods, pod, keys):
    key = made(keys("add", "crowd", "--team", "chat"))
    found = 'llm_gateway_key_lookups_total{result="found"}'
    before = pods[0].metrics().get(found, 0)
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(lambda _: status(pods[0], key), range(24)))
    assert answers == {200: 24}
    # Those that came while it was looked up were told the same.
    metrics = pods[0].metrics()
    assert metrics[found] - before <= 8
    assert metrics['llm_gateway_key_lookups_total{result="kept"}'] >= 16


def test_what_is_remembered_is_bounded_and_ends_without_a_notice_and_without_a_database(keys, postgres, tmp_path):
    key = made(keys("add", "unnoticed", "--team", "chat"))
    for name, text in postgres.files_of_a_pod().items():
        (tmp_path / name).write_text(text)
    given = {"endpoint": {**postgres.endpoint(), "timeoutSeconds": 10}, "files": str(tmp_path), "key": key}
    assert run("look-up", given) == {
        "unknown": 200,
        "remembered": 5,
        "known": ["unnoticed", "unnoticed"],
        "after a while": 503,
    }


@pytest.mark.parametrize("fault", ["frozen", "ended"])
def test_without_postgres_known_keys_go_on_unknown_ones_wait_and_those_of_the_settings_see_nothing(
    pods, pod, keys, postgres, fault
):
    key, unseen = (made(keys("add", f"{fault}-{name}", "--team", "chat")) for name in ("known", "unseen"))
    assert status(pod, key) == 200
    failures = 'llm_gateway_postgres_failures_total{reason="away"}'
    before = pod.metrics().get(failures, 0)

    def without() -> None:
        with ThreadPoolExecutor(8) as pool:
            refused = list(pool.map(lambda _: ask(pod, unseen), range(16)))
        assert {answer.status_code for answer in refused} == {503}
        assert all("retry-after" in answer.headers for answer in refused)
        assert refused[0].json()["error"]["code"] == "keys_unavailable"
        assert status(pod, key) == 200
        assert pod.chat().status_code == 200
        metrics = pod.metrics()
        assert metrics[AWAY] == 1
        # Those that had a connection when it stopped; no request after them waited.
        assert metrics.get(failures, 0) - before <= 4

    if fault == "frozen":
        with postgres.frozen():
            without()
    else:
        postgres.end()
        try:
            without()
        finally:
            postgres.start()
    for each in pods:
        wait_until(lambda each=each: each.metrics()[AWAY] == 0, "Postgres")
    assert [status(pod, unseen), status(pod, MADE_UP)] == [200, 401]


def test_a_redis_that_was_emptied_learns_of_a_budget_from_the_table(pods, pod, keys, redis):
    key = made(keys("add", "emptied", "--team", "chat", "--budget-tokens", "60"))
    assert [status(pods[1], key) for _ in range(2)] == [200, 200]
    written(pods[1])
    assert redis.command("FLUSHALL") == "+OK"
    # A replica that was never asked for this key. 44 of 60 are used, and it wants 15 + 3.
    assert ask(pods[0], key, max_tokens=15).status_code == 429
    assert status(pods[0], key) == 200
    assert redis.number("llm:{emptied}:budget", "tokens") == 66


def test_without_redis_a_budget_is_what_the_table_says_of_all_replicas(pods, pod, keys, redis):
    key = made(keys("add", "orphan", "--team", "chat", "--budget-tokens", "75"))
    assert status(pods[1], key) == 200
    redis.kill()
    try:
        # Half of 53, then half of 31.
        assert [status(pods[1], key) for _ in range(3)] == [200, 200, 429]
        written(pods[1])
        assert status(pods[0], key) == 429
    finally:
        redis.start()
    everything_counted(pods)
    assert redis.number("llm:{orphan}:budget", "tokens") == 66
    for pod in pods:
        written(pod)


def written(pod: Pod) -> None:
    """Wait until the table knows what a replica counted."""
    wait_until(lambda: pod.metrics()["llm_gateway_budgets_unwritten"] == 0, "the budgets")
