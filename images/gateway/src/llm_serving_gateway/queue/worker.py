"""A worker: takes tasks and sends them through the gateway's application, as the key that submitted them.

It is the whole application without its paths: keys, limits, budgets, models that a key may ask, kept answers,
guardrails and fallbacks are the same for a task as for a request with a connection, and nobody has to know a key. A key
that is gone when its task is taken refuses it.
"""

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding
from llm_serving_gateway.application import HEALTH, KEY, Application, Parts, parts
from llm_serving_gateway.bounded_redis import RedisAwayError
from llm_serving_gateway.configuration import ConfigurationError, Files, Queue, RequestLimits, ServiceClass
from llm_serving_gateway.keys import Key, Keys
from llm_serving_gateway.queue import batch_lines
from llm_serving_gateway.queue.store import Load, Store, Taken
from llm_serving_gateway.queue.webhooks import SEND_SECONDS, Sender
from llm_serving_gateway.refusals import RefusalError, invalid
from llm_serving_gateway.relay import Event, Receive, Send, giving, until_gone

T = TypeVar("T")

POLL_SECONDS = 0.2
"""How often an idle worker looks for tasks."""
MAINTAIN_SECONDS = 1.0
SENT_AT_ONCE = 8
"""Webhooks of one worker: a receiver that is slow holds up fewer of the others'."""
RENEWALS = 3
"""In the time after which a task that is not renewed is given to another worker."""
NEW_KEY_SECONDS = 120
"""How old a request is at most whose key a gateway knew and its worker may not: Kubernetes shows a changed Secret to
one pod up to a minute and a half later than to another."""
NEW_KEY_LOOK_SECONDS = 2
EXPANDED_AT_ONCE = 200
RETRIED = (408, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""
_CLASSES = [ServiceClass.BATCH, ServiceClass.STANDARD, ServiceClass.CRITICAL]

_ENDED = Counter(
    "llm_gateway_queue_ended_total",
    "Tasks that this worker ended, by how: completed, failed, dead, cancelled, expired",
    ["model", "key", "outcome"],
)
_LOAD = {
    name: Gauge(f"llm_gateway_queue_{name}", text)
    for name, text in (
        ("open", "Requests that wait or run, of all workers"),
        ("running", "Of them, those that a worker has"),
        ("delayed", "Of them, those that wait for a limit or a back end"),
        ("oldest_seconds", "Age of the oldest that has not ended"),
        ("bytes", "What requests, files and results take in Redis"),
        ("dead", "Dead letters that are remembered"),
        ("hooks", "Webhooks that are to be sent"),
    )
}
_REDELIVERED = Counter("llm_gateway_queue_redelivered_total", "Tasks taken over from a worker that was gone")

_log = logging.getLogger(__name__)


def create() -> "Worker":
    """The worker of this process, from the files of its pod.

    Raises:
        ConfigurationError: it has no queue.
    """
    files = Files.from_environment()
    made = parts(files)
    configuration = made.configuration
    queue, redis = configuration.queue, configuration.redis
    if queue is None or redis is None or redis.limits is None:
        raise ConfigurationError(f"{files.gateway}: queue: a worker needs one")
    sender = None
    if queue.webhooks is not None:
        secret = files.webhook_secret()
        if secret is None:
            raise ConfigurationError(f"{files.webhooks}: webhooks are signed with it, and it is not there")
        sender = Sender(queue.webhooks, secret)
    return Worker(made, Store(redis.limits, files.password("limits"), queue), queue, sender)


class Worker:
    """What the server calls: health, and a life in which it works."""

    def __init__(self, made: Parts, store: Store, settings: Queue, sender: Sender | None) -> None:
        self._application: Application = made.application
        self._keys: Keys = made.keys
        self._limits: RequestLimits = made.configuration.limits
        self._store, self._settings, self._sender = store, settings, sender
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._running: dict[asyncio.Task[None], tuple[Taken, asyncio.Event]] = {}
        self._stopping = asyncio.Event()
        self._has_room = True
        self._loops: list[asyncio.Task[None]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry: it answers nobody but its probes."""
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            headers = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def started(event: Event) -> None:
            if event["type"] == "lifespan.startup.complete":
                self._start()
            await send(event)

        async def told() -> Event:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                await self._stop()
            return event

        await self._application(scope, told, started)

    def _start(self) -> None:
        lease = self._settings.lease_seconds / RENEWALS
        every: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._maintain, MAINTAIN_SECONDS),
            (self._renew, lease),
            (self._reclaim, lease),
            (self._fetch, POLL_SECONDS),
        ]
        if self._sender is not None:
            every += [(self._send_hooks, MAINTAIN_SECONDS)] * SENT_AT_ONCE
        self._loops = [asyncio.create_task(self._repeat(*each)) for each in every]

    async def _stop(self) -> None:
        """Take no more, and end what runs: the pod's grace period ends it earlier, and then another worker does it."""
        self._stopping.set()
        while self._running:
            await asyncio.wait(self._running)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
        try:
            await self._store.leave(self._consumer)
        except RedisAwayError:
            _log.warning("this worker left without saying so: Redis is away")
        await self._store.close()

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await work()
            except RedisAwayError:
                pass  # its metrics and log say so
            except Exception as error:
                _log.error("%s of the queue failed: %s", work.__name__, type(error).__name__)
            await asyncio.sleep(seconds)

    async def _maintain(self) -> None:
        load: Load = await self._store.maintain()
        for name, gauge in _LOAD.items():
            gauge.set(getattr(load, name))
        if load.expired:
            _ENDED.labels("", "", "expired").inc(load.expired)
        self._has_room = load.bytes < self._settings.memory_bytes

    async def _renew(self) -> None:
        if not self._running:
            return
        held = list(self._running.values())
        lost = await self._store.renew(self._consumer, [taken for taken, _ in held])
        for taken, gone in held:
            if taken.name in lost:
                gone.set()

    async def _reclaim(self) -> None:
        if (free := self._free) > 0:
            entries = await self._store.reclaim(self._consumer, free)
            own = {taken.name for taken, _ in self._running.values()}
            for entry in entries:
                if entry.task not in own:  # else this worker was late itself, and has it again
                    _REDELIVERED.inc()
                    self._begin(await self._store.take(entry))

    async def _fetch(self) -> None:
        while (free := self._free) > 0:
            entries = await self._store.read(self._consumer, free)
            for entry in entries:
                self._begin(await self._store.take(entry))
            if not entries:
                return

    @property
    def _free(self) -> int:
        # Without keys every request would be refused for good.
        if self._stopping.is_set() or not self._has_room or not self._keys.are_read:
            return 0
        return self._settings.concurrency - len(self._running)

    def _begin(self, taken: Taken | str) -> None:
        if isinstance(taken, str):
            if taken:
                _ENDED.labels("", "", taken).inc()
            return
        gone = asyncio.Event()
        task = asyncio.create_task(self._run(taken, gone))
        self._running[task] = (taken, gone)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nothing of the request: what it says may be in the text of an error.
            _log.error("a task of the queue failed: %s", type(error).__name__)

    async def _run(self, taken: Taken, gone: asyncio.Event) -> None:
        try:
            if taken.kind == "expand":
                await self._expand(taken)
                return
            key = await self._key(taken, taken.key_sha256)
        except RefusalError as refusal:  # it cannot be said yet whether the key counts
            delay = float(refusal.retry_after or 1)
            await self._insist(lambda: self._store.release(taken, delay, counts=False))
            return
        if key is None:
            refusal = RefusalError(401, "The key of this request is gone, or has expired.", "invalid_api_key")
            await self._end(taken, "failed", 401, refusal.body())
            return
        body = taken.body
        if taken.kind == "line":
            body = encoding.dumps(batch_lines.parse(taken.body)["body"])
        answer = await self._ask(_as_in_queue(key, self._settings.service_class), taken.path, body, gone)
        if answer is None:
            return
        status, headers, body = answer
        if status == 200:
            if len(body) > self._settings.result_bytes:
                most = self._settings.result_bytes
                refusal = RefusalError(413, f"The answer is larger than {most} bytes.", "result_too_large")
                await self._end(taken, "failed", 413, refusal.body())
            else:
                await self._end(taken, "completed", 200, body)
        elif status in RETRIED:
            await self._try_again(taken, status, headers, body)
        else:
            await self._end(taken, "failed", status, body)

    async def _key(self, taken: Taken, sha256: str) -> Key | None:
        """Whose a task is; ``None`` where the key is gone, or has expired.

        Raises:
            RefusalError: 503; it may be one that this worker is still to learn of.
        """
        key = await self._keys.resume(sha256)
        age = self._settings.wait_seconds - taken.left_seconds
        if key is None and age < NEW_KEY_SECONDS and not self._keys.had(sha256):
            raise RefusalError(
                503, "This key is not known here yet.", "keys_unavailable", retry_after=NEW_KEY_LOOK_SECONDS
            )
        return key

    async def _try_again(self, taken: Taken, status: int, headers: dict[str, str], body: bytes) -> None:
        after = headers.get("retry-after", "")
        delay = float(after) if after.isdecimal() else 0.0
        if status == 429:
            # A limit of the key: to wait for it is no failure.
            if delay < taken.left_seconds:
                delay = max(delay, 1.0) * random.uniform(1, 1.2)
                await self._insist(lambda: self._store.release(taken, delay, counts=False))
            else:
                await self._end(taken, "failed", status, body)
        elif taken.deliveries >= self._settings.deliveries:
            await self._end(taken, "dead", status, body)
        else:
            # A model that sleeps says how long its start takes.
            delay = max(delay, self._settings.backoff_seconds * 4 ** (taken.deliveries - 1)) * random.uniform(1, 1.2)
            await self._insist(lambda: self._store.release(taken, delay, counts=True))

    async def _end(self, taken: Taken, outcome: str, status: int, body: bytes) -> None:
        result = body
        if taken.kind == "line":
            result = batch_lines.result(taken.public_id, taken.custom_id, status, encoding.loads(body))
        if await self._insist(lambda: self._store.end(taken, outcome, status, result)):
            _ENDED.labels(taken.model, taken.key, outcome).inc()

    async def _insist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Do it however long Redis is away: what was answered is not to be computed again."""
        while True:
            try:
                return await operation()
            except RedisAwayError:
                await asyncio.sleep(POLL_SECONDS)

    async def _ask(
        self, key: Key, path: str, body: bytes, gone: asyncio.Event
    ) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body of the answer; ``None`` where the task is no longer this worker's."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
            "state": {},
            KEY: key,
        }
        status, headers, pieces = 0, dict[str, str](), list[bytes]()

        async def send(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                headers.update((name.decode("latin-1"), value.decode("latin-1")) for name, value in event["headers"])
            else:
                pieces.append(event.get("body", b""))

        await self._application(scope, giving(body, until_gone(gone)), send)
        return None if gone.is_set() or not status else (status, headers, b"".join(pieces))

    async def _expand(self, taken: Taken) -> None:
        """Make tasks of the lines of a batch, or say which of them are wrong."""
        batch = await self._insist(lambda: self._store.batch(taken.batch))
        owner, _, _ = taken.batch.rpartition("/")
        _, _, sha256 = batch.get("key", b"").decode().partition(" ")
        key = await self._key(taken, sha256)
        content = await self._insist(lambda: self._store.content(owner, batch.get("input", b"").decode()))
        path = batch.get("path", b"").decode()
        lines, errors = list[tuple[int, int, str, str, str]](), list[Any]()
        if key is None:
            refusal = RefusalError(401, "The key of this batch is gone, or has expired.", "invalid_api_key")
            errors.append(batch_lines.error(1, refusal))
        seen: set[str] = set()
        for number, (offset, length) in enumerate(batch_lines.spans(content)):
            if key is None or len(errors) >= batch_lines.MOST_ERRORS:
                break
            try:
                line = content[offset : offset + length]
                check = self._application.check
                custom, model = batch_lines.check_line(line, key, path, self._limits.body_bytes, check)
                if custom in seen:
                    raise invalid("custom_id: is there twice", "custom_id", "duplicate_custom_id")
                seen.add(custom)
                public = f"batch_req_{secrets.token_hex(16)}"
                lines.append((offset, length, custom, public, model))
            except RefusalError as refusal:
                errors.append(batch_lines.error(number + 1, refusal))
            # A file of thousands of lines is not to hold up the requests that run.
            await asyncio.sleep(0)
        if errors:
            await self._insist(lambda: self._store.fail_batch(taken, encoding.dumps(errors)))
            return
        start: int | None = 0
        while start is not None:
            await asyncio.sleep(0)
            some = lines[start : start + EXPANDED_AT_ONCE]
            start = await self._insist(lambda start=start, some=some: self._store.expand(taken, start, some))

    async def _send_hooks(self) -> None:
        assert self._sender is not None
        while hook := await self._store.next_hook(2 * SEND_SECONDS):
            delay = await self._sender.send(hook)
            if delay is None:
                await self._store.hook_over(hook)
            else:
                await self._store.hook_later(hook, delay)


def _as_in_queue(key: Key, service_class: ServiceClass) -> Key:
    """The key with the class of the queue, where its own is not lower."""
    lowest = min(key.service_class, service_class, key=_CLASSES.index)
    return key.model_copy(update={"service_class": lowest})
