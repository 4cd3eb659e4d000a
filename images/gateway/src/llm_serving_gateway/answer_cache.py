"""Answers kept for equal requests, around LiteLLM: a hit costs neither LiteLLM nor an engine anything.

An answer is shared by the requests of one key, or of one team where the key's scope says so, with equal parameters
(:mod:`llm_serving_gateway.answer_keys`). Past its time to live it is stale, and given only where no back end of the
requested model nor of those that it falls back to answers. Streams are kept as they were sent and given at once. What
Redis does not do in time was not kept: the request goes on without it.

Where the settings say so, an answer is also given to a question that means the same
(:mod:`llm_serving_gateway.questions`). The embedding for it comes in time or not at all.
"""

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding, exchange
from llm_serving_gateway.answer_keys import PREFIX, answer_key, space_of
from llm_serving_gateway.bounded_redis import BoundedRedis, RedisAwayError
from llm_serving_gateway.configuration import Cache, Configuration, Files
from llm_serving_gateway.embeddings import Embedder, Embedding
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.questions import Question, question
from llm_serving_gateway.relay import Event, Inner, Receive, Send
from llm_serving_gateway.similar_answers import SimilarAnswers

HEADER = "x-llm-cache"
LARGEST_BYTES = 1_000_000
"""Answers above it are not kept."""
LOOK_UP_SECONDS = 0.3
"""What looking for an answer may take of a request's time, embedding included."""

_RESULTS = Counter(
    "llm_gateway_cache_requests_total",
    "Requests by what the cache did: hit, semantic-hit, miss, stale, bypass (the client wanted none)",
    ["model", "result"],
)


@dataclass(frozen=True)
class Entry:
    """A kept answer: its bytes as LiteLLM gave them, when (of Unix time), and the release that gave it."""

    kept_at: float
    content_type: str
    release: str | None
    body: bytes

    def dump(self) -> bytes:
        """The bytes that Redis keeps."""
        return encoding.dumps([self.kept_at, self.content_type, self.release]) + b"\n" + self.body

    @classmethod
    def load(cls, data: bytes) -> "Entry | None":
        """The entry in these bytes, ``None`` where they are none."""
        head, _, body = data.partition(b"\n")
        try:
            kept_at, content_type, release = encoding.loads(head)
        except (encoding.JSONDecodeError, TypeError, ValueError):
            return None
        return cls(kept_at, content_type, release, body)


def around(inner: Inner, configuration: Configuration, files: Files) -> Inner:
    """LiteLLM with kept answers before it, where the configuration has a cache."""
    cache, redis = configuration.cache, configuration.redis
    if cache is None or redis is None or redis.cache is None:
        return inner
    bounded = BoundedRedis("cache", redis.cache, files.password("cache"), redis.timeout_seconds)
    guardrails = "" if configuration.guardrails is None else configuration.guardrails.model_dump_json()
    embedder = None
    if cache.similar is not None:
        named = cache.similar.embedding_model
        embedder = Embedder(next(model for model in configuration.models if model.name == named))
    return AnswerCache(inner, bounded, cache, guardrails, embedder)


@dataclass(frozen=True)
class _Compared:
    """A question with its embedding."""

    question: Question
    embedding: Embedding
    group: str


class AnswerCache:
    """LiteLLM with kept answers before it.

    Args:
        inner: LiteLLM.
        redis: where answers are.
        settings: of the cache.
        made_under: what answers depend on besides their requests.
        embedder: needed where ``settings`` say ``similar``.
    """

    def __init__(
        self, inner: Inner, redis: BoundedRedis, settings: Cache, made_under: str = "", embedder: Embedder | None = None
    ) -> None:
        self._inner, self._redis, self._settings = inner, redis, settings
        self._made_under, self._embedder = made_under, embedder
        similar = settings.similar
        self._similar = (
            None
            if similar is None or embedder is None
            else SimilarAnswers(redis, similar.threshold, similar.max_entries, settings.ttl_seconds)
        )
        self._writes: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        running = exchange.current.get()
        if scope["type"] == "http" and running is not None:
            await self._answer(running, scope, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        finally:
            if scope["type"] == "lifespan":
                await asyncio.gather(*self._writes)
                await self._redis.close()
                if self._embedder is not None:
                    await self._embedder.close()

    async def _answer(self, running: Exchange, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if not running.directives.read and not running.directives.write:
            self._count(running, "bypass")
            await self._inner(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + LOOK_UP_SECONDS
        space = space_of(running.key.sha256, running.key.team, running.key.cache_scope or self._settings.scope)
        release = running.release
        key = answer_key(space, running.path, release, running.body, self._made_under)
        entry = await self._read(key) if running.directives.read else None
        age = 0.0 if entry is None else time.time() - entry.kept_at
        if entry is not None and age <= self._settings.ttl_seconds:
            await self._give(running, "hit", entry, send)
            return
        if age > self._settings.stale_seconds:
            entry = None
        compared = await self._compared(running, space, release, deadline)
        if compared is not None and running.directives.read:
            same = await self._same(compared, deadline)
            if same is not None:
                await self._give(running, "semantic-hit", same, send)
                return
        running.response_headers[HEADER] = "miss"
        recording = _Recording(send, holds_failures=entry is not None)
        await self._inner(scope, receive, recording.send)
        if recording.failed and entry is not None:
            await self._give(running, "stale", entry, send)
            return
        self._count(running, "miss" if running.directives.read else "bypass")
        if running.directives.write and recording.complete and _is_own(running):
            answer = Entry(time.time(), recording.content_type, running.upstream.release, recording.body)
            write = asyncio.create_task(self._write(key, answer.dump(), compared))
            self._writes.add(write)
            write.add_done_callback(self._writes.discard)

    async def _read(self, key: str) -> Entry | None:
        try:
            data = await self._redis.call(lambda redis: redis.get(key))
        except RedisAwayError:
            return None
        return None if data is None else Entry.load(data)

    async def _compared(self, running: Exchange, space: str, release: str | None, deadline: float) -> _Compared | None:
        """The request as a question that is compared by its meaning, ``None`` where it is not."""
        if self._similar is None or self._embedder is None or self._redis.away or not running.directives.similar:
            return None
        asked = question(
            space,
            running.path,
            release,
            running.body,
            self._made_under,
            max_tokens_left_open=running.max_tokens_left_open,
        )
        if asked is None:
            return None
        embedding = await self._embedder.embed(asked.text, deadline)
        if embedding is None:
            return None
        return _Compared(asked, embedding, asked.group([self._embedder.model, embedding.release]))

    async def _same(self, compared: _Compared, deadline: float) -> Entry | None:
        """The answer to a question that means the same."""
        assert self._similar is not None
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._similar.find(
                    compared.group, compared.embedding.vector, compared.question.signature()
                )
                for candidate in found:
                    entry = await self._read(f"{PREFIX}{candidate.answer}")
                    if entry is not None and time.time() - entry.kept_at <= self._settings.ttl_seconds:
                        return entry
        except (RedisAwayError, TimeoutError):
            return None
        return None

    async def _write(self, key: str, data: bytes, compared: _Compared | None) -> None:
        seconds = max(self._settings.ttl_seconds, self._settings.stale_seconds)
        try:
            await self._redis.call(lambda redis: redis.set(key, data, ex=seconds))
            if compared is not None and self._similar is not None:
                await self._similar.add(
                    compared.group,
                    compared.embedding.vector,
                    compared.question.signature(),
                    key.removeprefix(PREFIX),
                )
        except RedisAwayError:
            return

    async def _give(self, running: Exchange, result: str, entry: Entry, send: Send) -> None:
        self._count(running, result)
        running.is_free = True
        running.response_headers[HEADER] = result.removesuffix("-hit")
        running.upstream.release = entry.release
        headers = [(b"content-type", entry.content_type.encode("latin-1"))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": entry.body, "more_body": False})

    @staticmethod
    def _count(running: Exchange, result: str) -> None:
        _RESULTS.labels(running.model.name, result).inc()


class _Recording:
    """An answer on its way, of which a copy is kept; ``holds_failures``: the client does not see it where it fails."""

    def __init__(self, send: Send, *, holds_failures: bool) -> None:
        self._send, self._holds_failures = send, holds_failures
        self._parts: list[bytes] = []
        self._bytes, self._status, self._ended = 0, 0, False
        self.content_type = ""

    @property
    def failed(self) -> bool:
        """Whether no back end answered."""
        return self._holds_failures and (self._status == 429 or self._status >= 500)

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)

    @property
    def complete(self) -> bool:
        """Whether it is an answer that can be given again."""
        if self._status != 200 or not self._ended or self._bytes > LARGEST_BYTES:
            return False
        if not self.content_type.startswith("text/event-stream"):
            return self.content_type.startswith("application/json")
        body = self.body
        return body.rstrip().endswith(encoding.DONE) and encoding.ERROR_EVENT not in body

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
            headers: Mapping[bytes, bytes] = dict(event["headers"])
            self.content_type = headers.get(b"content-type", b"").decode("latin-1")
        elif event["type"] == "http.response.body":
            part = event.get("body", b"")
            self._bytes += len(part)
            if self._bytes <= LARGEST_BYTES:
                self._parts.append(part)
            self._ended = not event.get("more_body")
        if not self.failed:
            await self._send(event)


def _is_own(running: Exchange) -> bool:
    """Whether the requested model answered, to its own end: what another said, or an answer cut short, is not kept."""
    upstream = running.upstream
    is_of_model = upstream.model == running.model.name and upstream.provider is None
    return is_of_model and not upstream.broken and not upstream.fewer_tokens
