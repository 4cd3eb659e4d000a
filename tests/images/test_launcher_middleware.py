"""The middleware inside an API process: what passes, what is held back, and how answers end that have to."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from llm_serving_engine.drain_middleware import DrainMiddleware
from llm_serving_engine.drain_state import VARIABLE, DrainState, Order, RequestCounts

from tests.images.launched import SOURCES

Message = dict[str, Any]
POST = {"type": "http", "method": "POST", "path": "/v1/completions"}
START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/event-stream")]}


@pytest.fixture
def drain_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[DrainState]:
    state = DrainState()
    monkeypatch.setenv(VARIABLE, str(state.folder))
    yield state
    state.remove()


class Client:
    """The server's side of one request: what reached the client."""

    def __init__(self, *, reads: bool = True) -> None:
        self.got: list[Message] = []
        self._reads = reads

    async def send(self, message: Message) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        self.got.append(message)

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    @property
    def statuses(self) -> list[int]:
        return [message["status"] for message in self.got if message["type"] == "http.response.start"]


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


async def shown(drain_state: DrainState, **counts: int) -> None:
    while drain_state.counts() != RequestCounts(**counts):
        await asyncio.sleep(0.01)


def test_headers_wait_for_the_first_piece_of_the_body(drain_state: DrainState) -> None:
    client, seen = Client(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        seen.append(list(client.got))
        await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
        seen.append(list(client.got))
        await send({"type": "http.response.body", "body": b""})

    async def body() -> None:
        await DrainMiddleware(app)(dict(POST), client.receive, client.send)

    run(body)
    assert [len(got) for got in seen] == [0, 2]
    assert [message["type"] for message in client.got] == ["http.response.start", *["http.response.body"] * 2]
    assert drain_state.counts() == RequestCounts()


def test_work_alone_is_counted_and_refused(drain_state: DrainState) -> None:
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["method"])
        assert drain_state.counts().running == (1 if scope["method"] == "POST" else 0)

    async def body() -> None:
        middleware = DrainMiddleware(app)
        for order in (Order.OPEN, Order.CLOSED, Order.CUT):
            drain_state.order(order)
            for method in ("GET", "POST"):
                await middleware({**POST, "method": method}, Client().receive, Client().send)

    run(body)
    assert reached == ["GET", "POST", "GET", "GET"]
    assert drain_state.counts() == RequestCounts(refused=2)


def test_without_a_launcher_everything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    client = Client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        assert client.got == [START]

    async def body() -> None:
        await DrainMiddleware(app)(dict(POST), client.receive, client.send)

    run(body)


def test_an_engine_that_fails_while_it_drains_is_not_counted_as_complete(drain_state: DrainState) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        drain_state.order(Order.CLOSED)
        raise RuntimeError("the engine is dead")

    async def body() -> None:
        with pytest.raises(RuntimeError, match="the engine is dead"):
            await DrainMiddleware(app)(dict(POST), Client().receive, Client().send)

    run(body)
    assert drain_state.counts() == RequestCounts()


def test_a_client_that_reads_nothing_does_not_hold_up_the_others(drain_state: DrainState) -> None:
    slow, quick = Client(reads=False), Client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def body() -> None:
        middleware = DrainMiddleware(app)
        requests = [asyncio.create_task(middleware(dict(POST), c.receive, c.send)) for c in (slow, quick)]
        await shown(drain_state, running=2)
        drain_state.order(Order.CUT)
        with pytest.raises(asyncio.CancelledError):
            await requests[0]
        assert quick.statuses == [503]
        requests[1].cancel()

    run(body)
    assert drain_state.counts() == RequestCounts(failed=1, broken=1)


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_what_an_engine_says_after_the_end_reaches_nobody(drain_state: DrainState, version: str) -> None:
    client, ended, told = Client(), asyncio.Event(), list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
        await ended.wait()
        try:
            await send({"type": "http.response.body", "body": b"data: late\n\n", "more_body": True})
        except OSError:
            told.append("the client is gone")

    async def body() -> None:
        scope = {**POST, "asgi": {"version": "3.0", "spec_version": version}}
        request = asyncio.create_task(DrainMiddleware(app)(scope, client.receive, client.send))
        await shown(drain_state, running=1)
        drain_state.order(Order.CUT)
        await shown(drain_state, running=1, ended=1)
        ended.set()
        await request

    run(body)
    text = b"".join(message["body"] for message in client.got[1:])
    assert b"not complete" in text
    assert b"late" not in text
    assert bool(told) == (version == "2.4")
    assert [message.get("more_body", False) for message in client.got[1:]] == [True, False]


@pytest.mark.parametrize(("accepts", "outcome"), [(True, {"ended": 1}), (False, {"failed": 1})])
def test_a_websocket_is_closed_with_a_code_that_says_to_come_back(
    drain_state: DrainState, accepts: bool, outcome: dict[str, int]
) -> None:
    client, refused = Client(), Client()
    scope = {"type": "websocket", "path": "/v1/realtime"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if accepts:
            await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def body() -> None:
        middleware = DrainMiddleware(app)
        request = asyncio.create_task(middleware(dict(scope), client.receive, client.send))
        await shown(drain_state, running=1)
        drain_state.order(Order.CUT)
        await shown(drain_state, running=1, **outcome)
        request.cancel()
        await middleware(dict(scope), refused.receive, refused.send)

    run(body)
    assert (client.got[-1]["type"], client.got[-1]["code"]) == ("websocket.close", 1012)
    assert (refused.got[-1]["type"], refused.got[-1]["code"]) == ("websocket.close", 1013)


def test_requests_of_a_process_that_is_gone_do_not_hold_up_the_end(drain_state: DrainState) -> None:
    script = (
        "import os; from llm_serving_engine.drain_state import ApiProcessState; "
        "page = ApiProcessState.of(os.environ); page.add('running'); page.add('ended', 2)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(SOURCES)})
    assert drain_state.known
    assert not drain_state.attached
    assert drain_state.counts() == RequestCounts(ended=2)
