"""Back ends fail in all ways, and the gateway's clients see none of it while one of them answers."""

import json
import threading

import pytest

from tests.images.gateway.backend import Behaviour

PATHS = {
    "/v1/chat/completions": {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
    "/v1/embeddings": {"model": "vectors", "input": "hi"},
    "/v1/rerank": {"model": "scores", "query": "hi", "documents": ["a"]},
}
FRESH = {"cache-control": "no-cache, no-store"}
LOST = Behaviour(status=500)
TOO_LONG = Behaviour(status=400, error={"message": "This model's maximum context length is 2048 tokens.", "code": 400})


def ask(pod, name="any", **fields):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, **fields}
    return pod.post("/v1/chat/completions", body, name, headers=FRESH)


def events(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def text(answer):
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events(answer))


def counted(pod, name, **labels):
    """The sum of a metric's samples that have these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    samples = pod.metrics().items()
    return sum(value for sample, value in samples if sample.startswith(name) and all(part in sample for part in wanted))


@pytest.mark.parametrize("path", PATHS)
def test_a_canary_that_fails_every_request_costs_clients_nothing(protected, weighted, stable, path):
    weighted.behaviour = LOST
    failed = {"route": "weighted", "release": "canary", "outcome": "status_500"}
    before = counted(protected, "llm_gateway_attempts_total", **failed)
    for _ in range(15):
        answer = protected.post(path, PATHS[path], headers=FRESH)
        assert (answer.status_code, answer.headers["x-llm-release"]) == (200, "stable")
    assert len(weighted.requests) == len(stable.requests) == 15
    assert counted(protected, "llm_gateway_attempts_total", **failed) == before + 15


def test_a_canary_that_fails_every_fifth_request_costs_clients_nothing(protected, weighted, stable):
    weighted.behaviour = Behaviour(status=503, fails=lambda number: number % 5 == 0)
    answers = [ask(protected) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert [answer.headers["x-llm-release"] for answer in answers].count("stable") == len(stable.requests) == 4


def test_what_a_dead_pod_refuses_goes_to_the_next_one_without_cost(protected, weighted, stable):
    # So the proxy answers for one of two routers that died, until its endpoint goes.
    weighted.behaviour = Behaviour(status=502)
    stable.behaviour = Behaviour(status=502, fails=lambda number: number % 4 != 3)
    assert [ask(protected).status_code for _ in range(15)] == [200] * 15
    assert len(stable.requests) == 60


@pytest.mark.parametrize(
    "broken",
    [
        Behaviour(breaks_after=0),
        Behaviour(breaks_after=0, ends_with={"error": {"message": "engine is dead", "code": 500}}),
        Behaviour(status=404),
    ],
    ids=["cut", "error", "not found"],
)
def test_a_stream_that_fails_before_its_first_token_comes_from_the_stable_release(protected, weighted, broken):
    weighted.behaviour = broken
    answer = ask(protected, stream=True)
    assert (answer.status_code, answer.headers["x-llm-release"]) == (200, "stable")
    assert text(answer) == "w0 w1 w2 w3 w4 "


def test_a_back_end_that_hangs_is_left_for_the_stable_one(protected, weighted):
    weighted.behaviour = Behaviour(hold=threading.Event())
    try:
        for stream in (True, False):
            answer = ask(protected, model="hasty", stream=stream)
            assert (answer.status_code, answer.headers["x-llm-release"]) == (200, "stable")
    finally:
        weighted.behaviour.hold.set()  # pyright: ignore[reportOptionalMemberAccess]


def test_no_request_waits_past_its_time_out(protected, weighted, stable):
    hold = threading.Event()
    weighted.behaviour = stable.behaviour = Behaviour(hold=hold)
    try:
        answer = ask(protected, model="brief")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    finally:
        hold.set()


@pytest.mark.parametrize("stream", [False, True])
def test_when_all_fail_each_is_asked_a_bounded_number_of_times(protected, weighted, stable, stream):
    weighted.behaviour = stable.behaviour = LOST
    answer = ask(protected, stream=stream)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "internals" not in answer.text
    assert len(weighted.requests) == 1
    assert 1 <= len(stable.requests) <= 2


def test_repetitions_stop_when_their_budget_is_spent(protected, weighted, stable):
    weighted.behaviour = stable.behaviour = LOST
    for _ in range(25):
        assert ask(protected).status_code == 503
    assert len(stable.requests) <= 25 + 10 + 25 * 0.2


@pytest.mark.parametrize("ends_with", [None, {"error": {"message": "engine is dead"}}], ids=["cut", "error"])
def test_a_stream_that_breaks_ends_with_an_error_and_is_asked_of_nobody_else(
    protected, weighted, stable, other, ends_with
):
    weighted.behaviour = Behaviour(breaks_after=2, ends_with=ends_with, text=lambda body: "abc" * 40)
    before = counted(protected, "llm_gateway_broken_streams_total", release="canary")
    *_, last = events(ask(protected, model="first", stream=True))
    assert last["error"]["code"] == "backend_unavailable"
    assert "dead" not in str(last)
    assert len(weighted.requests) == 1
    assert not stable.requests
    assert not other.requests
    assert counted(protected, "llm_gateway_broken_streams_total", release="canary") == before + 1


def test_a_stream_that_stalls_ends_with_an_error(protected, weighted, stable):
    weighted.behaviour = Behaviour(stall=threading.Event(), text=lambda body: "abc" * 40)
    try:
        *_, last = events(ask(protected, model="hasty", stream=True))
        assert last["error"]["code"] == "backend_unavailable"
        assert not stable.requests
    finally:
        weighted.behaviour.stall.set()  # pyright: ignore[reportOptionalMemberAccess]


def test_what_an_engine_refuses_is_asked_of_nobody_else(protected, weighted, stable, other):
    weighted.behaviour = Behaviour(status=400, error={"message": "temperature is odd", "code": 400})
    answer = ask(protected, model="first")
    assert answer.status_code == 400
    assert len(weighted.requests) == 1
    assert not stable.requests
    assert not other.requests


def test_another_model_answers_when_both_back_ends_fail(protected, weighted, stable, other):
    weighted.behaviour = stable.behaviour = LOST
    answer = ask(protected, model="first")
    assert (answer.status_code, answer.headers["x-llm-release"], answer.json()["model"]) == (200, "other", "equal")
    assert text(ask(protected, model="first", stream=True)) == "w0 w1 w2 w3 w4 "
    assert len(other.requests) == 2


def test_a_model_that_the_key_may_not_use_does_not_answer_for_another(protected, weighted, stable, other):
    weighted.behaviour = stable.behaviour = LOST
    assert ask(protected, "narrow", model="first").status_code == 503
    assert not other.requests


def test_a_prompt_that_is_too_long_goes_to_the_model_with_more_context_alone(protected, weighted, stable, other):
    weighted.behaviour = TOO_LONG
    assert ask(protected, model="first").json()["model"] == "large"
    assert [body["model"] for _, _, body in other.requests] == ["large"]
    assert not stable.requests
    other.behaviour = TOO_LONG
    answer = ask(protected, model="first")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
