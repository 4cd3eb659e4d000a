"""The gateway's ASGI application, around LiteLLM's.

In this order: path, key, size of the body, its fields, model, limits; what passes is handed to LiteLLM
(:mod:`llm_serving_gateway.relay`). No other path leads to LiteLLM: keys, users, configuration, MCP and pages of its
administration are not there. Prompts and answers are never logged.
"""

import asyncio
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm_serving_gateway import encoding, requests
from llm_serving_gateway.answer_keys import FIELD, directives
from llm_serving_gateway.bounds import bound
from llm_serving_gateway.configuration import Configuration, Files, Model, read_configuration
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.keys import Key, Keys
from llm_serving_gateway.limits import Limiter, LimitError, Limits, Reservation, SharedLimits
from llm_serving_gateway.metrics import Metrics
from llm_serving_gateway.overload import Admission, Admissions
from llm_serving_gateway.prices import Priced, price
from llm_serving_gateway.queue.interface import Interface, Reply
from llm_serving_gateway.queue.store import Store
from llm_serving_gateway.refusals import RefusalError, invalid, unknown_model
from llm_serving_gateway.relay import Event, Inner, Outcome, Receive, Send, relay
from llm_serving_gateway.tables import Tables

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_LIST = "/v1/models"
_LIVELINESS = "/health/liveliness"
HEALTH = (_LIVELINESS, "/health/readiness")
KEY = "llm_serving_gateway.key"
"""In the scope of a request from inside of this process: whose it is. No server puts it there for a client."""
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,62}")
"""A release in ``model@release``."""
_CLIENT_GONE = 499
"""What nginx notes for a client that went away: nobody gets it."""


@dataclass(frozen=True)
class Parts:
    """What a process of the gateway is made of."""

    configuration: Configuration
    keys: Keys
    application: "Application"


def create() -> "Application":
    """The application of this process, from the files of its pod."""
    return parts(Files.from_environment(), with_queue=True).application


def parts(files: Files, *, with_queue: bool = False) -> Parts:
    """The application and what is in it.

    Args:
        files: of the pod.
        with_queue: it takes requests into the queue, where the configuration has one.
    """
    from litellm.proxy.proxy_server import app  # pyright: ignore[reportMissingImports]

    from llm_serving_gateway import answer_cache, backends, guards, litellm_logs, litellm_parts

    configuration = read_configuration(files.gateway)
    litellm_logs.install()
    litellm_parts.leave_out(app)
    redis = configuration.redis
    shared = None
    if redis is not None and redis.limits is not None:
        shared = SharedLimits(redis.limits, files.password("limits"), redis.timeout_seconds)
    tables = None if configuration.postgres is None else Tables.of(configuration.postgres, files.postgres)
    limiter = Limiter(
        shared, configuration.replicas, configuration.fail_closed_seconds, None if tables is None else tables.budgets
    )
    backends.install(configuration, limiter, files)
    guarded = guards.around_answers(app, configuration.guardrails)
    inner = guards.around_requests(answer_cache.around(guarded, configuration, files), configuration.guardrails)
    keys = Keys(files.keys, None if tables is None else tables.keys)
    application = Application(configuration, keys, limiter, Metrics(), inner, tables)
    if with_queue and configuration.queue is not None and redis is not None and redis.limits is not None:
        store = Store(redis.limits, files.password("limits"), configuration.queue)
        secret = files.webhook_secret()
        application.queue = Interface(store, configuration.queue, configuration.limits, application.check, secret)
    return Parts(configuration, keys, application)


@dataclass
class _Entry:
    """What the metrics say of a request in the end."""

    model: str = ""
    key: str = ""
    team: str = ""
    status: int = 0


class Application:
    """What the server calls."""

    def __init__(
        self,
        configuration: Configuration,
        keys: Keys,
        limiter: Limiter,
        metrics: Metrics,
        inner: Inner,
        tables: Tables | None = None,
    ) -> None:
        self._tables = tables
        self._configuration, self._keys, self._limiter, self._inner = configuration, keys, limiter, inner
        self._models = {model.name: model for model in configuration.models}
        self._reached = {name: configuration.fallbacks_of(name) for name in self._models}
        self._metrics, self._admissions = metrics, Admissions(configuration, limiter)
        self.queue: Interface | None = None
        self._held = requests.HeldBytes(max(requests.HELD_BYTES, configuration.limits.body_bytes))
        metrics.watch(keys.state, limiter, self._held, None if tables is None else tables.budgets)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _secured(send))

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._keys.look()
        host = os.environ.get("LLM_SERVING_GATEWAY_HOST", "0.0.0.0")
        self._metrics.serve(host, int(os.environ.get("LLM_SERVING_GATEWAY_METRICS_PORT", "4001")))
        tasks = [asyncio.create_task(self._keys.watch()), asyncio.create_task(self._limiter.run())]
        if self._tables is not None:
            tasks.append(asyncio.create_task(self._tables.run()))
        try:
            await self._inner(scope, receive, send)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._limiter.close()
            if self.queue is not None:
                await self.queue.close()
            if self._tables is not None:
                await self._tables.close()

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in HEALTH:
            ready = path == _LIVELINESS or self._keys.are_read
            await _send_json(send, 200 if ready else 503, encoding.dumps({"status": "ok" if ready else "no keys"}))
            return
        entry, started = _Entry(), time.monotonic()
        try:
            await self._route(scope, receive, send, entry)
        except RefusalError as refusal:
            entry.status = refusal.status
            await _send_refusal(send, refusal)
        except LimitError as error:
            entry.status = error.refusal.status
            self._metrics.refused.labels(error.kind, entry.model, entry.key, entry.team).inc()
            await _send_refusal(send, error.refusal)
        finally:
            self._metrics.requests.labels(entry.model, entry.key, entry.team, entry.status).inc()
            if entry.model:
                self._metrics.seconds.labels(entry.model).observe(time.monotonic() - started)

    async def _route(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, entry: _Entry) -> None:
        method, path = scope["method"], scope["path"]
        is_list = path == _LIST or path.startswith(_LIST + "/")
        queue = self.queue if self.queue is not None and self.queue.takes(path) else None
        if path not in requests.BODIES and not is_list and queue is None:
            raise RefusalError(404, "There is no such path.", "not_found")
        allowed = ["GET" if is_list else "POST"] if queue is None else queue.methods(path)
        if method not in allowed:
            message = f"This path takes {' and '.join(allowed)} alone."
            raise RefusalError(405, message, "method_not_allowed", allowed=", ".join(allowed))
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key = scope.get(KEY) or await self._keys.authenticate(headers.pop("authorization", None))
        entry.key, entry.team = key.name, key.team
        if queue is not None:
            with self._held.request() as hold:
                reply = await queue.answer(key, headers, scope, receive, hold)
            entry.status = reply.status
            await _send_reply(send, reply)
            return
        if is_list:
            listed = encoding.dumps(self._listed(key, path.removeprefix(_LIST).removeprefix("/")))
            entry.status = 200
            await _send_json(send, 200, listed)
            return
        with self._held.request() as hold:
            body = await requests.read_body(receive, headers, self._configuration.limits.body_bytes, hold)
            if body is None:
                entry.status = _CLIENT_GONE
                return
            await self._take(key, headers, body, scope, receive, send, entry)

    async def _take(
        self,
        key: Key,
        headers: Mapping[str, str],
        body: bytes,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
        entry: _Entry,
    ) -> None:
        path = scope["path"]
        fields = requests.parse(path, body)
        model = self.check(key, path, fields)
        fields["model"], _, release = fields["model"].partition("@")
        entry.model = model.name
        asked = directives(fields, headers.get("cache-control", ""))
        fields.pop(FIELD, None)
        exchange = Exchange(uuid.uuid4().hex, key, model, path, headers, fields, release or None, asked)
        exchange.max_tokens_left_open = not {"max_tokens", "max_completion_tokens"} & fields.keys()
        await self._hand_on(exchange, scope, receive, send, entry)

    async def _hand_on(
        self, exchange: Exchange, scope: MutableMapping[str, Any], receive: Receive, send: Send, entry: _Entry
    ) -> None:
        fields, model, key = exchange.body, exchange.model, exchange.key
        show_usage = bool((fields.get("stream_options") or {}).get("include_usage"))
        if exchange.is_stream:  # what counts is what the engine counted
            fields["stream_options"] = {**fields.get("stream_options", {}), "include_usage": True}
        try:
            bounds = bound(fields, model, key, self._configuration.limits)
            shown, exchange.upstream.withheld = requests.divide(exchange.path, fields)
            body = encoding.dumps(shown)
        except (encoding.JSONEncodeError, RecursionError):
            raise requests.too_deep() from None
        upstream = exchange.upstream
        upstream.prompt_tokens, upstream.output_tokens = bounds.prompt, bounds.output
        dearest = max(price(each, bounds.prompt, bounds.output) for each in self._may_answer(exchange))
        lease = await self._limiter.acquire(Reservation(exchange.id, Limits.of(key), bounds.tokens, dearest))
        admission = Admission(exchange.id, key.service_class)
        upstream.admit = partial(self._admissions.admit, admission)
        upstream.leave = partial(self._admissions.leave, admission)
        upstream.fewer_tokens = admission.fewer_tokens

        async def settle(outcome: Outcome) -> None:
            entry.status = outcome.status
            # One whose client left while it waited (for room, say, or for an instance) cost nobody anything.
            is_unused = outcome.status == _CLIENT_GONE and not upstream.is_worked_on
            prompt, output = (0, 0) if exchange.is_free or is_unused else bounds.used(outcome.status, outcome.usage)
            who = (model.name, key.name, key.team)
            self._metrics.tokens.labels(*who, "prompt").inc(prompt)
            self._metrics.tokens.labels(*who, "output").inc(output)
            cost = price(upstream.priced or model, prompt, output)
            await lease.settle(prompt + output, cost)
            billed = prompt + output, cost
            # A provider answered, and its answer was not let through.
            if upstream.lease is not None and not any(billed):
                billed = upstream.lease.reserved
            await upstream.settle(*billed)
            await self._admissions.end(admission)

        try:
            with self._metrics.in_flight.labels(model.name).track_inprogress():
                await relay(self._inner, scope, receive, send, exchange, body, settle, show_usage=show_usage)
        finally:
            await lease.settle(0, 0)
            await upstream.settle(0, 0)
            await self._admissions.end(admission)

    def check(self, key: Key, path: str, fields: Mapping[str, Any]) -> Model:
        """The model that a request asks.

        Raises:
            RefusalError: there is none, the key may not use it, or it does not answer this path.
        """
        name, at, release = fields["model"].partition("@")
        model = self._model(key, name)
        if at and not _RELEASE.fullmatch(release):
            raise unknown_model()
        if model.task is not requests.TASKS[path]:
            raise invalid(f"The model {model.name} does not answer {path}.", "model", "model_not_supported")
        return model

    def _may_answer(self, exchange: Exchange) -> Iterator[Priced]:
        """All models whose price a request may have in the end."""
        yield exchange.model
        if exchange.release is not None:
            return
        yield from (self._models[name] for name in self._reached[exchange.model.name] if exchange.key.may_use(name))
        for provider in self._configuration.hosted:
            if exchange.key.team in provider.teams:
                yield from (each for each in provider.models if each.model == exchange.model.name)

    def _model(self, key: Key, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            raise unknown_model()
        if not key.may_use(name):
            raise RefusalError(403, f"This key may not use the model {name}.", "model_not_allowed", "model")
        return model

    def _listed(self, key: Key, name: str) -> Mapping[str, Any]:
        def entry(model: Model) -> Mapping[str, Any]:
            return {
                "id": model.name,
                "object": "model",
                "created": 0,
                "owned_by": "llm-serving",
                "max_model_len": model.context_tokens,
            }

        if name:
            return entry(self._model(key, name))
        return {"object": "list", "data": [entry(model) for model in self._models.values() if key.may_use(model.name)]}


def _secured(send: Send) -> Send:
    async def secured(event: Event) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], *_SECURITY]}
        await send(event)

    return secured


async def _send_refusal(send: Send, refusal: RefusalError) -> None:
    await _send_json(send, refusal.status, refusal.body(), refusal.headers())


async def _send_reply(send: Send, reply: Reply) -> None:
    length = reply.length if reply.pieces is not None else len(reply.body)
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.pieces is not None:
        async for piece in reply.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


async def _send_json(send: Send, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [*encoding.json_headers(body), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
