"""Hosted providers answer last, for the teams that may leave the cluster alone; breakers; one release of a model."""

import threading

import pytest

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.pods import wait_until
from tests.images.gateway.test_back_ends import FRESH, LOST, PATHS, TOO_LONG, counted, events, text

OUTSIDE = "hosted/outside"
CLOSED, OPEN = 0, 2


@pytest.fixture
def pod(hosted_pod, cache, weighted, stable, other, provider):
    """The gateway with providers, with back ends that answer and were asked nothing, and breakers closed."""
    behind = (weighted, stable, other, provider)
    for backend in behind:
        backend.behaviour = Behaviour()
    assert cache.command("FLUSHALL") == "+OK"
    _close_breakers(hosted_pod, weighted, stable)
    for backend in behind:
        backend.behaviour = Behaviour()
        backend.requests.clear()
    return hosted_pod


def _close_breakers(pod, weighted, stable):
    """Ask every back end with a breaker that is not closed until it is."""
    for model in ("own", "led", "dear", "hasty", "alone"):
        if state(pod, f"{model}/stable") != CLOSED:
            weighted.behaviour = LOST
            wait_until(lambda model=model: ask(pod, model=model).headers.get("x-llm-release") == "stable", "a breaker")
    if state(pod, OUTSIDE) != CLOSED:
        weighted.behaviour = stable.behaviour = LOST
        wait_until(lambda: ask(pod).headers.get("x-llm-provider") == "outside", "the provider's breaker")


def state(pod, back_end):
    return pod.metrics()[f'llm_gateway_breaker_state{{back_end="{back_end}"}}']


def ask(pod, name="may", **fields):
    body = {"model": "own", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "user": "jane", **fields}
    return pod.post("/v1/chat/completions", body, name, headers=FRESH)


@pytest.mark.parametrize("path", PATHS)
def test_a_provider_answers_where_nothing_inside_does_by_its_own_name_for_the_model(
    pod, weighted, stable, provider, path
):
    weighted.behaviour = stable.behaviour = LOST
    asked = str(PATHS[path]["model"])
    model = "own" if asked == "tiny" else asked
    answer = pod.post(path, {**PATHS[path], "model": model}, "may", headers=FRESH)
    assert (answer.status_code, answer.headers["x-llm-provider"]) == (200, "outside")
    assert "x-llm-release" not in answer.headers
    ((_, headers, body),) = provider.requests
    assert body["model"] == f"Maker/{model.title()}"
    assert headers["authorization"] == "Bearer key-of-outside"


def test_a_stream_comes_from_a_provider_and_says_its_name_and_not_who_asked(pod, weighted, stable, provider):
    weighted.behaviour = stable.behaviour = LOST
    answer = ask(pod, stream=True)
    assert answer.headers["x-llm-provider"] == "outside"
    assert text(answer) == "w0 w1 w2 w3 w4 "
    ((_, headers, body),) = provider.requests
    assert "user" not in body
    assert "sk-" not in str(headers)
    assert "jane" not in str((headers, body))


def test_no_request_of_a_team_that_is_not_allowed_reaches_a_provider(pod, weighted, stable, other, provider):
    weighted.behaviour = stable.behaviour = other.behaviour = LOST
    for stream in (False, True):
        for model in ("own", "led"):
            answer = ask(pod, "may-not", model=model, stream=stream)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
    assert not provider.requests


def test_a_model_inside_is_asked_before_a_provider_and_nobody_for_a_model_that_the_key_may_not_use(
    pod, weighted, stable, other, provider
):
    weighted.behaviour = stable.behaviour = LOST
    answer = ask(pod, model="led")
    assert (answer.headers["x-llm-release"], answer.json()["model"]) == ("other", "middle")
    assert not provider.requests
    other.behaviour = LOST
    assert ask(pod, model="led").headers["x-llm-provider"] == "outside"
    # For `middle` it is not asked: that one is nobody's request.
    assert [body["model"] for _, _, body in provider.requests] == ["Maker/Led"]


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500])
def test_what_a_provider_refuses_is_its_failure_and_not_the_clients(pod, weighted, stable, provider, status):
    weighted.behaviour = stable.behaviour = LOST
    provider.behaviour = Behaviour(status=status)
    answer = ask(pod)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")
    assert "internals" not in answer.text
    assert len(provider.requests) == 1


def test_a_prompt_that_is_too_long_for_the_model_is_not_sent_to_a_provider_that_takes_no_more(pod, weighted, provider):
    weighted.behaviour = TOO_LONG
    assert ask(pod).json()["error"]["code"] == "context_length_exceeded"
    assert not provider.requests


def test_a_stream_of_a_provider_that_breaks_ends_with_an_error_and_is_asked_of_nobody_else(
    pod, weighted, stable, provider
):
    weighted.behaviour = stable.behaviour = LOST
    provider.behaviour = Behaviour(breaks_after=2, text=lambda body: "abc" * 40)
    *_, last = events(ask(pod, stream=True))
    assert last["error"]["code"] == "backend_unavailable"
    assert len(provider.requests) == 1


def test_a_back_end_that_hangs_leaves_time_for_the_provider(pod, weighted, stable, provider):
    hold = threading.Event()
    weighted.behaviour = stable.behaviour = Behaviour(hold=hold)
    try:
        for stream in (True, False):
            assert ask(pod, model="hasty", stream=stream).headers["x-llm-provider"] == "outside"
    finally:
        hold.set()


def test_nothing_more_goes_to_a_provider_than_its_budget_has(pod, weighted, stable, provider):
    weighted.behaviour = stable.behaviour = LOST
    # 1 and 12 are held each time, 22 used.
    statuses = [ask(pod, model="alone").status_code for _ in range(7)]
    assert statuses == [200] * 4 + [503] * 3
    assert len(provider.requests) == 4
    assert counted(pod, "llm_gateway_attempts_total", model="alone", outcome="over_budget") >= 3


def test_an_answer_has_the_price_of_the_model_that_gave_it(pod, redis, weighted, stable, other):
    def spent(name):
        nano = redis.command("HGET", f"llm:{{{name}}}:budget", "nano")
        return int(nano) / 1e9 if nano.isdecimal() else 0

    at_provider = spent("hosted:outside")
    for failing, usd in (((), 1000), ((weighted, stable), 3000), ((other,), 5000)):
        for backend in failing:
            backend.behaviour = LOST
        before = spent("spender")
        assert ask(pod, "spender", model="led").status_code == 200
        assert spent("spender") - before == pytest.approx(22 * usd / 1e6)
    assert spent("hosted:outside") - at_provider == pytest.approx(22 * 5000 / 1e6)


def test_a_stable_back_end_that_fails_is_left_alone_then_tried_by_one_and_asked_again(pod, weighted, stable):
    weighted.behaviour = stable.behaviour = LOST
    wait_until(lambda: ask(pod, "may-not").status_code == 503 and state(pod, "own/stable") == OPEN, "the breaker")
    asked = len(stable.requests)
    assert ask(pod, "may-not").status_code == 503
    # A probe may have been due.
    assert len(stable.requests) - asked <= 1
    before = len(weighted.requests)
    assert ask(pod, "may-not").status_code == 503
    assert len(weighted.requests) == before + 1
    stable.behaviour = Behaviour()
    wait_until(lambda: ask(pod, "may-not").headers.get("x-llm-release") == "stable", "a probe")
    assert state(pod, "own/stable") == CLOSED
    assert counted(pod, "llm_gateway_breaker_opened_total", back_end="own/stable") >= 1


def test_a_canary_that_fails_every_request_is_asked_every_time_all_the_same(pod, weighted):
    weighted.behaviour = LOST
    assert [ask(pod).headers["x-llm-release"] for _ in range(20)] == ["stable"] * 20
    assert len(weighted.requests) == 20


def test_a_provider_that_fails_is_left_alone_then_tried_by_one_and_asked_again(pod, weighted, stable, provider):
    weighted.behaviour = stable.behaviour = provider.behaviour = LOST
    wait_until(lambda: ask(pod).status_code == 503 and state(pod, OUTSIDE) == OPEN, "the breaker")
    provider.behaviour = Behaviour()
    wait_until(lambda: ask(pod).headers.get("x-llm-provider") == "outside", "a probe")
    assert state(pod, OUTSIDE) == CLOSED


def test_a_request_may_name_a_release_which_then_answers_or_nobody(pod, weighted, stable, provider):
    weighted.behaviour = Behaviour(releases=frozenset({"1.2.0"}))
    for stream in (False, True):
        answer = ask(pod, model="own@1.2.0", stream=stream)
        assert (answer.status_code, answer.headers["x-llm-release"]) == (200, "1.2.0")
    assert {body["model"] for _, _, body in weighted.requests} == {"own"}
    weighted.behaviour = Behaviour(releases=frozenset({"1.2.0"}), status=500)
    answer = ask(pod, model="own@1.2.0")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")
    assert not stable.requests
    assert not provider.requests


@pytest.mark.parametrize("model", ["own@9.9.9", "led@9.9.9", "own@", "own@1@2", "own@../x", "none@1.2.0"])
def test_a_release_that_is_not_there_is_a_model_that_is_not_there(pod, weighted, stable, other, provider, model):
    weighted.behaviour = Behaviour(releases=frozenset({"1.2.0"}))
    answer = ask(pod, model=model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert answer.json()["error"]["type"] == "not_found_error"
    assert not stable.requests + other.requests + provider.requests


def test_a_client_does_not_choose_a_release_by_a_header(pod, weighted):
    body = {"model": "own", "messages": [{"role": "user", "content": "hi"}]}
    pod.post("/v1/chat/completions", body, "may", headers={**FRESH, "x-llm-release": "1.2.0"})
    ((_, headers, _),) = weighted.requests
    assert "x-llm-release" not in headers


def test_answers_of_releases_and_of_providers_are_kept_apart_from_the_models(pod, weighted, stable, provider):
    body = {"model": "own", "messages": [{"role": "user", "content": "hi"}]}

    def answer(model="own"):
        return pod.post("/v1/chat/completions", {**body, "model": model}, "may")

    weighted.behaviour = stable.behaviour = LOST
    assert answer().headers["x-llm-provider"] == "outside"
    weighted.behaviour = stable.behaviour = Behaviour(releases=frozenset({"1.2.0"}))
    assert (answer().headers["x-llm-cache"], len(weighted.requests)) == ("miss", 2)
    wait_until(lambda: answer().headers["x-llm-cache"] == "hit", "the answer that is kept")
    pinned = answer("own@1.2.0")
    assert (pinned.headers["x-llm-cache"], pinned.headers["x-llm-release"]) == ("miss", "1.2.0")
    wait_until(lambda: answer("own@1.2.0").headers["x-llm-cache"] == "hit", "the release's answer")
    assert answer("own@1.2.0").headers["x-llm-release"] == "1.2.0"
