"""A model that has as many requests as it can take: who gives way, in which order, and what they are told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.conftest import CHAT, CROWDED_REQUESTS, give_keys
from tests.images.gateway.pods import key, wait_until

CLASSES = ("batch", "standard", "critical")
KEYS = tuple(key(name, serviceClass=name) for name in CLASSES)


def send(pod, service_class, **fields):
    body = {"model": "crowded", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 400, **fields}
    return pod.post(CHAT, body, service_class)


class Crowd:
    """Requests that run until the test ends, spread over both gateways."""

    def __init__(self, pods, weighted, clients):
        self._pods, self._weighted, self._clients = pods, weighted, clients
        self.running = []

    def fill(self, places):
        """Take so many places of the model."""
        while len(self.running) < places:
            self.running.append(self.start("critical", at=len(self.running) % 2))
            wait_until(lambda: len(self._weighted.requests) == len(self.running), "the request to be with the back end")

    def start(self, service_class, at=0):
        """Send one more, to one of the gateways."""
        return self._clients.submit(send, self._pods[at], service_class)


@pytest.fixture
def crowd(pods, pod, weighted):
    """The model with back ends that answer when the test has ended."""
    give_keys(pods, *KEYS)
    go = threading.Event()
    weighted.behaviour = Behaviour(hold=go)
    with ThreadPoolExecutor(CROWDED_REQUESTS + 4) as clients:
        made = Crowd(pods, weighted, clients)
        yield made
        go.set()
        assert {each.result().status_code for each in made.running} == {200}


def steps(pods, service_class, step):
    sample = f'llm_gateway_degraded_total{{model="crowded",service_class="{service_class}",step="{step}"}}'
    return sum(pod.metrics().get(sample, 0) for pod in pods)


def test_batch_gets_shorter_answers_before_anybody_is_refused(pods, weighted, crowd):
    crowd.fill(5)
    crowd.start("batch")
    wait_until(lambda: len(weighted.requests) == 6, "a request below the first step")
    assert weighted.requests[-1][2]["max_tokens"] == 400
    before = steps(pods, "batch", "fewer_tokens")
    for number, service_class in ((7, "batch"), (8, "standard")):
        crowd.start(service_class, at=1)
        wait_until(lambda number=number: len(weighted.requests) == number, "a request above it")
        assert weighted.requests[-1][2]["max_tokens"] == (16 if service_class == "batch" else 400)
    assert steps(pods, "batch", "fewer_tokens") == before + 1


@pytest.mark.parametrize(
    ("filled", "statuses"),
    [(7, {"batch": 429}), (9, {"batch": 429, "standard": 429}), (10, {"batch": 429, "standard": 429, "critical": 503})],
    ids=["batch", "then standard", "critical last, when it is full"],
)
def test_classes_give_way_in_their_order_over_both_gateways_together(pods, weighted, crowd, filled, statuses):
    crowd.fill(filled)
    for pod in pods:
        for service_class, status in statuses.items():
            answer = send(pod, service_class)
            assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
            assert answer.json()["error"]["code"] == ("model_full" if status == 503 else "model_busy")
    assert len(weighted.requests) == filled, "none of them reaches an engine"
    if filled < CROWDED_REQUESTS:
        crowd.start("critical")
        wait_until(lambda: len(weighted.requests) == filled + 1, "the class that does not give way")


def test_a_request_that_has_ended_leaves_its_room(pods, pod, weighted):
    give_keys(pods, *KEYS)
    for _ in range(2 * CROWDED_REQUESTS):
        assert send(pod, "standard", max_tokens=5).status_code == 200
