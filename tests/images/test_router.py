"""The real vllm-router, as a release's router runs it: which engine gets a request, what clients see of failures."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from llm_serving.spec import RouterSpec, RoutingPolicy
from tests.images.gateway.backend import Backend, Behaviour, running
from tests.images.launched import PATIENCE, REPOSITORY, free_port, until
from tests.images.routed import Router, chat, interpreter, routing, told

SPEC = RouterSpec(breaker_seconds=1)
STAND_IN = REPOSITORY / "tests" / "stand_in" / "engine.py"
OPEN, CLOSED = 1, 0
"""States of a breaker, as the router's metric has them."""


@dataclass
class Routed:
    """A router with two back ends that do what a test tells them."""

    router: Router
    backends: tuple[Backend, Backend]

    def place(self, prompt: str) -> tuple[Backend, Callable[[], None]]:
        """Send a prompt that waits for its answer; where it is, and what waits until it is answered."""
        go = threading.Event()
        for backend in self.backends:
            backend.behaviour.hold = go
        asked = [len(each.requests) for each in self.backends]
        client = threading.Thread(target=self.router.chat, args=(prompt,), daemon=True)
        client.start()
        until(lambda: [len(each.requests) for each in self.backends] != asked, "the request is somewhere")
        (place,) = [each for each, before in zip(self.backends, asked, strict=True) if len(each.requests) > before]

        def answer() -> None:
            go.set()
            client.join(PATIENCE)
            for backend in self.backends:
                backend.behaviour.hold = None
                backend.requests.clear()

        return place, answer

    def state(self, backend: Backend) -> float:
        """State of the breaker of a back end."""
        return self.router.figures("vllm_router_cb_state").get(backend.url.removesuffix("/v1"), CLOSED)

    def transitions(self) -> float:
        return sum(self.router.figures("vllm_router_cb_state_transitions_total").values())


@pytest.fixture(scope="module")
def started() -> Iterator[Routed]:
    with running("1.4.0") as one, running("1.4.0") as another:
        engines = [each.url.removesuffix("/v1") for each in (one, another)]
        with routing(SPEC, RoutingPolicy.CACHE_AWARE, *told(engines)) as router:
            yield Routed(router, (one, another))


@pytest.fixture
def routed(started: Routed) -> Iterator[Routed]:
    """Both back ends well, and no breaker open."""
    for backend in started.backends:
        backend.behaviour = Behaviour()
        backend.requests.clear()

    def closed() -> bool:
        # What nobody has seen goes to the less busy one: several at once, to both.
        with ThreadPoolExecutor(4) as clients:
            list(clients.map(lambda number: started.router.chat(f"{number} " * 20), range(4)))
        return all(started.state(each) == CLOSED for each in started.backends)

    until(closed, "all breakers are closed")
    for backend in started.backends:
        backend.requests.clear()
    yield started
    for backend in started.backends:
        if backend.behaviour.hold is not None:
            backend.behaviour.hold.set()


def test_requests_with_one_beginning_go_to_one_engine(routed: Routed) -> None:
    beginnings = ("You are a pirate. " * 20, "Translate into Latin. " * 20)
    first, answer_first = routed.place(f"{beginnings[0]}1")
    second, answer_second = routed.place(f"{beginnings[1]}1")
    assert second is not first, "the less busy one gets what nobody has seen"
    answer_first()
    answer_second()
    for number in range(2, 6):
        assert [routed.router.chat(f"{beginning}{number}") for beginning in beginnings] == [200, 200]
    for backend, beginning in ((first, beginnings[0]), (second, beginnings[1])):
        assert len(backend.requests) == 4
        assert all(body["messages"][0]["content"].startswith(beginning) for _, _, body in backend.requests)


def test_an_engine_that_answers_500_costs_no_client_an_error_and_is_back_once_it_is_well(routed: Routed) -> None:
    prompt = "Where requests go that one engine knows. " * 10
    failing, answer = routed.place(prompt)
    answer()
    failing.behaviour.status = 500
    assert [routed.router.chat(prompt) for _ in range(10)] == [200] * 10
    assert routed.state(failing) == OPEN
    asked = len(failing.requests)
    assert asked >= SPEC.breaker_failures
    failing.behaviour.status = 200

    def asked_again() -> bool:
        assert routed.router.chat(prompt) == 200
        return routed.state(failing) == CLOSED

    until(asked_again, "the breaker is closed again")
    assert len(failing.requests) > asked


def test_an_engine_that_still_fails_when_it_is_tried_costs_no_client_an_error(routed: Routed) -> None:
    prompt = "Another beginning that one engine knows. " * 10
    failing, answer = routed.place(prompt)
    answer()
    failing.behaviour.status = 503
    statuses = [routed.router.chat(prompt)]
    begin = routed.transitions()

    def tried_again() -> bool:
        statuses.append(routed.router.chat(prompt))
        # To half-open, and to open again.
        return routed.transitions() >= begin + 2

    until(tried_again, "it was tried again")
    assert set(statuses) == {200}


def test_where_every_engine_fails_requests_end_in_503(routed: Routed) -> None:
    for backend in routed.backends:
        backend.behaviour.status = 500
    until(lambda: routed.router.chat() == 503, "no engine is asked any more")


def test_a_request_keeps_its_headers_and_what_the_router_does_not_know(routed: Routed) -> None:
    body = chat("sing", structured_outputs={"json": {"z": 1, "a": [2]}}, cache_salt="s", max_tokens=3)
    sent = {"x_llm_release": "1.4.0", "x_session_id": "abc", "x_request_id": "r1", "x_unknown": "y"}
    status, headers, _ = routed.router.ask("POST", "/v1/chat/completions", body, **sent)
    ((_, got, received),) = [each for backend in routed.backends for each in backend.requests]
    assert status == 200
    assert body.items() <= received.items()
    assert list(received["structured_outputs"]["json"]) == ["z", "a"], "a schema's order is that of the answer"
    assert {name.replace("_", "-"): value for name, value in sent.items()}.items() <= got.items()
    assert headers["x-llm-release"] == "1.4.0"


def test_a_stream_arrives_as_the_engine_sends_it(routed: Routed) -> None:
    more = threading.Event()
    for backend in routed.backends:
        backend.behaviour.hold_stream = more
    connection = routed.router.connection("POST", "/v1/chat/completions", chat("sing", stream=True))
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    first = response.readline()
    assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "w0 "}
    more.set()
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


def test_a_client_that_goes_ends_its_request_at_the_engine(routed: Routed) -> None:
    more = threading.Event()
    for backend in routed.backends:
        backend.behaviour.hold_stream = more
        backend.cut.clear()
    connection = routed.router.connection("POST", "/v1/chat/completions", chat("sing", stream=True))
    response = connection.getresponse()
    response.readline()
    response.close()
    connection.close()
    until(lambda: any(backend.cut.is_set() for backend in routed.backends), "the engine sees that the client is gone")
    more.set()


def test_a_rerank_request_loses_its_model_which_is_why_such_models_have_no_router(routed: Routed) -> None:
    body = {"model": "tiny-reranker", "query": "q", "documents": ["d"]}
    status = routed.router.ask("POST", "/v1/rerank", body)[0]
    ((_, _, received),) = [each for backend in routed.backends for each in backend.requests][:1]
    assert received["model"] != "tiny-reranker"
    assert status == 500


class Engines:
    """Two stand-ins for the engine, as processes."""

    def __init__(self) -> None:
        self.ports = [free_port(), free_port()]
        self.processes = [subprocess.Popen(self._command(port)) for port in self.ports]
        self.addresses = [f"http://127.0.0.1:{port}" for port in self.ports]

    def _command(self, port: int) -> list[str]:
        names = [f"--port={port}", "--host=127.0.0.1", "--served-model-name=tiny-llama"]
        return [str(interpreter()), str(STAND_IN), "serve", "weights", *names]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE)


@pytest.fixture
def engines() -> Iterator[Engines]:
    made = Engines()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def router(engines: Engines) -> Iterator[Router]:
    with routing(SPEC, RoutingPolicy.ROUND_ROBIN, *told(engines.addresses)) as router:
        until(lambda: sum(router.figures("vllm_router_worker_health").values()) == 2, "both engines are known")
        yield router


def test_engines_that_are_killed_or_frozen_cost_requests_nothing_once_that_is_known(
    router: Router, engines: Engines
) -> None:
    first, second = engines.processes
    frozen = engines.addresses[1]
    assert [router.chat(max_tokens=1) for _ in range(4)] == [200] * 4
    os.kill(second.pid, signal.SIGSTOP)
    until(lambda: router.figures("vllm_router_worker_health")[frozen] == 0, "the frozen one is taken out")
    assert [router.chat(max_tokens=1) for _ in range(4)] == [200] * 4
    os.kill(second.pid, signal.SIGCONT)
    until(lambda: router.figures("vllm_router_worker_health")[frozen] == 1, "it is back")
    first.kill()
    first.wait(PATIENCE)
    # Nothing need be known: a refused connection is tried elsewhere.
    assert [router.chat(max_tokens=1) for _ in range(10)] == [200] * 10
    second.kill()
    second.wait(PATIENCE)
    until(lambda: router.status("/readiness") == 503, "the router is not ready")
    assert router.chat() == 503
    assert router.status("/liveness") == 200


def test_a_router_that_is_ended_finishes_its_requests() -> None:
    with running("1.4.0") as backend:
        more = backend.behaviour.hold_stream = threading.Event()
        with routing(SPEC, RoutingPolicy.ROUND_ROBIN, *told([backend.url.removesuffix("/v1")])) as router:
            connection = router.connection("POST", "/v1/chat/completions", chat("sing", stream=True))
            response = connection.getresponse()
            response.readline()
            router.process.terminate()
            until(lambda: router.status("/liveness") is None, "it takes no more")
            more.set()
            assert response.read().endswith(b"data: [DONE]\n\n")
            connection.close()
            assert router.process.wait(PATIENCE) == 0
