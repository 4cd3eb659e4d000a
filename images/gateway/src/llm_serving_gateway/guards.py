"""Guardrails around LiteLLM: of requests, before kept answers are looked for; of answers, before they are kept.

LiteLLM's own hooks leave out what a model thinks, the arguments of tool calls in streams, and documents to rerank. So
its filter is used here, on all texts that a request or an answer has (:func:`request_texts`, :func:`answer_texts`).
"""

from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_serving_gateway import encoding, exchange, requests
from llm_serving_gateway.configuration import Guardrails
from llm_serving_gateway.encoding import DONE, EVENT_END
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.guardrails import BlockedError, TextFilter, filters
from llm_serving_gateway.relay import BLOCKED, INJECTION, Event, Inner, Receive, Send, giving

_THOUGHTS = ("reasoning_content", "reasoning")
_MESSAGE_TEXTS = ("content", *_THOUGHTS, "refusal", "name")
_ANSWER_TEXTS = ("content", *_THOUGHTS, "refusal")
_REPEATS = ("logprobs", "prompt_logprobs", "provider_specific_fields", "token_ids")
"""Parts of an answer that say its text again, in pieces: they are left out where answers are looked at."""


@dataclass
class Texts:
    """Texts of a request or an answer, each by where it is, and tool calls, whose arguments are texts."""

    places: list[tuple[Any, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, container: Any, key: Any) -> None:
        """All texts in ``container[key]``: a text, a list of them, or values of an object, however deep."""
        value = container[key]
        if isinstance(value, str):
            if value:
                self.places.append((container, key))
        elif isinstance(value, list):
            for index in range(len(value)):
                self.add(value, index)
        elif isinstance(value, dict):
            for name in value:
                self.add(value, name)

    def add_message(self, message: MutableMapping[str, Any], names: Sequence[str]) -> None:
        """Those of a message."""
        for name in names:
            value = message.get(name)
            if isinstance(value, list):  # parts; the data of images and sounds are no texts
                for part in value:
                    if isinstance(part, dict) and isinstance(part.get("text"), str):
                        self.add(part, "text")
            elif isinstance(value, str):
                self.add(message, name)
        calls = message.get("tool_calls")
        self.tool_calls += [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        call = message.get("function_call")
        if isinstance(call, dict):
            self.tool_calls.append({"function": call})

    async def filtered(self, text_filter: TextFilter) -> bool:
        """Put what the filter makes of them in their places; whether there were any.

        Raises:
            BlockedError: something was found that is not let through.
        """
        found = await text_filter.apply([container[key] for container, key in self.places], self.tool_calls)
        for (container, key), text in zip(self.places, found, strict=True):
            container[key] = text
        return bool(self.places or self.tool_calls)


def request_texts(body: MutableMapping[str, Any], *, of_others: bool = False) -> Texts:
    """The texts of a request: messages with their thoughts and tool calls, prompts, documents.

    Args:
        body: as it was parsed.
        of_others: without what the application and the model say themselves.
    """
    texts = Texts()
    for message in body.get("messages", ()):
        if not of_others or message.get("role") not in ("system", "developer", "assistant"):
            texts.add_message(message, _MESSAGE_TEXTS)
    for name in ("prompt", "suffix", "input", "query", "documents"):
        if name in body:
            texts.add(body, name)
    return texts


def answer_texts(answer: MutableMapping[str, Any]) -> Texts:
    """The texts of a whole answer."""
    texts = Texts()
    for choice in _dictionaries(answer.get("choices")):
        if "text" in choice:
            texts.add(choice, "text")
        if isinstance(choice.get("message"), dict):
            texts.add_message(choice["message"], _ANSWER_TEXTS)
    for result in _dictionaries(answer.get("results")):
        if "document" in result:
            texts.add(result, "document")
    return texts


def around_requests(inner: Inner, guardrails: Guardrails | None) -> Inner:
    """``inner`` with guardrails before it."""
    sensitive, injection, _ = filters(guardrails)
    if sensitive is None and injection is None:
        return inner

    async def guarded(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        running = exchange.current.get()
        if scope["type"] != "http" or running is None:
            await inner(scope, receive, send)
            return
        reason = INJECTION
        try:
            if injection is not None:
                await request_texts(running.body, of_others=True).filtered(injection)
            if sensitive is not None:
                reason = BLOCKED
                await request_texts(running.body).filtered(sensitive)
        except BlockedError:
            await _refuse(send, reason)
            return
        shown, running.upstream.withheld = requests.divide(running.path, running.body)
        body = encoding.dumps(shown)
        await receive()  # what came before the guardrails
        await inner(_with_length(scope, len(body)), giving(body, receive), send)

    return guarded


def around_answers(inner: Inner, guardrails: Guardrails | None) -> Inner:
    """``inner`` with guardrails behind it."""
    _, _, sensitive = filters(guardrails)
    if sensitive is None:
        return inner

    async def guarded(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        running = exchange.current.get()
        if scope["type"] != "http" or running is None:
            await inner(scope, receive, send)
            return
        answer = _GuardedAnswer(running, send, sensitive)
        try:
            await inner(scope, receive, answer.send)
        except Exception:
            if not answer.blocked:
                raise

    return guarded


class _EndedError(Exception):
    """Ends LiteLLM's answer, of which nothing more is sent."""


class _GuardedAnswer:
    """An answer of LiteLLM's on its way: of a stream what may be let go, all else when it is whole."""

    def __init__(self, running: Exchange, send: Send, text_filter: TextFilter) -> None:
        self._running, self._send, self._filter = running, send, text_filter
        self._start: Event | None = None
        self._parts: list[bytes] = []
        self._stream: GuardedStream | None = None
        self._rest = b""
        self.blocked = False

    async def send(self, event: Event) -> None:
        """ASGI's."""
        if self.blocked:
            raise _EndedError
        if event["type"] == "http.response.start":
            kind = dict(event["headers"]).get(b"content-type", b"")
            if event["status"] == 200 and kind.startswith(b"text/event-stream"):
                self._stream = GuardedStream(self._filter)
                await self._send(event)
            else:
                self._start = event
        elif event["type"] != "http.response.body":
            await self._send(event)
        elif self._stream is not None:
            await self._send_stream(event, self._stream)
        else:
            self._parts.append(event.get("body", b""))
            if not event.get("more_body"):
                await self._send_whole()

    async def _send_whole(self) -> None:
        assert self._start is not None
        body = b"".join(self._parts)
        if self._start["status"] == 200:
            try:
                body = await self._filtered(body)
            except BlockedError:
                self.blocked = True
                await _refuse(self._send, BLOCKED)
                return
        await self._send(_with_length(self._start, len(body)))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _filtered(self, body: bytes) -> bytes:
        try:
            answer = encoding.loads(body)
        except encoding.JSONDecodeError:
            return body  # the relay makes a refusal of it
        if not isinstance(answer, dict):
            return body
        _leave_out_repeats(answer)
        await answer_texts(answer).filtered(self._filter)
        return encoding.dumps(answer)

    async def _send_stream(self, event: Event, stream: "GuardedStream") -> None:
        events = (self._rest + event.get("body", b"")).split(b"\n\n")
        self._rest = events.pop()
        if not event.get("more_body") and self._rest:
            events.append(self._rest)
        try:
            shown = b"".join([await stream.next(each) for each in events])
        except BlockedError:
            self.blocked = True
            body = b"data: " + _error(BLOCKED) + b"\n\n" + EVENT_END
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
            raise _EndedError from None
        await self._send({**event, "body": shown})


class GuardedStream:
    """The events of one stream, of whose texts the last characters are held back.

    A choice has several texts: what it answers, what it thinks, the arguments of each tool call. One ends when the
    next begins, or the choice.
    """

    def __init__(self, text_filter: TextFilter) -> None:
        self._pieces: list[tuple[int, str, bool]] = []
        self._let_go = text_filter.stream(self._given())
        self._numbers: dict[tuple[int, str, int], int] = {}
        self._open: dict[int, list[tuple[str, int]]] = {}
        self._count = 0
        self._last: dict[str, Any] = {}
        self._ended = False

    async def _given(self) -> AsyncIterator[Sequence[tuple[int, str, bool]]]:
        while self._pieces:
            pieces, self._pieces = self._pieces, []
            yield pieces

    async def next(self, event: bytes) -> bytes:
        """What is sent of an event.

        Raises:
            BlockedError: something was found that is not let through.
        """
        if event == DONE:
            return await self._rest() + EVENT_END
        if not event.startswith(b"data: {"):
            return event + b"\n\n" if event else b""
        try:
            chunk = encoding.loads(event[6:])
        except encoding.JSONDecodeError:
            return b""
        if "error" in chunk:
            self._ended = True
        choices = list(_dictionaries(chunk.get("choices")))
        if not choices:
            return event + b"\n\n"
        _leave_out_repeats(chunk)
        places: dict[int, tuple[dict[str, Any], str, int]] = {}
        for choice in choices:
            self._take(choice, places)
        for number, text in await self._filtered():
            choice, name, call = places[number]
            _put(choice, name, call, text)
        self._last = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        return b"data: " + encoding.dumps(chunk) + b"\n\n"

    def _take(self, choice: dict[str, Any], places: dict[int, tuple[dict[str, Any], str, int]]) -> None:
        """Take the texts out of a choice; what is let go comes back in their place."""
        index = choice.get("index", 0)
        new = list(_taken(choice))
        is_last = bool(choice.get("finish_reason"))
        open_ = self._open.setdefault(index, [])
        for name, call in [*open_]:
            if (is_last or new) and (name, call) not in [each[:2] for each in new]:
                self._add(choice, (index, name, call), "", places, is_last=True)
                open_.remove((name, call))
        for name, call, text in new:
            self._add(choice, (index, name, call), text, places, is_last=is_last)
            if is_last and (name, call) in open_:
                open_.remove((name, call))
            elif not is_last and (name, call) not in open_:
                open_.append((name, call))

    def _add(
        self,
        choice: dict[str, Any],
        text_of: tuple[int, str, int],
        text: str,
        places: dict[int, tuple[dict[str, Any], str, int]],
        *,
        is_last: bool,
    ) -> None:
        if text_of not in self._numbers:
            self._numbers[text_of] = self._count
            self._count += 1
        number = self._numbers[text_of]
        if is_last:  # what comes later under the same name is another text
            del self._numbers[text_of]
        self._pieces.append((number, text, is_last))
        places[number] = (choice, *text_of[1:])

    async def _filtered(self) -> Sequence[tuple[int, str]]:
        if not self._pieces:
            return ()
        return await anext(self._let_go)

    async def _rest(self) -> bytes:
        """What was held back of texts that nothing ended."""
        if self._ended or not any(self._open.values()):
            return b""
        choices: list[dict[str, Any]] = []
        places: dict[int, tuple[dict[str, Any], str, int]] = {}
        for index, open_ in self._open.items():
            for name, call in open_:
                choices.append({"index": index, **({"text": ""} if name == "text" else {"delta": {}})})
                self._add(choices[-1], (index, name, call), "", places, is_last=True)
        for number, text in await self._filtered():
            choice, name, call = places[number]
            _put(choice, name, call, text)
        return b"data: " + encoding.dumps({**self._last, "choices": choices}) + b"\n\n"


def _taken(choice: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """The texts of a choice in a stream, each with its name and the number of its tool call, taken out of it."""
    if isinstance(choice.get("text"), str):
        text, choice["text"] = choice["text"], ""
        if text:
            yield "text", 0, text
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for name in _ANSWER_TEXTS:
        text = delta.get(name)
        if isinstance(text, str) and text:
            delta[name] = ""
            yield name, 0, text
    for call in _dictionaries(delta.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), str) and function["arguments"]:
            text, function["arguments"] = function["arguments"], ""
            yield "tool_calls", call.get("index", 0), text
    function = delta.get("function_call")
    if isinstance(function, dict) and isinstance(function.get("arguments"), str) and function["arguments"]:
        text, function["arguments"] = function["arguments"], ""
        yield "function_call", 0, text


def _put(choice: dict[str, Any], name: str, call: int, text: str) -> None:
    """Put a text back into a choice, behind what is there."""
    if not text:
        return
    if name == "text":
        choice["text"] = choice.get("text", "") + text
        return
    delta = choice["delta"] = choice.get("delta") or {}
    if name == "tool_calls":
        calls = delta["tool_calls"] = delta.get("tool_calls") or []
        for each in calls:
            if each.get("index", 0) == call and isinstance(each.get("function"), dict):
                each["function"]["arguments"] = (each["function"].get("arguments") or "") + text
                return
        calls.append({"index": call, "function": {"arguments": text}})
    elif name == "function_call":
        function = delta["function_call"] = delta.get("function_call") or {}
        function["arguments"] = (function.get("arguments") or "") + text
    else:
        delta[name] = (delta.get(name) or "") + text


def _leave_out_repeats(answer: MutableMapping[str, Any]) -> None:
    for part in (answer, *_dictionaries(answer.get("choices"))):
        for name in _REPEATS:
            part.pop(name, None)
        for name in ("message", "delta"):
            if isinstance(part.get(name), dict):
                part[name].pop("provider_specific_fields", None)


def _dictionaries(value: object) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _with_length(message: MutableMapping[str, Any], length: int) -> MutableMapping[str, Any]:
    headers = [(name, value) for name, value in message["headers"] if name.lower() != b"content-length"]
    return {**message, "headers": [*headers, (b"content-length", str(length).encode())]}


def _error(reason: str) -> bytes:
    return encoding.dumps({"error": {"message": reason}})


async def _refuse(send: Send, reason: str) -> None:
    body = _error(reason)
    await send({"type": "http.response.start", "status": 400, "headers": encoding.json_headers(body)})
    await send({"type": "http.response.body", "body": body, "more_body": False})
