"""Limits of a key are exact over two replicas, and hold as far as they can while Redis is away."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.conftest import give_keys
from tests.images.gateway.pods import Pod, key, leaving, wait_until
from tests.images.gateway.test_parts import run

AWAY = 'llm_gateway_redis_away{redis="limits"}'
FAILURES = 'llm_gateway_redis_failures_total{reason="away",redis="limits"}'


@pytest.fixture
def grant(pods: Sequence[Pod], pod):
    """Give both replicas one more key."""

    def grant(name: str, **limits) -> None:
        give_keys(pods, key(name, **limits))

    return grant


def statuses(pods: Sequence[Pod], name: str, count: int, **fields) -> Counter:
    """So many requests at once, over all replicas in turn."""
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda number: pods[number % len(pods)].chat(name, **fields), range(count)))
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    return Counter(answer.status_code for answer in answers)


def kinds(pods: Sequence[Pod], name: str) -> set[str]:
    """The kinds of limits that refused requests of a key."""
    prefix = f'llm_gateway_limit_refusals_total{{key="{name}",kind="'
    return {
        sample.removeprefix(prefix).partition('"')[0]
        for each in pods
        for sample in each.metrics()
        if sample.startswith(prefix)
    }


def test_exactly_the_requests_of_a_minute_pass(pods, grant):
    grant("requests", requestsPerMinute=7)
    assert statuses(pods, "requests", 20) == {200: 7, 429: 13}
    assert kinds(pods, "requests") == {"requests"}


def test_tokens_are_reserved_before_and_counted_after(pods, grant, weighted):
    # Each reserves 3 + 12 tokens and uses 22.
    grant("tokens", tokensPerMinute=104)
    weighted.behaviour.hold = threading.Event()
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(pods[number % 2].chat, "tokens") for number in range(10)]
        wait_until(lambda: sum(future.done() for future in futures) == 4, "the refusals")
        weighted.behaviour.hold.set()
        assert Counter(future.result().status_code for future in futures) == {200: 6, 429: 4}
    # What they used is more than there is: nothing is left, not even for a small one.
    assert pods[0].chat("tokens", max_tokens=1).status_code == 429
    assert kinds(pods, "tokens") == {"tokens"}


def test_a_request_that_alone_exceeds_the_tokens_of_a_minute_is_refused_and_an_open_one_fits_in(pods, grant, weighted):
    grant("small", tokensPerMinute=100)
    assert pods[0].chat("small", max_tokens=200).status_code == 429
    answer = pods[0].post("/v1/completions", {"model": "tiny", "prompt": "four"}, "small")
    assert answer.status_code == 200
    assert weighted.requests[-1][2]["max_tokens"] == 99


def test_a_share_of_the_minute_that_might_not_fit_into_the_context_stays_open(pods, grant, weighted):
    grant("roomy", tokensPerMinute=1700)
    answer = pods[0].post("/v1/completions", {"model": "tiny", "prompt": "hi, " * 1500}, "roomy")
    assert answer.status_code == 200
    assert "max_tokens" not in weighted.requests[-1][2]


def test_a_stream_counts_what_the_engine_counted_whether_its_client_asks_or_not(pods, grant, redis):
    grant("streams", budget={"tokens": 1000, "days": 30})
    for asked in ({}, {"stream_options": {"include_usage": False}}, {"stream_options": {"include_usage": True}}):
        before = redis.number("llm:{streams}:budget", "tokens") if asked else 0
        assert pods[0].chat("streams", stream=True, **asked).text.endswith("data: [DONE]\n\n")
        assert redis.number("llm:{streams}:budget", "tokens") == before + 22


@pytest.mark.parametrize("levels", [300, 980])
def test_a_body_that_is_nested_too_deeply_is_400_and_holds_nothing(pods, grant, weighted, levels):
    name = f"deep-{levels}"
    grant(name, parallelRequests=1)
    nested = '{"a":' * levels + "1" + "}" * levels
    fields = {
        "response_format": '"messages": [{"role": "user", "content": "hi"}], "response_format": ',
        "messages": '"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}], "more": ',
    }
    for field, start in fields.items():
        text = f'{{"model": "tiny", {start}{nested}{"}]" if field == "messages" else ""}}}'
        headers = {"authorization": f"Bearer sk-llm-{name}"}
        answer = requests.post(f"{pods[0].url}/v1/chat/completions", data=text, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request"), answer.text
    assert not weighted.requests
    assert pods[0].chat(name).status_code == 200


def test_requests_at_once_are_counted_over_both_replicas_and_given_back(pods, grant, weighted):
    grant("parallel", parallelRequests=3)
    weighted.behaviour.hold = threading.Event()
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(pods[number % 2].chat, "parallel") for number in range(10)]
        wait_until(lambda: sum(future.done() for future in futures) == 7, "the refusals")
        weighted.behaviour.hold.set()
        assert Counter(future.result().status_code for future in futures) == {200: 3, 429: 7}
    # Whoever has an answer may ask again at once.
    assert [pods[number % 2].chat("parallel").status_code for number in range(12)] == [200] * 12


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_gives_its_place_back_and_ends_the_generation(pods, grant, weighted, stream):
    name = f"leaver-{stream}".lower()
    grant(name, parallelRequests=1)
    hold = threading.Event()
    weighted.behaviour.hold = None if stream else hold
    weighted.behaviour.hold_stream = threading.Event() if stream else None
    with leaving(pods[0], name, stream=stream):
        wait_until(lambda: bool(weighted.requests), "the request")
        assert pods[1].chat(name).status_code == 429
    running = 'llm_gateway_requests_in_flight{model="tiny"}'
    wait_until(lambda: pods[0].metrics()[running] == 0, "the end of the request")
    if stream:
        wait_until(weighted.cut.is_set, "the end of the generation")
    else:
        hold.set()
    weighted.behaviour = Behaviour()
    assert pods[1].chat(name).status_code == 200


def test_a_budget_of_tokens_ends_exactly(pods, grant):
    # Each reserves 15 and uses 22: the ninth would go from 176 to 191 at least.
    grant("thrifty", budget={"tokens": 185, "days": 30})
    answers = [pods[number % 2].chat("thrifty") for number in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 8 + [429] * 4
    assert int(answers[-1].headers["retry-after"]) > 0
    assert kinds(pods, "thrifty") == {"budget"}


def test_a_budget_of_dollars_is_never_passed_by_what_runs_at_once(pods, grant, redis, weighted):
    # 15 tokens at 0.001 dollars each, reserved and used.
    weighted.behaviour.prompt_tokens = 3
    grant("dollars", budget={"usd": 0.1, "days": 1})
    assert statuses(pods, "dollars", 20) == {200: 6, 429: 14}
    assert redis.number("llm:{dollars}:budget", "nano") == 90_000_000
    assert redis.number("llm:{dollars}:budget", "held_nano") == 0


def test_a_flushed_redis_costs_nothing_and_budgets_are_remembered(pods, grant, redis):
    grant("flushed", budget={"tokens": 60, "days": 30})
    assert [pods[0].chat("flushed").status_code for _ in range(2)] == [200, 200]
    assert redis.command("FLUSHALL") == "+OK"
    assert pods[0].chat("flushed", max_tokens=20).status_code == 429
    assert pods[1].chat("any").status_code == 200


def test_a_frozen_redis_is_waited_for_once_and_each_replica_grants_its_share(pods, grant, redis):
    grant("frozen", requestsPerMinute=6, budget={"tokens": 10_000, "days": 30})
    assert [each.chat("frozen").status_code for each in pods] == [200, 200]
    before = [each.metrics().get(FAILURES, 0) for each in pods]
    with redis.frozen(), ThreadPoolExecutor(2) as pool:

        def ask(each: Pod) -> list[int]:
            return [each.chat("frozen").status_code for _ in range(4)]

        # Three of six for each replica, of which one is used.
        assert list(pool.map(ask, pods)) == [[200, 200, 429, 429]] * 2
        assert [each.metrics()[AWAY] for each in pods] == [1, 1]
        after = [each.metrics().get(FAILURES, 0) for each in pods]
        assert all(now - then == 1 for now, then in zip(after, before, strict=True))
    everything_counted(pods)
    # Those in doubt count once.
    assert redis.number("llm:{frozen}:budget", "tokens") == 6 * 22


def test_a_killed_redis_keeps_what_was_used_over_its_absence(pods, grant, redis):
    grant("killed", budget={"tokens": 90, "days": 30})
    assert pods[0].chat("killed").status_code == 200
    redis.kill()
    try:
        # 68 are left, half of it for each replica, which uses 22: 46, and then 24, of which half is less than 15.
        assert [pods[0].chat("killed").status_code for _ in range(3)] == [200, 200, 429]
    finally:
        redis.start()
    everything_counted(pods)
    assert redis.number("llm:{killed}:budget", "tokens") == 66
    assert [each.chat("killed").status_code for each in pods] == [200, 429]


def test_a_lease_that_ended_while_its_replica_was_out_of_sight_is_taken_up_again_and_counts_once(redis):
    assert run("out-of-sight", redis.port) == {
        "while it is gone": ["granted", 15],
        "back": ["parallel", 15],
        "settled twice": 22,
        "restarted in doubt": 22,
    }


def test_what_was_granted_without_redis_holds_its_place_when_redis_is_back(redis):
    assert run("taken-up", redis.port) == ["parallel", 15, 22, 0]


def test_without_redis_and_without_a_table_each_replica_grants_its_share_and_then_nothing():
    # 45 of 90: one of 22 and one of 15 more; never a half of what is left then.
    assert run("alone", None) == {"granted": 2, "shortage": "budget", "after a while": "budget_unknown"}


def test_a_full_redis_is_like_one_that_is_away(pods, grant, redis):
    grant("full", requestsPerMinute=4)
    redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        assert [pods[0].chat("full").status_code for _ in range(3)] == [200, 200, 429]
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")
    everything_counted(pods)


def everything_counted(pods: Sequence[Pod]) -> None:
    """Wait until Redis is in use again and knows of everything."""
    for each in pods:
        wait_until(lambda each=each: each.metrics()[AWAY] == 0, "Redis")
        wait_until(lambda each=each: each.metrics()["llm_gateway_requests_unsettled"] == 0, "what was not counted")
