"""Ends requests in an accountable way: runs inside the engine's API processes, as ASGI middleware.

An engine that is told to stop must not leave its clients without a word. vLLM 0.32 does: while it drains it answers
new requests with 500, which no gateway retries, and when its time is over it kills its workers and leaves every open
answer hanging until the client or the kubelet gives up. Under this middleware a new request is refused with 503 and
``Retry-After``; one that runs out of time gets the same answer if none of its bytes went out, else an error at the end
of its stream. To know whether any went out, it holds the headers back until the first piece of the body.

Owns the ends of requests and their counts (``drain_state``). Leaves alone when that is: the launcher decides
(``drain``). vLLM loads it by its own option, ``--middleware=llm_serving_engine.drain_middleware.DrainMiddleware``.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from llm_serving_engine.drain_state import ApiProcessState, Order

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_SECONDS = 1
"""The next attempt reaches another instance: this one is no longer among those that get requests."""

_POLL_SECONDS = 0.05
_SEND_TIMEOUT_SECONDS = 1.0
"""How long the last words may take to reach a client that reads slowly."""

_REFUSED = "this server is shutting down and takes no new requests; try again"
_FAILED = "this server is shutting down and could not answer in time; try again"
_ENDED = "this server is shutting down; the answer is not complete"
_SERVICE_RESTART, _TRY_AGAIN_LATER = 1012, 1013  # codes of the WebSocket close code registry (IANA)


class DrainMiddleware:
    """The middleware. Without a launcher that drains it does nothing."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._state = ApiProcessState.of(os.environ)
        self._open: set[_Exchange] = set()
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        state = self._state
        if state is None or not _is_work(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        # Counted before the order is read: the launcher gives the order first and reads the counts after.
        state.add("running")
        try:
            if state.order is not Order.OPEN:
                state.add("refused")
                await exchange.refuse()
                return
            self._open.add(exchange)
            self._watch(state)
            await self._app(scope, receive, exchange.send)
        finally:
            self._open.discard(exchange)
            if exchange.complete and state.order is not Order.OPEN:
                state.add("completed")
            state.add("running", -1)

    def _watch(self, state: ApiProcessState) -> None:
        """Requests that run are watched by one task, which ends with the last of them."""
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._keep_watch(state))

    async def _keep_watch(self, state: ApiProcessState) -> None:
        while self._open:
            if state.order is Order.CUT:
                await asyncio.gather(*(_end(exchange, state) for exchange in list(self._open) if not exchange.over))
            await asyncio.sleep(_POLL_SECONDS)


async def _end(exchange: "_Exchange", state: ApiProcessState) -> None:
    outcome = await exchange.end()
    if outcome is not None:
        state.add(outcome)


class _Exchange:
    """One request and what has been sent of its answer.

    Attributes:
        complete: the engine gave its whole answer.
        over: the middleware ended it; what the engine still sends is dropped.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._path = str(scope.get("path", ""))
        self._websocket = scope["type"] == "websocket"
        # From version 2.4 of the specification on an engine sees by this that its client is gone; before, by `receive`.
        version = str(scope.get("asgi", {}).get("spec_version", "2.0"))
        self._raises = tuple(int(part) for part in version.split(".")) >= (2, 4)
        self._send = send
        self._task = asyncio.current_task()
        self._held: Message | None = None
        self._begun = False
        self._events = False
        self.complete = False
        self.over = False

    async def send(self, message: Message) -> None:
        """Pass on what the engine sends, its headers together with the first piece of the body."""
        if self.over:
            if self._raises:
                raise OSError("the client was told that it gets no more")
            return
        match message["type"]:
            case "http.response.start":
                self._held = message
                self._events = _header(message, b"content-type").startswith(b"text/event-stream")
                return
            case "http.response.body" if not message.get("more_body", False):
                self.complete = True
            case "websocket.accept":
                self._begun = True
            case "websocket.close":
                self.complete = True
            case _:
                pass
        if self._held is not None:
            held, self._held, self._begun = self._held, None, True
            await self._send(held)
        await self._send(message)

    async def refuse(self) -> None:
        """Answer a request that the engine never sees."""
        self.over = True
        if self._websocket:
            await self._send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": _REFUSED})
        else:
            await self._answer_503(_REFUSED)

    async def end(self) -> str | None:
        """Tell the client that it gets no more; what became of the request, ``None`` where it had its whole answer.

        The server then tells the engine that the client is gone, which ends the work for it.
        """
        if self.complete:
            return None
        self.over = True
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_SECONDS):
                if self._websocket:
                    await self._send({"type": "websocket.close", "code": _SERVICE_RESTART, "reason": _ENDED})
                    return "ended" if self._begun else "failed"
                if not self._begun:
                    await self._answer_503(_FAILED)
                    return "failed"
                if self._events:
                    await self._send({"type": "http.response.body", "body": last_event(self._path)})
                    return "ended"
        except Exception:
            # A client that is gone or reads nothing must not keep the others from their end.
            pass
        # The server closes the connection of an answer that its task leaves incomplete.
        if self._task is not None:
            self._task.cancel()
        return "broken"

    async def _answer_503(self, text: str) -> None:
        body = json.dumps({"error": _error(text)}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
            (b"connection", b"close"),
        ]
        with contextlib.suppress(OSError):  # the client is gone
            await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})


def last_event(path: str) -> bytes:
    """The end of a stream that is not complete, as clients of the API at ``path`` read errors.

    OpenAI's completions know an ``error`` object in the place of a chunk, its responses API and Anthropic's messages an
    event of that name.
    """
    if path.endswith("/messages"):
        return _event({"type": "error", "error": {"type": "overloaded_error", "message": _ENDED}}, name="error")
    if path.endswith("/responses"):
        error = {"type": "error", "code": "server_shutting_down", "message": _ENDED, "param": None}
        return _event(error, name="error")
    return _event({"error": _error(_ENDED)}) + b"data: [DONE]\n\n"


def _event(content: dict[str, Any], name: str | None = None) -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(content)}\n\n".encode()


def _error(text: str) -> dict[str, Any]:
    return {"message": text, "type": "ServiceUnavailableError", "param": None, "code": 503}


def _is_work(scope: Scope) -> bool:
    """Probes, metrics and the list of models go on to the end."""
    return scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] == "POST")


def _header(message: Message, name: bytes) -> bytes:
    return next((bytes(value) for key, value in message.get("headers", ()) if bytes(key).lower() == name), b"")
