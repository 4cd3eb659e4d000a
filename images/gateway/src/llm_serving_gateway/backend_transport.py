"""The HTTP transport below LiteLLM's clients: each request of a model goes to its back ends in order, within its
time-outs, and nothing is tried again once a client may have its first byte.

It is done here because the first byte, the release and every attempt can be seen here, in the same way for each of
LiteLLM's providers. LiteLLM sees one back end a model; other models as fallbacks are its work.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import breakers, encoding
from llm_serving_gateway.backend_order import REFUSALS, BackEnd, RetryBudget, back_ends, pause
from llm_serving_gateway.circuit_breaker import Ticket
from llm_serving_gateway.configuration import Configuration, Model, Task
from llm_serving_gateway.encoding import DONE, ERROR_EVENT
from llm_serving_gateway.exchange import RELEASE_HEADER
from llm_serving_gateway.hosted import LEFT_OUT, Hosted, HostedAccess, all_hosted
from llm_serving_gateway.prices import Priced
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
        access: to hosted providers.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        configuration: Configuration,
        upstream: Callable[[], Upstream],
        too_long: Callable[[str], bool],
        access: HostedAccess,
    ) -> None:
        self._inner, self._retries = inner, configuration.retries
        self._upstream, self._too_long, self._access = upstream, too_long, access
        self._models = {model.name: model for model in configuration.models}
        self._hosted = {hosted.group: hosted for hosted in all_hosted(configuration)}
        self._with_hosted = {hosted.model.model for hosted in self._hosted.values()}
        bases = {f"{str(model.weighted_url).rstrip('/')}/" for model in configuration.models}
        bases |= {f"{hosted.base}/" for hosted in self._hosted.values()}
        # The longest first: one provider's URL may begin with another's.
        self._bases = sorted(bases, key=len, reverse=True)
        self._budget = RetryBudget()
        self._breakers = breakers.breakers(configuration)
        self._slow_seconds = configuration.breaker.slow_seconds or math.inf
        self._demand = Demand(self._models)
        self._sleepers = Sleepers(inner, self._models.values())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the first back end that has one, or 503."""
        url = str(request.url)
        base = next((base for base in self._bases if url.startswith(base)), None)
        if base is None or request.method != "POST":
            return await self._inner.handle_async_request(request)
        fields = encoding.loads(await request.aread())
        upstream, hosted = self._upstream(), self._hosted.get(fields["model"])
        model = self._models[fields["model"] if hosted is None else hosted.model.model]
        if upstream.broken or upstream.is_unknown_release or not upstream.may_use(model.name):
            return _unavailable(model)
        refused = upstream.refused(model.context_tokens if hosted is None else hosted.model.context_tokens)
        if refused is not None:
            return refused
        path, streams = url.removeprefix(base), fields.get("stream") is True
        if upstream.withheld:
            fields |= upstream.withheld
            request = _with_body(request, fields)
        if hosted is not None:
            return await self._answer_hosted(hosted, model, upstream, fields, path, streams=streams)
        if upstream.pinned is not None and model.name != upstream.requested:
            return _unavailable(model)
        with self._demand.of(model.name):
            deadline = upstream.time_out_after(model.timeouts.total_seconds)
            refusal = None if upstream.admit is None else await upstream.admit(model, deadline)
            if refusal is not None:
                upstream.judge(model, refusal)
                return _unavailable(model)
            fewer = upstream.fewer_tokens.get(model.name)
            if fewer is not None and model.task is Task.CHAT:
                request = _with_fewer_tokens(request, fields, fewer)
            answer = await self._answer_or_wake(model, upstream, request, path, streams=streams)
            if answer.status_code >= 300 and upstream.leave is not None:
                await upstream.leave(model.name)
            return answer

    async def _answer_or_wake(
        self, model: Model, upstream: Upstream, request: httpx.Request, path: str, *, streams: bool
    ) -> httpx.Response:
        """The answer of the first back end that has one, once the model has an instance, or 503."""
        until = _now() + model.timeouts.wake_seconds
        while True:
            answer = await self._answer(model, upstream, request, path, streams=streams)
            if answer is not None:
                return answer
            begun = _now()
            is_awake = await self._sleepers.wake(model, until)
            upstream.wait(_now() - begun)
            if not is_awake:
                upstream.judge(model, _starting(model, self._sleepers.left(model)))
                return _unavailable(model)

    async def _answer(
        self, model: Model, upstream: Upstream, request: httpx.Request, path: str, *, streams: bool
    ) -> httpx.Response | None:
        """The answer of the first back end that has one, or 503; ``None`` where the model has no instance."""
        deadline = upstream.time_out_after(model.timeouts.total_seconds)
        self._budget.request()
        order = back_ends(model, self._retries, upstream.pinned)
        sleeps = False
        leads_on = upstream.pinned is None and (bool(model.fallbacks) or model.name in self._with_hosted)
        for number, back_end in enumerate(order):
            if back_end.repetition:
                if not self._budget.take():
                    break
                await asyncio.sleep(min(pause(back_end.repetition - 1), max(0, deadline - _now())))
            if _now() >= deadline:
                break
            remaining = deadline - _now()
            if streams:
                first_seconds = model.timeouts.first_token_seconds
            else:  # nothing of it is seen before it is whole: what hangs must leave time for the next
                has_next = leads_on or (number == 0 and len(order) > 1)
                first_seconds = remaining / 2 if has_next else remaining
            attempt = self._attempt(back_end, upstream, model, deadline, first_seconds)
            if attempt is None:
                if sleeps:
                    return None
                break
            answer = await attempt.send(self._inner, _to(back_end, path, request))
            if upstream.is_unknown_release:
                return _unavailable(model)
            if answer is None:
                sleeps = attempt.nobody
                is_last = back_end.route == "stable" or back_end.release is not None or number + 1 == len(order)
                if sleeps and is_last:
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

    async def _answer_hosted(
        self, hosted: Hosted, model: Model, upstream: Upstream, fields: dict[str, Any], path: str, *, streams: bool
    ) -> httpx.Response:
        """The answer of a provider. What it refuses is its failure: the model that it stands in for might take it."""
        headers = self._access.headers(hosted) if hosted.may_be_asked(upstream) else None
        deadline = upstream.time_out_after(model.timeouts.total_seconds)
        if headers is None or _now() >= deadline:
            return _unavailable(model)
        provider = hosted.provider.name
        back_end = BackEnd(model.name, "hosted", hosted.base, model.timeouts, provider=provider)
        first_seconds = model.timeouts.first_token_seconds if streams else deadline - _now()
        attempt = self._attempt(back_end, upstream, hosted.model, deadline, first_seconds)
        if attempt is None:
            return _unavailable(model)
        try:
            lease = await self._access.hold(hosted, upstream, uuid.uuid4().hex)
        except BaseException:  # its client left: the breaker must not wait for what it never sends
            attempt.give_up("abandoned")
            raise
        if lease is None:
            attempt.give_up("over_budget")
            return _unavailable(model)
        upstream.lease, upstream.priced = lease, hosted.model
        body = {name: value for name, value in fields.items() if name not in LEFT_OUT} | {"model": hosted.model.name}
        request = httpx.Request("POST", f"{hosted.base}/{path}", headers=headers, content=encoding.dumps(body))
        answer = await attempt.send(self._inner, request)
        if answer is None or answer.status_code in REFUSALS:
            upstream.priced = None
            # Nobody knows what was done for an answer that did not come: it may be on the bill.
            paid = attempt.outcome in ("timeout", "broken")
            await upstream.settle(*(lease.reserved if paid else (0, 0)))
            return _unavailable(model)
        upstream.model, upstream.provider, upstream.release = hosted.model.name, provider, None
        return answer

    def _attempt(
        self, back_end: BackEnd, upstream: Upstream, priced: Priced, deadline: float, first_seconds: float
    ) -> "_Attempt | None":
        """An attempt at a back end; ``None`` where its breaker is open."""
        ticket = None
        name = breakers.name_of(back_end)
        if name is not None:
            ticket = self._breakers[name].admit()
            if ticket is None:
                _count(back_end, None, "breaker_open")
                return None
        return _Attempt(back_end, upstream, priced, deadline, first_seconds, ticket, self._slow_seconds)

    async def aclose(self) -> None:
        """Nothing: the inner transport serves all of LiteLLM's clients, which come and go."""


class _FailedError(Exception):
    """An attempt failed; the text is the outcome that is counted."""


class _Attempt:
    """One request to one back end, whose answer, or the first token of it, must be there after ``first_seconds``.

    Args:
        back_end: which is asked.
        upstream: the way of the request.
        priced: whose price an answer has.
        deadline: of the request.
        first_seconds: for the answer, or the first token of it.
        ticket: by which its breaker let it pass; ``None`` where it has none.
        slow_seconds: for the first token, to count as one that did not fail.
    """

    def __init__(
        self,
        back_end: BackEnd,
        upstream: Upstream,
        priced: Priced,
        deadline: float,
        first_seconds: float,
        ticket: Ticket | None,
        slow_seconds: float,
    ) -> None:
        self._back_end, self._upstream, self._priced = back_end, upstream, priced
        self._deadline, self._first_seconds = deadline, first_seconds
        self._ticket, self._slow_seconds = ticket, slow_seconds
        self._release: str | None = None
        self._untaken = False
        self._failed: bool | None = None
        self.outcome = ""
        self.nobody = False
        """The proxy or a router answered in the place of an engine: there is none, and may be none."""

    async def send(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response | None:
        """The answer: whole, or, of a stream, from the first token on. ``None`` where the next back end is to be asked.

        An answer that is about the request (:data:`REFUSALS`) is one too. What no pod of the stable release took is
        sent to the next one in turn, without cost for anybody: one that died is an endpoint for some seconds.
        """
        try:
            answer = await self._once(inner, request)
            for _ in range(_OTHER_PODS if self._back_end.route == "stable" else 0):
                if answer is not None or not self._untaken:
                    break
                answer = await self._once(inner, request)
            return answer
        finally:
            self._settle()

    async def _once(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response | None:
        timeouts, started = self._back_end.timeouts, _now()
        until = min(self._deadline, started + self._first_seconds)
        remaining = max(until - started, 0)
        request.extensions["timeout"] = {
            "connect": min(timeouts.connect_seconds, remaining),
            "read": remaining + timeouts.between_tokens_seconds,  # the limits below come first
            "write": remaining,
            "pool": remaining,
        }
        self.nobody, self._upstream.is_worked_on = False, True
        try:
            async with contextlib.AsyncExitStack() as opened, asyncio.timeout_at(until):
                response = await inner.handle_async_request(request)
                opened.push_async_callback(response.aclose)
                self._release = response.headers.get(RELEASE_HEADER)
                self._check_release(response.status_code)
                if response.status_code >= 300 and response.status_code not in REFUSALS:
                    self.nobody = self._back_end.may_sleep and is_nobody(response)
                    raise _FailedError(f"status_{response.status_code}")
                answer = await self._answer(response)
                opened.pop_all()  # the answer closes it
        except (_FailedError, TimeoutError, httpx.RequestError) as error:
            self._upstream.is_worked_on = False
            self._untaken = _outcome(error) == _UNTAKEN
            # A model that sleeps has not failed.
            outcome, failed = ("no_instance", None) if self.nobody else (_outcome(error), True)
            self._end(outcome, failed=failed)
            return None
        except BaseException:
            self._end("abandoned", failed=None)
            raise
        is_slow = isinstance(answer.stream, _Stream) and _now() - started > self._slow_seconds
        self._end("answered" if answer.status_code < 300 else "refused", failed=is_slow)
        self._upstream.is_worked_on = answer.status_code < 300
        self._upstream.model, self._upstream.release = self._back_end.model, self._release
        self._upstream.priced = self._priced
        return answer

    def give_up(self, outcome: str) -> None:
        """It is not sent at all."""
        self._end(outcome, failed=None)
        self._settle()

    def _end(self, outcome: str, *, failed: bool | None) -> None:
        """What became of it, and whether that is a failure of the back end; ``None``: nobody knows."""
        self.outcome, self._failed = outcome, failed
        _count(self._back_end, self._release, outcome)

    def _settle(self) -> None:
        if self._ticket is not None:
            self._ticket.settle(failed=self._failed)

    def _check_release(self, status: int) -> None:
        """A request for one release is answered by it, or by nobody.

        The route has a rule for each release that there is, whose answers name it, those of the proxy in the place of
        an engine too, and one without a back end for all others: that is answered 503, or by older proxies 500.
        """
        pinned = self._back_end.release
        if pinned is None or self._release == pinned:
            return
        if self._release is None and status not in (500, 503):  # a proxy that has not read its routes yet
            raise _FailedError(f"status_{status}")
        self._upstream.is_unknown_release = True
        raise _FailedError("unknown_release")

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
                until = min(self._deadline, _now() + self._back_end.timeouts.between_tokens_seconds)
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
            _BROKEN.labels(self._back_end.model, _who(self._back_end, self._release)).inc()
            if self._ticket is not None:
                self._ticket.broke()


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


def _who(back_end: BackEnd, release: str | None) -> str:
    """Who answered, or was asked in vain: a provider, or a release that has said so."""
    return back_end.provider or release or UNKNOWN


def _count(back_end: BackEnd, release: str | None, outcome: str) -> None:
    _ATTEMPTS.labels(back_end.model, back_end.route, _who(back_end, release), outcome).inc()


def _to(back_end: BackEnd, path: str, request: httpx.Request) -> httpx.Request:
    """The same request for another back end."""
    left_out = ("host", "accept-encoding", RELEASE_HEADER)
    headers = {name: value for name, value in request.headers.items() if name not in left_out}
    if back_end.release is not None:
        headers[RELEASE_HEADER] = back_end.release
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
