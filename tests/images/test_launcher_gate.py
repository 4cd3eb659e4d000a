"""The gate inside an API process: what passes, what is held back, and how answers end that have to."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from llm_serving_engine.gate import Gate
from llm_serving_engine.ledger import VARIABLE, Counts, Ledger, Order

from tests.images.launched import SOURCES

Message = dict[str, Any]
POST = {"type": "http", "method": "POST", "path": "/v1/completions"}
START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/event-stream")]}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    made = Ledger()
    monkeypatch.setenv(VARIABLE, str(made.folder))
    yield made
    made.remove()


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


async def shown(ledger: Ledger, **counts: int) -> None:
    while ledger.counts() != Counts(**counts):
        await asyncio.sleep(0.01)


def test_headers_wait_for_the_first_piece_of_the_body(ledger: Ledger) -> None:
    client, seen = Client(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        seen.append(list(client.got))
        await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
        seen.append(list(client.got))
        await send({"type": "http.response.body", "body": b""})

    async def body() -> None:
        await Gate(app)(dict(POST), client.receive, client.send)

    run(body)
    assert [len(got) for got in seen] == [0, 2]
    assert [message["type"] for message in client.got] == ["http.response.start", *["http.response.body"] * 2]
    assert ledger.counts() == Counts()


def test_work_alone_is_counted_and_refused(ledger: Ledger) -> None:
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["method"])
        assert ledger.counts().running == (1 if scope["method"] == "POST" else 0)

    async def body() -> None:
        gate = Gate(app)
        for order in (Order.OPEN, Order.CLOSED, Order.CUT):
            ledger.order(order)
            for method in ("GET", "POST"):
                await gate({**POST, "method": method}, Client().receive, Client().send)

    run(body)
    assert reached == ["GET", "POST", "GET", "GET"]
    assert ledger.counts() == Counts(refused=2)


def test_without_a_launcher_everything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    client = Client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        assert client.got == [START]

    async def body() -> None:
        await Gate(app)(dict(POST), client.receive, client.send)

    run(body)


def test_an_engine_that_fails_while_it_drains_is_not_counted_as_complete(ledger: Ledger) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ledger.order(Order.CLOSED)
        raise RuntimeError("the engine is dead")

    async def body() -> None:
        with pytest.raises(RuntimeError, match="the engine is dead"):
            await Gate(app)(dict(POST), Client().receive, Client().send)

    run(body)
    assert ledger.counts() == Counts()


def test_a_client_that_reads_nothing_does_not_hold_up_the_others(ledger: Ledger) -> None:
    slow, quick = Client(reads=False), Client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def body() -> None:
        gate = Gate(app)
        requests = [asyncio.create_task(gate(dict(POST), c.receive, c.send)) for c in (slow, quick)]
        await shown(ledger, running=2)
        ledger.order(Order.CUT)
        with pytest.raises(asyncio.CancelledError):
            await requests[0]
        assert quick.statuses == [503]
        requests[1].cancel()

    run(body)
    assert ledger.counts() == Counts(failed=1, broken=1)


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_what_an_engine_says_after_the_end_reaches_nobody(ledger: Ledger, version: str) -> None:
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
        request = asyncio.create_task(Gate(app)(scope, client.receive, client.send))
        await shown(ledger, running=1)
        ledger.order(Order.CUT)
        await shown(ledger, running=1, ended=1)
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
    ledger: Ledger, accepts: bool, outcome: dict[str, int]
) -> None:
    client, refused = Client(), Client()
    scope = {"type": "websocket", "path": "/v1/realtime"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if accepts:
            await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def body() -> None:
        gate = Gate(app)
        request = asyncio.create_task(gate(dict(scope), client.receive, client.send))
        await shown(ledger, running=1)
        ledger.order(Order.CUT)
        await shown(ledger, running=1, **outcome)
        request.cancel()
        await gate(dict(scope), refused.receive, refused.send)

    run(body)
    assert (client.got[-1]["type"], client.got[-1]["code"]) == ("websocket.close", 1012)
    assert (refused.got[-1]["type"], refused.got[-1]["code"]) == ("websocket.close", 1013)


def test_requests_of_a_process_that_is_gone_do_not_hold_up_the_end(ledger: Ledger) -> None:
    script = (
        "import os; from llm_serving_engine.ledger import Page; "
        "page = Page.of(os.environ); page.add('running'); page.add('ended', 2)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(SOURCES)})
    assert ledger.known
    assert not ledger.attached
    assert ledger.counts() == Counts(ended=2)
