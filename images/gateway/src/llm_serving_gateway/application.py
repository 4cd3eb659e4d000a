"""The gateway's ASGI application, around LiteLLM's.

In this order: path, key, size of the body, its fields, model, limits; what passes is handed to LiteLLM
(:mod:`llm_serving_gateway.relay`). No other path leads to LiteLLM: keys, users, configuration, MCP and pages of its
administration are not there. Prompts and answers are never logged.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

from llm_serving_gateway import encoding, requests
from llm_serving_gateway.answer_keys import FIELD, directives
from llm_serving_gateway.configuration import Configuration, Files, Model, Task, read_configuration
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.keys import Key, Keys
from llm_serving_gateway.refusals import RefusalError, invalid
from llm_serving_gateway.relay import Event, Inner, Receive, Send, relay
from llm_serving_gateway.tokens import measure

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_LIST = "/v1/models"

_log = logging.getLogger(__name__)


def create() -> "Application":
    """The application of this process, from the files of its pod."""
    from litellm.proxy.proxy_server import app  # pyright: ignore[reportMissingImports]

    from llm_serving_gateway import answer_cache, backends, guardrails

    files = Files.from_environment()
    configuration = read_configuration(files.gateway)
    backends.install(configuration)
    guardrails.install(configuration.guardrails)
    return Application(configuration, Keys(files.keys), answer_cache.around(app, configuration, files))


class Application:
    """What the server calls."""

    def __init__(self, configuration: Configuration, keys: Keys, inner: Inner) -> None:
        self._configuration, self._keys, self._inner = configuration, keys, inner
        self._models = {model.name: model for model in configuration.models}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _secured(send))

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._keys.look()
        tasks = [asyncio.create_task(self._keys.watch())]
        try:
            await self._inner(scope, receive, send)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            await self._route(scope, receive, send)
        except RefusalError as refusal:
            await _send_json(send, refusal.status, refusal.body(), refusal.retry_after)

    async def _route(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path in ("/health/liveliness", "/health/readiness"):
            ready = path == "/health/liveliness" or self._keys.are_read
            await _send_json(send, 200 if ready else 503, encoding.dumps({"status": "ok" if ready else "no keys"}))
            return
        is_list = path == _LIST or path.startswith(_LIST + "/")
        if path not in requests.BODIES and not is_list:
            raise RefusalError(404, "There is no such path.", "not_found")
        if method != ("GET" if is_list else "POST"):
            raise RefusalError(405, f"This path does not take {method}.", "method_not_allowed")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key = self._keys.authenticate(headers.pop("authorization", None))
        if is_list:
            await _send_json(send, 200, encoding.dumps(self._listed(key, path.removeprefix(_LIST).removeprefix("/"))))
            return
        body = await requests.read_body(receive, headers, self._configuration.limits.body_bytes)
        if body is None:
            return
        fields = requests.parse(path, body)
        model = self._model(key, fields["model"])
        if model.task is not requests.TASKS[path]:
            raise invalid(f"{model.name} does not answer {path}.", "model", "model_not_supported")
        show_usage = bool((fields.get("stream_options") or {}).get("include_usage"))
        _bound(fields, model, self._configuration)
        asked = directives(fields, headers.get("cache-control", ""))
        fields.pop(FIELD, None)
        exchange = Exchange(uuid.uuid4().hex, key, model, path, headers, fields, asked)
        await relay(self._inner, scope, receive, send, exchange, show_usage=show_usage)

    def _model(self, key: Key, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            raise RefusalError(404, "There is no such model.", "model_not_found", "model")
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


def _bound(fields: dict[str, Any], model: Model, configuration: Configuration) -> None:
    """Refuse what cannot fit into the model's context; set ``max_tokens`` where the client left it open.

    Raises:
        RefusalError: 400.
    """
    size = measure(fields)
    if model.task is not Task.CHAT:
        return
    name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    output, limit = fields.get(name), configuration.limits.max_output_tokens
    if output is not None and output > limit:
        raise invalid(f"{name}: at most {limit}", name, "invalid_value")
    if (output or 1) > model.context_tokens or size.surely_exceeds(model.context_tokens - (output or 1)):
        raise invalid(
            f"The prompt and {name} together are longer than the {model.context_tokens} tokens of the model's context.",
            code="context_length_exceeded",
        )
    if output is None and size.most + limit <= model.context_tokens:
        fields[name] = limit


def _secured(send: Send) -> Send:
    async def secured(event: Event) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], *_SECURITY]}
        await send(event)

    return secured


async def _send_json(send: Send, status: int, body: bytes, retry_after: int | None = None) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
