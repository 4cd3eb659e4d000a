"""Runs in the gateway's Python: the answer cache before an engine that says what it was asked, a line for each request.

``{"cache": ..., "redis": PORT, "embeddings": URL, "madeUnder": ...}`` makes a new cache; ``{"holder": ..., "body": ...,
"directives": ..., "release": ...}`` asks it. Every line is answered once what it writes is written.
"""

import asyncio
import contextlib
import json
import sys
from types import SimpleNamespace
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
from llm_serving_gateway import answer_cache, encoding, exchange
from llm_serving_gateway.answer_cache import AnswerCache
from llm_serving_gateway.answer_keys import directives
from llm_serving_gateway.bounded_redis import BoundedRedis
from llm_serving_gateway.configuration import Cache, Model, RedisEndpoint
from llm_serving_gateway.embeddings import Embedder
from llm_serving_gateway.exchange import Exchange

answer_cache.LOOK_UP_SECONDS = 60  # on a busy machine too, what is kept is found
PATH = "/v1/chat/completions"


class Remembering(httpx.AsyncBaseTransport):
    """Asks for each text once."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._answers: dict[bytes, tuple[dict[str, str], bytes]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        if body not in self._answers:
            response = await self._inner.handle_async_request(request)
            self._answers[body] = (dict(response.headers), await response.aread())
        headers, content = self._answers[body]
        return httpx.Response(200, headers=headers, content=content)


async def engine(scope: object, receive: object, send: Any) -> None:
    """Says whose request it is, and what its last message was."""
    running = exchange.current.get()
    assert running is not None
    running.upstream.model, running.upstream.release = running.model.name, "stable"
    answer = encoding.dumps({"for": running.key.name, "question": running.body["messages"][-1]["content"]})
    streams = running.is_stream
    kind = b"text/event-stream" if streams else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    body = b"data: " + answer + b"\n\n" + encoding.EVENT_END if streams else answer
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Lab:
    """The cache that is used now."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(transport=Remembering())
        self._cache: AnswerCache | None = None
        self._redis: BoundedRedis | None = None

    async def begin(self, line: dict[str, Any]) -> None:
        """Make another."""
        if self._redis is not None:
            await self._redis.close()
        endpoint = RedisEndpoint.model_validate({"host": "127.0.0.1", "port": line["redis"]})
        self._redis = BoundedRedis("cache", endpoint, None, 60)
        settings = Cache.model_validate(line["cache"])
        url = line["embeddings"]
        model = {"name": "vectors", "task": "embed", "contextTokens": 256, "weightedUrl": url, "stableUrl": url}
        embedder = None if settings.similar is None else Embedder(Model.model_validate(model), self._client)
        self._cache = AnswerCache(engine, self._redis, settings, line["madeUnder"], embedder)

    async def ask(self, line: dict[str, Any]) -> dict[str, Any]:
        """Ask it."""
        assert self._cache is not None
        holder = line["holder"]
        key: Any = SimpleNamespace(
            name=holder["name"],
            sha256=holder["name"] * 8,
            team=holder.get("team"),
            cache_scope=holder.get("cacheScope"),
            may_use=lambda model: True,
        )
        model: Any = SimpleNamespace(name=line["body"]["model"])
        running = Exchange("1", key, model, PATH, {}, line["body"], line.get("release"))
        running.directives = directives({"cache": line.get("directives", {})}, "")
        running.max_tokens_left_open = "max_tokens" not in line["body"] or line.get("maxTokensLeftOpen", False)
        sent: list[bytes] = []

        async def send(event: Any) -> None:
            sent.append(event.get("body", b""))

        exchange.current.set(running)
        await self._cache({"type": "http"}, _never, send)
        while writes := [*self._cache._writes]:  # what was kept is kept before the next one asks
            await asyncio.gather(*writes)
            await asyncio.sleep(0)
        body = b"".join(sent)
        text = body.split(b"\n\n")[0].removeprefix(b"data: ")
        return {"cache": running.response_headers.get(answer_cache.HEADER), **json.loads(text)}


async def _never() -> Any:
    await asyncio.Event().wait()


async def main() -> None:
    lab = Lab()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        value = json.loads(line)
        answer = await (lab.begin(value) if "cache" in value else lab.ask(value))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
