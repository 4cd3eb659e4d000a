"""The HTTP transport below LiteLLM's clients: each request of a model goes to its back ends in order, within its
time-outs, and nothing is tried again once a client may have its first byte.

It is done here because the first byte, the release and every attempt can be seen here, in the same way for each of
LiteLLM's providers. LiteLLM sees one back end a model; other models as fallbacks are its work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding
from llm_serving_gateway.backend_order import REFUSALS, BackEnd, RetryBudget, back_ends, pause
from llm_serving_gateway.configuration import Configuration, Model, Task
from llm_serving_gateway.encoding import DONE, ERROR_EVENT
from llm_serving_gateway.exchange import RELEASE_HEADER
from llm_serving_gateway.refusals import RefusalError
from llm_serving_gateway.sleepers import Demand, Sleepers, is_nobody
from llm_serving_gateway.upstream import Upstream, copy

UNKNOWN = "unknown"
"""The release of an attempt whose answer named none."""
RETRY_AFTER_SECONDS = 5
_UNTAKEN = "status_502"
"""What the proxy answers where a pod refuses the connection."""
_OTHER_PODS = 3
_ERROR_IN_OUR_WORDS = ERROR_EVENT + b': {"message": "The model failed.", "type": "server_error", "code": 500}}\n\n'
"""What LiteLLM gets for an engine's error, which may quote the prompt: LiteLLM logs it."""

_ATTEMPTS = Counter("llm_gateway_attempts_total", "Requests to back ends", ["model", "route", "release", "outcome"])
_BROKEN = Counter(
    "llm_gateway_broken_streams_total", "Streams that broke off after the first byte", ["model", "release"]
)
_UNAVAILABLE = Counter("llm_gateway_unavailable_total", "Requests that no back end of the model answered", ["model"])


class BackEndTransport(httpx.AsyncBaseTransport):
    """Sends by ``inner``; other requests than those to models pass unchanged.

    Args:
        upstream: the way of the request that is running.
        too_long: whether the text of an error says that the prompt is longer than the model's context.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        configuration: Configuration,
        upstream: Callable[[], Upstream],
        too_long: Callable[[str], bool],
    ) -> None:
        self._inner, self._retries = inner, configuration.retries
        self._upstream, self._too_long = upstream, too_long
        self._models = {model.name: model for model in configuration.models}
        self._bases = {f"{str(model.weighted_url).rstrip('/')}/" for model in configuration.models}
        self._budget = RetryBudget()
        self._demand = Demand(self._models)
        self._sleepers = Sleepers(inner, self._models.values())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the first back end that has one, or 503."""
        url = str(request.url)
        base = next((base for base in self._bases if url.startswith(base)), None)
        if base is None or request.method != "POST":
            return await self._inner.handle_async_request(request)
        fields = encoding.loads(await request.aread())
        upstream, model = self._upstream(), self._models[fields["model"]]
        if upstream.broken or not upstream.may_use(model.name):
            return _unavailable(model)
        refused = upstream.refused(model.context_tokens)
        if refused is not None:
            return refused
        streams = fields.get("stream") is True
        path = url.removeprefix(base)
        if upstream.withheld:
            fields |= upstream.withheld
            request = _with_body(request, fields)
        with self._demand.of(model.name):
            deadline = upstream.time_out_after(model.timeouts.total_seconds)
            refusal = None if upstream.admit is None else await upstream.admit(model, deadline)
            if refusal is not None:
                upstream.verdict = upstream.verdict or refusal
                return _unavailable(model)
            fewer = upstream.fewer_tokens.get(model.name)
            if fewer is not None and model.task is Task.CHAT:
                request = _with_fewer_tokens(request, fields, fewer)
            until = _now() + model.timeouts.wake_seconds
            while True:
                answer = await self._answer(model, upstream, request, path, streams=streams)
                if answer is not None:
                    return answer
                begun = _now()
                if not await self._sleepers.wake(model, until):
                    upstream.verdict = upstream.verdict or _starting(model, self._sleepers.left(model))
                    return _unavailable(model)
                upstream.wait(_now() - begun)

    async def _answer(
        self, model: Model, upstream: Upstream, request: httpx.Request, path: str, *, streams: bool
    ) -> httpx.Response | None:
        """The answer of the first back end that has one, or 503; ``None`` where the model has no instance."""
        deadline = upstream.time_out_after(model.timeouts.total_seconds)
        self._budget.request()
        order = back_ends(model, self._retries)
        for number, back_end in enumerate(order):
            if number > 1:  # from here on the same back end again
                if not self._budget.take():
                    break
                await asyncio.sleep(min(pause(number - 2), max(0, deadline - _now())))
            if _now() >= deadline:
                break
            remaining = deadline - _now()
            if streams:
                first_seconds = model.timeouts.first_token_seconds
            else:  # nothing of it is seen before it is whole: what hangs must leave time for the next
                first_seconds = remaining / 2 if number == 0 and len(order) > 1 else remaining
            attempt = _Attempt(model, back_end, upstream, deadline, first_seconds)
            answer = await attempt.send(self._inner, _to(back_end, path, request))
            if answer is None:
                is_last = back_end.route == "stable" or number + 1 == len(order)
                if attempt.nobody and is_last and model.cold_start_seconds is not None:
                    return None
                continue
            self._sleepers.answered(model)
            if answer.status_code in REFUSALS:
                too_long = self._too_long(answer.text)
                upstream.refusal = _in_our_words(answer.status_code, too_long=too_long)
                upstream.too_long_for = model.context_tokens if too_long else None
                return copy(upstream.refusal)
            return answer
        _UNAVAILABLE.labels(model.name).inc()
        return _unavailable(model)

    async def aclose(self) -> None:
        """Nothing: the inner transport serves all of LiteLLM's clients, which come and go."""


class _FailedError(Exception):
    """An attempt failed; the text is the outcome that is counted."""


class _Attempt:
    """One request to one back end, whose answer, or the first token of it, must be there after ``first_seconds``."""

    def __init__(
        self, model: Model, back_end: BackEnd, upstream: Upstream, deadline: float, first_seconds: float
    ) -> None:
        self._model, self._back_end, self._upstream = model, back_end, upstream
        self._deadline, self._first_seconds = deadline, first_seconds
        self._release: str | None = None
        self._untaken = False
        self.nobody = False
        """The proxy or a router answered in the place of an engine: there is none."""

    async def send(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response | None:
        """The answer: whole, or, of a stream, from the first token on. ``None`` where the next back end is to be asked.

        An answer that is about the request (:data:`REFUSALS`) is one too. What no pod of the stable release took is
        sent to the next one in turn, without cost for anybody: one that died is an endpoint for some seconds.
        """
        answer = await self._once(inner, request)
        for _ in range(_OTHER_PODS if self._back_end.route == "stable" else 0):
            if answer is not None or not self._untaken:
                break
            answer = await self._once(inner, request)
        return answer

    async def _once(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response | None:
        timeouts = self._model.timeouts
        until = min(self._deadline, _now() + self._first_seconds)
        remaining = max(until - _now(), 0)
        request.extensions["timeout"] = {
            "connect": min(timeouts.connect_seconds, remaining),
            "read": remaining + timeouts.between_tokens_seconds,  # the limits below come first
            "write": remaining,
            "pool": remaining,
        }
        try:
            async with contextlib.AsyncExitStack() as opened, asyncio.timeout_at(until):
                response = await inner.handle_async_request(request)
                opened.push_async_callback(response.aclose)
                self._release = response.headers.get(RELEASE_HEADER)
                if response.status_code >= 300 and response.status_code not in REFUSALS:
                    self.nobody = is_nobody(response)
                    raise _FailedError(f"status_{response.status_code}")
                answer = await self._answer(response)
                opened.pop_all()  # the answer closes it
        except (_FailedError, TimeoutError, httpx.RequestError) as error:
            self._untaken = _outcome(error) == _UNTAKEN
            self._count("no_instance" if self.nobody else _outcome(error))
            return None
        except BaseException:
            self._count("abandoned")
            raise
        self._count("answered" if answer.status_code < 300 else "refused")
        self._upstream.model, self._upstream.release = self._model.name, self._release
        return answer

    async def _answer(self, response: httpx.Response) -> httpx.Response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            body = b"".join([chunk async for chunk in response.aiter_raw()])
            answer = httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))
            await answer.aread()
            return copy(answer) if answer.status_code < 300 else answer
        chunks = response.aiter_raw()
        first = await anext(chunks, b"")
        if not first or first.startswith(ERROR_EVENT):
            raise _FailedError("broken")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Stream(self._rest(first, chunks), response),
        )

    async def _rest(self, first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A stream from its first chunk on.

        Raises:
            httpx.RequestError: it broke off.
        """
        chunk, tail = first, b""
        try:
            while chunk:
                tail = (tail + chunk)[-64:]
                if ERROR_EVENT in chunk:
                    self._break()
                    yield chunk.partition(ERROR_EVENT)[0] + _ERROR_IN_OUR_WORDS
                    return
                yield chunk
                until = min(self._deadline, _now() + self._model.timeouts.between_tokens_seconds)
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks, b"")
        except TimeoutError as error:
            self._break()
            raise httpx.ReadTimeout("the next token did not come in time") from error
        except httpx.RequestError:
            self._break()
            raise
        if DONE not in tail and not self._upstream.broken:
            self._break()
            raise httpx.RemoteProtocolError("the stream ended early")

    def _break(self) -> None:
        if not self._upstream.broken:
            self._upstream.broken = True
            _BROKEN.labels(self._model.name, self._release or UNKNOWN).inc()

    def _count(self, outcome: str) -> None:
        _ATTEMPTS.labels(self._model.name, self._back_end.route, self._release or UNKNOWN, outcome).inc()


class _Stream(httpx.AsyncByteStream):
    """Chunks that were looked at, of a response that is closed with them."""

    def __init__(self, chunks: AsyncIterator[bytes], response: httpx.Response) -> None:
        self._chunks, self._response = chunks, response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._response.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _to(back_end: BackEnd, path: str, request: httpx.Request) -> httpx.Request:
    """The same request for another back end."""
    headers = {name: value for name, value in request.headers.items() if name not in ("host", "accept-encoding")}
    return httpx.Request("POST", f"{back_end.url}/{path}", headers=headers, content=request.content)


def _with_body(request: httpx.Request, fields: dict[str, Any]) -> httpx.Request:
    """The same request with these fields."""
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    body = encoding.dumps(fields)
    return httpx.Request("POST", request.url, headers=headers, content=body, extensions=request.extensions)


def _with_fewer_tokens(request: httpx.Request, fields: dict[str, Any], most: int) -> httpx.Request:
    """The same request for an answer that is no longer than this."""
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in fields]
    for name in (*(names or ["max_tokens"]), *(["min_tokens"] if "min_tokens" in fields else [])):
        fields[name] = min(fields.get(name, most), most)
    return _with_body(request, fields)


def _outcome(error: Exception) -> str:
    if isinstance(error, _FailedError):
        return str(error)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "unreachable"
    return "timeout" if isinstance(error, TimeoutError | httpx.TimeoutException) else "broken"


def _in_our_words(status: int, *, too_long: bool) -> httpx.Response:
    """What LiteLLM gets for a refusal of an engine, which may quote the prompt: LiteLLM logs it.

    It knows by these words that a model with more context may be asked.
    """
    message = "This model's maximum context length is exceeded." if too_long else "The model refused the request."
    error = {"message": message, "type": "invalid_request_error", "code": str(status)}
    return httpx.Response(status, json={"error": error})


def _starting(model: Model, left_seconds: float) -> RefusalError:
    message = f"{model.name} had no instance while nobody asked, and starts one now."
    return RefusalError(503, message, "model_starting", retry_after=max(ceil(left_seconds), RETRY_AFTER_SECONDS))


def _unavailable(model: Model) -> httpx.Response:
    error = {"message": f"No back end of {model.name} answers now.", "type": "server_error", "code": "503"}
    return httpx.Response(503, headers={"retry-after": str(RETRY_AFTER_SECONDS)}, json={"error": error})
