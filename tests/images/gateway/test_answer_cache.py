"""Kept answers: given to whom they belong, marked, and never what a request waits for."""

import itertools
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.pods import wait_until

HOLDERS = {"any": "any", "alone": "alone", "lone": "lone", "shared": "one", "both": "one", "foreign": "two"}
"""The keys, and who their answers belong to: those that share a team have said so."""
LOST = Behaviour(status=500)


@pytest.fixture
def numbered(weighted, stable, other):
    """Back ends that never say the same twice."""
    numbers = itertools.count()
    for backend in (weighted, stable, other):
        backend.behaviour.text = lambda body: f"answer {next(numbers)}"


def ask(pod, name="any", content="hi", headers=None, **fields):
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 12, **fields}
    answer = pod.post("/v1/chat/completions", body, name, headers=headers or {})
    return answer.headers.get("x-llm-cache"), answer


def said(answer):
    """The text of an answer or of a stream."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json()["choices"][0]["message"]["content"]
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events)


def until_kept(pod, **fields):
    """Ask until the answer is one that was kept, which is written after the client has got it."""

    def kept():
        return ask(pod, **fields)[0] == "hit"

    wait_until(kept, "an answer to be kept")


def results(pod):
    name = "llm_gateway_cache_requests_total"
    return {sample.partition('result="')[2][:-2]: value for sample, value in pod.metrics().items() if name in sample}


def age(cache, seconds):
    """Make every kept answer older than it is."""
    script = (
        "for _,key in ipairs(redis.call('KEYS','answer:*')) do "
        "local old = string.gsub(redis.call('GET',key), '^%[[%d%.e+]+', '[' .. ARGV[1], 1) "
        "redis.call('SET', key, old, 'KEEPTTL') end return 'done'"
    )
    assert cache.command("EVAL", f'"{script}"', "0", str(time.time() - seconds)) == "done"


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_again_costs_no_engine(protected, weighted, numbered, stream):
    before = results(protected)
    assert ask(protected, stream=stream)[0] == "miss"
    until_kept(protected, stream=stream)
    asked = len(weighted.requests)
    result, second = ask(protected, stream=stream)
    assert (result, second.headers["x-llm-release"]) == ("hit", "canary")
    assert said(second).startswith("answer ")
    assert len(weighted.requests) == asked
    after = results(protected)
    assert after["miss"] - before.get("miss", 0) == asked
    assert after["hit"] - before.get("hit", 0) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "tiny", "prompt": "hi"}),
        ("/v1/embeddings", {"model": "vectors", "input": "hi"}),
        ("/v1/rerank", {"model": "scores", "query": "hi", "documents": ["a"]}),
    ],
)
def test_answers_of_every_path_are_kept(protected, path, body):
    wait_until(lambda: protected.post(path, body).headers["x-llm-cache"] == "hit", "a hit")


@pytest.mark.parametrize("fields", [{"seed": 1}, {"top_k": 2}, {"temperature": 0.1}, {"guided_choice": ["a"]}])
def test_another_parameter_is_another_request(protected, fields):
    until_kept(protected)
    assert ask(protected, **fields)[0] == "miss"


def test_a_client_may_do_without(protected, weighted, numbered):
    until_kept(protected)
    kept = said(ask(protected)[1])
    assert ask(protected, headers={"cache-control": "no-cache, no-store"})[0] is None
    assert said(ask(protected, cache={"no-cache": True, "no-store": True})[1]) != kept
    assert said(ask(protected)[1]) == kept
    new = said(ask(protected, cache={"no-cache": True})[1])
    wait_until(lambda: said(ask(protected)[1]) == new, "the newer answer to be kept")
    assert not any("cache" in body for _, _, body in weighted.requests)


def test_no_answer_of_one_key_is_ever_given_to_another(protected, numbered):
    """Keys ask the same few things at once, with all that a client may say of the cache."""
    choice = random.Random(14)
    controls = [{}, {}, {}, {"no-cache": True}, {"no-store": True}]
    requests = [
        (name, choice.choice("ab"), choice.random() < 0.3, choice.choice(controls))
        for name in HOLDERS
        for _ in range(18)
    ]
    choice.shuffle(requests)

    def one(request):
        name, content, stream, control = request
        result, answer = ask(protected, name, content, stream=stream, **({"cache": control} if control else {}))
        assert answer.status_code == 200
        return HOLDERS[name], result, said(answer)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(one, requests))
    holders = {}
    for holder, _, text in answers:
        holders.setdefault(text, set()).add(holder)
    assert all(len(shared) == 1 for shared in holders.values()), holders
    assert {result for _, result, _ in answers} >= {"hit", "miss"}


def test_keys_of_a_team_share_answers_only_where_both_say_so(protected, numbered):
    until_kept(protected, name="shared")
    assert ask(protected, "both")[0] == "hit"
    assert ask(protected, "alone")[0] == ask(protected, "foreign")[0] == "miss"


@pytest.mark.parametrize("stream", [False, True])
def test_when_all_back_ends_fail_an_old_answer_is_given_and_marked(
    protected, cache, weighted, stable, numbered, stream
):
    until_kept(protected, stream=stream)
    kept = said(ask(protected, stream=stream)[1])
    age(cache, 301)
    weighted.behaviour = stable.behaviour = LOST
    result, answer = ask(protected, stream=stream)
    assert (result, answer.status_code, said(answer)) == ("stale", 200, kept)
    assert answer.headers["x-llm-release"] == "canary"
    assert ask(protected, "alone", stream=stream)[1].status_code == 503
    assert ask(protected, stream=stream, headers={"cache-control": "no-cache"})[1].status_code == 503
    age(cache, 3601)
    assert ask(protected, stream=stream)[1].status_code == 503
    assert results(protected)["stale"] >= 1


def test_an_old_answer_is_renewed_where_a_back_end_answers(protected, cache, stable, weighted, numbered):
    until_kept(protected)
    kept = said(ask(protected)[1])
    age(cache, 301)
    weighted.behaviour = LOST
    result, answer = ask(protected)
    assert (result, answer.headers["x-llm-release"]) == ("miss", "stable")
    assert said(answer) != kept


def test_what_another_model_answered_is_not_kept(protected, cache, weighted, stable):
    weighted.behaviour = stable.behaviour = LOST
    assert ask(protected, model="first")[1].json()["model"] == "equal"
    weighted.behaviour = Behaviour()
    until_kept(protected, model="tiny")  # a later write, so that an earlier one would be there
    assert ask(protected, model="first")[1].json()["model"] == "first"


def test_a_stream_that_broke_off_is_not_kept(protected, weighted):
    weighted.behaviour = Behaviour(breaks_after=2)
    ask(protected, stream=True)
    weighted.behaviour = Behaviour()
    until_kept(protected)  # a later write, so that an earlier one would be there
    assert ask(protected, stream=True)[0] == "miss"


def test_requests_are_answered_while_redis_is_frozen(protected, cache):
    """All of them end before Redis goes on, and no more than the first ones have asked it anything."""
    until_kept(protected)
    with cache.frozen():
        answers = [ask(protected) for _ in range(8)]
        assert {(result, answer.status_code) for result, answer in answers} == {("miss", 200)}
        assert protected.metrics()['llm_gateway_redis_away{redis="cache"}'] == 1
    until_kept(protected)


def test_requests_are_answered_while_redis_is_away_and_kept_again_after(protected, cache):
    until_kept(protected)
    cache.kill()
    try:
        assert {(result, answer.status_code) for result, answer in (ask(protected) for _ in range(4))} == {
            ("miss", 200)
        }
    finally:
        cache.start()
    until_kept(protected)


def test_requests_are_answered_while_redis_is_full_or_flushed(protected, cache):
    until_kept(protected)
    assert cache.command("FLUSHALL") == "+OK"
    assert ask(protected)[0] == "miss"
    until_kept(protected)
    assert cache.command("CONFIG", "SET", "maxmemory", "1") == "+OK"
    try:
        full = [ask(protected, content=f"other {number}") for number in range(4)]
        assert {(result, answer.status_code) for result, answer in full} == {("miss", 200)}
        until_kept(protected)  # from before: it cannot be written now
        assert protected.metrics()['llm_gateway_redis_away{redis="cache"}'] == 0
    finally:
        assert cache.command("CONFIG", "SET", "maxmemory", "0") == "+OK"
    until_kept(protected, content="other 0")
