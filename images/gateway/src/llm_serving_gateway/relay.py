"""The way through LiteLLM and back: what it gets, what the client sees of its answer, what the answer used.

LiteLLM gets a request of ours, with our headers; it is ended as soon as the client goes away. Of its answer the client
gets the body and a few headers: nothing that names a back end, and errors in our words.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from llm_serving_gateway import encoding
from llm_serving_gateway.encoding import DONE, EVENT_END, json_headers
from llm_serving_gateway.exchange import PROVIDER_HEADER, RELEASE_HEADER, Exchange, current
from llm_serving_gateway.refusals import RefusalError, invalid, unavailable, unknown_model

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Inner = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_HANDED_ON = ("accept", "traceparent", "tracestate", "baggage")
"""Headers of the client that LiteLLM gets. It takes orders from others (``x-litellm-...``)."""

TOO_LONG = re.compile(r"maximum (?:context|model) length|max_model_len|context window", re.IGNORECASE)
BLOCKED, INJECTION = "Content blocked", "Prompt injection"
"""What guardrails say in the place of an answer (:mod:`llm_serving_gateway.guards`)."""
WRITE_SECONDS = 60.0
"""How long a client may leave a piece of its answer unread. Then it counts as gone: it would hold its place, and the
engine's, for as long as it likes."""
_LOST = "The answer broke off: its back end failed."

_log = logging.getLogger(__name__)


@dataclass
class Usage:
    """Tokens that an answer used, as the engine counted them; ``None`` where it did not say."""

    prompt: int | None = None
    output: int | None = None
    chunks: int = 0

    def read(self, usage: object) -> None:
        """Take over OpenAI's ``usage`` object, or Cohere's ``tokens`` of a reranking."""
        if not isinstance(usage, Mapping):
            return
        prompt, output = usage.get("prompt_tokens", usage.get("input_tokens")), usage.get("completion_tokens", 0)
        if isinstance(prompt, int) and isinstance(output, int | None):
            self.prompt, self.output = prompt, output or 0


@dataclass
class Outcome:
    """How an exchange ended: the client's status (499 where it went away before), and what was used."""

    status: int
    usage: Usage


Settle = Callable[[Outcome], Awaitable[None]]


def giving(body: bytes, after: Receive) -> Receive:
    """What gives a body, and then what ``after`` has."""
    given = False

    async def take() -> Event:
        nonlocal given
        if given:
            return await after()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return take


def until_gone(gone: asyncio.Event) -> Receive:
    """What says that the client is gone, once it is."""

    async def take() -> Event:
        await gone.wait()
        return {"type": "http.disconnect"}

    return take


async def relay(
    inner: Inner,
    scope: Mapping[str, Any],
    receive: Receive,
    send: Send,
    exchange: Exchange,
    body: bytes,
    settle: Settle,
    *,
    show_usage: bool,
) -> None:
    """Hand an exchange to LiteLLM and its answer to the client.

    Args:
        inner: LiteLLM.
        scope: of the client's request.
        receive: the client's; its body was read.
        send: the client's.
        exchange: what was checked.
        body: what LiteLLM gets, as JSON.
        settle: called once, before the last byte: whoever has the whole answer may ask again at once.
        show_usage: whether the client asked for the usage at the end of a stream.
    """
    stalled, gone = asyncio.Event(), asyncio.Event()

    async def write(event: Event) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await send(event)
        except TimeoutError:
            stalled.set()
            raise

    answer = _Answer(write, exchange, settle, show_usage=show_usage)

    async def run() -> None:
        current.set(exchange)
        await inner(_inner_scope(scope, exchange, len(body)), giving(body, until_gone(gone)), answer.send)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    call, watchers = asyncio.create_task(run()), (asyncio.create_task(watch()), asyncio.create_task(stalled.wait()))
    try:
        await asyncio.wait((call, *watchers), return_when=asyncio.FIRST_COMPLETED)
        if stalled.is_set() or (not call.done() and not answer.is_complete):
            gone.set()
            call.cancel()
            await asyncio.wait((call,))
            return
        await asyncio.wait((call,))
        error = None if call.cancelled() else call.exception()
        if call.cancelled() or error is not None:
            _log.error("LiteLLM ended without an answer: %s", type(error).__name__ if error else "cancelled")
            await answer.fail()
        else:
            await answer.finish()
    finally:
        for task in (call, *watchers):
            task.cancel()
        await asyncio.gather(call, *watchers, return_exceptions=True)
        await answer.settle(499)


def _inner_scope(scope: Mapping[str, Any], exchange: Exchange, length: int) -> MutableMapping[str, Any]:
    headers = [
        (b"host", b"gateway"),
        (b"content-type", b"application/json"),
        (b"content-length", str(length).encode()),
        # LiteLLM wants one; whose request it is says the exchange.
        (b"authorization", b"Bearer sk-checked"),
    ]
    headers += [
        (name.encode(), exchange.headers[name].encode("latin-1")) for name in _HANDED_ON if name in exchange.headers
    ]
    inner = dict(scope)
    inner.update(headers=headers, path=exchange.path, raw_path=exchange.path.encode(), query_string=b"")
    inner["state"] = dict(scope.get("state", {}))
    return inner


class _Answer:
    """LiteLLM's answer on its way to the client: a stream as it comes, all else when it is complete."""

    def __init__(self, send: Send, exchange: Exchange, settle: Settle, *, show_usage: bool) -> None:
        self._send, self._exchange, self._settle, self._show_usage = send, exchange, settle, show_usage
        self._settling: asyncio.Future[None] | None = None
        self.status = 0
        self.usage = Usage()
        self._inner_headers: dict[str, str] = {}
        self._inner_status = 0
        self._body: list[bytes] = []
        self._is_stream = False
        self._rest = b""
        self.is_complete = False
        self._said_done = False

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._inner_status = event["status"]
            self._inner_headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in event["headers"]
            }
            kind = self._inner_headers.get("content-type", "")
            self._is_stream = self._inner_status == 200 and kind.startswith("text/event-stream")
            if self._is_stream:
                await self._start(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
        elif event["type"] == "http.response.body":
            part = event.get("body", b"")
            if not self._is_stream:
                self._body.append(part)
            elif part:
                await self._stream(part)
            if not event.get("more_body"):
                await self.finish()

    async def finish(self) -> None:
        """LiteLLM has said all."""
        if self.is_complete:
            return
        if self._is_stream:
            if self._rest:
                await self._stream(b"\n\n")
            await self._end(EVENT_END if self._said_done else _event(unavailable(_LOST)) + EVENT_END)
        elif self._inner_status == 200:
            await self._complete(b"".join(self._body))
        elif self._exchange.upstream.is_unknown_release:
            await self._refuse(unknown_model())
        elif self._inner_status:
            refusal = _as_refusal(self._inner_status, self._inner_headers, b"".join(self._body))
            verdict = self._exchange.upstream.verdict
            await self._refuse(refusal if verdict is None or refusal.status != 503 else verdict)
        else:
            await self.fail()

    async def fail(self) -> None:
        """There will be no (more) answer."""
        if not self.status:
            await self._refuse(unavailable())
        elif not self.is_complete:
            await self._end(_event(unavailable(_LOST)) + EVENT_END)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        shown = dict(self._exchange.response_headers)
        if self._exchange.upstream.release is not None:
            shown[RELEASE_HEADER] = self._exchange.upstream.release
        if self._exchange.upstream.provider is not None:
            shown[PROVIDER_HEADER] = self._exchange.upstream.provider
        headers = headers + [(name.encode(), value.encode("latin-1")) for name, value in shown.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def settle(self, status: int) -> None:
        """Say what was used, once, to the end: a client that leaves meanwhile ends the task that calls this."""
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle(Outcome(status, self.usage)))
        await asyncio.shield(self._settling)

    async def _end(self, body: bytes) -> None:
        self.is_complete = True
        await self.settle(self.status)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _refuse(self, refusal: RefusalError) -> None:
        body = refusal.body()
        await self._start(refusal.status, [*json_headers(body), *refusal.headers()])
        await self._end(body)

    async def _complete(self, body: bytes) -> None:
        try:
            answer = encoding.loads(body)
        except encoding.JSONDecodeError:
            await self._refuse(unavailable())
            return
        if isinstance(answer, dict):
            self.usage.read(answer.get("usage") or (answer.get("meta") or {}).get("tokens"))
            answer = self._presentable(answer)
            body = encoding.dumps(answer)
        await self._start(200, json_headers(body))
        await self._end(body)

    async def _stream(self, part: bytes) -> None:
        events = (self._rest + part).split(b"\n\n")
        self._rest = events.pop()
        shown = b"".join(self._shown(event) for event in events)
        if shown:
            await self._send({"type": "http.response.body", "body": shown, "more_body": True})

    def _shown(self, event: bytes) -> bytes:
        """What the client gets of one event; counts what it says was used."""
        if event == DONE:
            self._said_done = True
            return b""
        if not event.startswith(b"data: {"):
            return event + b"\n\n"
        try:
            chunk = encoding.loads(event[6:])
        except encoding.JSONDecodeError:
            return b""
        if "error" in chunk:
            if BLOCKED in str(chunk["error"]):
                return _event(_blocked("answer"))
            _log.warning("a stream of %s broke off", self._exchange.model.name)
            return _event(unavailable(_LOST))
        self.usage.chunks += 1
        usage = chunk.get("usage")
        if usage:
            self.usage.read(usage)
        if not self._show_usage and "usage" in chunk:
            if not any(_says_something(choice) for choice in chunk.get("choices", [])):
                return b""
            del chunk["usage"]
        return b"data: " + encoding.dumps(self._presentable(chunk)) + b"\n\n"

    def _presentable(self, answer: dict[str, Any]) -> dict[str, Any]:
        """With the name of the model that answered, without what LiteLLM adds of its own."""
        if "model" in answer:
            answer["model"] = self._exchange.upstream.model or self._exchange.model.name
        for choice in answer.get("choices") or ():
            choice.pop("provider_specific_fields", None)
        return answer


def _says_something(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("finish_reason") or choice.get("text") or any(delta.values()))


def _blocked(what: str) -> RefusalError:
    return invalid(f"The {what} has personal data or a secret in it, which is not let through.", code="content_blocked")


def _event(refusal: RefusalError) -> bytes:
    return b"data: " + refusal.body() + b"\n\n"


def _as_refusal(status: int, headers: Mapping[str, str], body: bytes) -> RefusalError:
    """What the client is told of an error of LiteLLM's, which names back ends and exceptions of Python.

    A request that comes so far is allowed and well-formed: an engine may still refuse it (400), and all else is the
    fault of a back end, also what LiteLLM answers with 429 ("No deployments available").
    """
    if status in (400, 422):
        text = body.decode("utf-8", "replace")
        if BLOCKED in text:
            return _blocked("request or its answer")
        if INJECTION in text:
            reason = "The request asks the model to forget its instructions or to say them, which is not let through."
            return invalid(reason, code="prompt_injection")
        if TOO_LONG.search(text):
            return invalid(
                "The prompt and max_tokens together are longer than the model's context.",
                code="context_length_exceeded",
            )
        return invalid("The model does not take this request.")
    if status == 413:
        return RefusalError(413, "The request is too large for the model.", "request_too_large")
    after = headers.get("retry-after", "")
    return unavailable(retry_after=min(max(int(after), 1), 60) if after.isdecimal() else 5)
