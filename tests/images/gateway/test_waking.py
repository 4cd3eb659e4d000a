"""Models without instances: whoever asks is heard, waits or knows when to come back, and nobody asks twice for it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_serving.metrics.series import GatewaySeries
from tests.images.gateway.backend import Behaviour
from tests.images.gateway.pods import leaving, wait_until
from tests.images.gateway.test_back_ends import ask, counted, text

CLIENTS = 50


@pytest.fixture
def asleep(protected, weighted, stable):
    """The gateway, while its first two back ends have no engine."""
    weighted.behaviour = stable.behaviour = Behaviour(sleeps=True)
    while stable.probes.acquire(blocking=False):
        pass
    return protected


def demand(pod, model):
    return pod.metrics()[f'{GatewaySeries.DEMAND}{{model="{model}"}}']


def waiting(pod, model):
    return pod.metrics()[f'llm_gateway_waiting_requests{{model="{model}"}}']


def test_fifty_clients_of_a_sleeping_model_wait_for_one_waking_and_are_all_answered(asleep, weighted, stable):
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [clients.submit(ask, asleep, model="patient", stream=number % 2 == 0) for number in range(CLIENTS)]
        wait_until(lambda: waiting(asleep, "patient") == CLIENTS, "the clients")
        assert demand(asleep, "patient") == CLIENTS
        asked = len(weighted.requests) + len(stable.requests)
        assert asked == 2 * CLIENTS  # each has asked both back ends once
        for _ in range(2):
            assert stable.probes.acquire(timeout=60)
        assert len(weighted.requests) + len(stable.requests) == asked, "one probe asks for all of them"
        weighted.behaviour = stable.behaviour = Behaviour()
        found = [answer.result() for answer in answers]
    assert [answer.status_code for answer in found] == [200] * CLIENTS
    assert {text(answer) for answer in found if answer.headers["content-type"].startswith("text/event-stream")} == {
        "w0 w1 w2 w3 w4 "
    }
    assert waiting(asleep, "patient") == 0
    assert len(weighted.requests) == 2 * CLIENTS


def test_the_wait_for_a_waking_model_is_no_part_of_the_time_for_its_answer(asleep, weighted, stable):
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(ask, asleep, model="patient")
        for _ in range(2):
            assert stable.probes.acquire(timeout=60)
        weighted.behaviour = stable.behaviour = Behaviour()
        assert answer.result().status_code == 200


@pytest.mark.parametrize("model", ["curt", "hurried"])
@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_no_longer_is_told_when_the_first_instance_should_answer(asleep, model, stream):
    answer = ask(asleep, model=model, stream=stream)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_starting"
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert waiting(asleep, model) == 0


def test_a_request_that_is_refused_or_leaves_counts_as_demand_for_a_minute(asleep):
    ask(asleep, model="curt")
    assert demand(asleep, "curt") == 1
    assert demand(asleep, "tiny") in (0, 1)


def test_a_model_that_sleeps_is_not_one_that_fails(asleep, other):
    before = counted(asleep, "llm_gateway_unavailable_total", model="curt")
    ask(asleep, model="curt")
    assert counted(asleep, "llm_gateway_unavailable_total", model="curt") == before
    assert counted(asleep, "llm_gateway_attempts_total", model="curt", outcome="no_instance") > 0


def test_a_model_whose_waking_nobody_waits_for_falls_back_and_wakes(asleep, other):
    answer = ask(asleep, model="spared")
    assert (answer.status_code, answer.json()["model"], len(other.requests)) == (200, "equal", 1)
    assert demand(asleep, "spared") == 1


def test_a_model_that_never_sleeps_is_refused_at_once_where_it_has_no_instance(asleep):
    answer = ask(asleep, model="tiny")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")


@pytest.mark.parametrize("status", [500, 503])
def test_an_engine_that_fails_is_not_taken_for_one_that_sleeps(protected, weighted, stable, status):
    weighted.behaviour = stable.behaviour = Behaviour(status=status)
    answer = ask(protected, model="patient")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backend_unavailable")


def test_a_canary_that_answers_does_not_hide_that_the_stable_release_sleeps(protected, weighted, stable):
    stable.behaviour = Behaviour(sleeps=True)
    assert ask(protected, model="curt").status_code == 200
    weighted.behaviour = Behaviour(status=500)
    assert ask(protected, model="curt").json()["error"]["code"] == "model_starting"


def test_a_client_that_leaves_ends_the_asking(asleep):
    asked = counted(asleep, "llm_gateway_wakes_total", model="patient", outcome="left")
    with leaving(asleep, "any", stream=True, model="patient"):
        wait_until(lambda: waiting(asleep, "patient") == 1, "the client")
    wait_until(lambda: waiting(asleep, "patient") == 0, "the client to be gone")
    assert counted(asleep, "llm_gateway_wakes_total", model="patient", outcome="left") == asked + 1
    assert demand(asleep, "patient") == 1
