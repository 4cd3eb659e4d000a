"""Tasks, files and batches in Redis: what the scripts do, with names and types."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.bounded_redis import BoundedRedis, RedisAwayError
from llm_serving_gateway.configuration import Queue, RedisEndpoint
from llm_serving_gateway.queue import scripts
from llm_serving_gateway.refusals import RefusalError

PREFIX = "llm:{queue}"
"""The braces keep all keys on one node of a Redis cluster."""
OPERATION_SECONDS = 5.0
"""What one operation may take: of a request that waits anyway, and with a file of megabytes."""
FULL_RETRY_SECONDS = 30
AWAY_RETRY_SECONDS = 5

Fields = Mapping[str, str | bytes | int]


@dataclass(frozen=True)
class Entry:
    """What a stream delivered."""

    stream: str
    id: str
    task: str


@dataclass(frozen=True)
class Taken:
    """A task that this worker has now.

    Attributes:
        name: owner and id.
        kind: ``request``, ``line``, ``expand``.
        attempt: of this task, by which its result is told from that of an attempt that was given up.
        deliveries: how often it was taken, without those that a limit of its key sent back.
        left_seconds: until it expires.
        key: name of the key whose it is, and ``key_sha256`` its hash.
        path: that it asks.
        body: of its request, or its line of a batch.
        batch: that it belongs to.
        custom_id: its name in the batch.
        public_id: its id in the batch's files.
        model: that it asks; empty where it expands a batch.
    """

    name: str
    kind: str
    attempt: int
    deliveries: int
    left_seconds: float
    key: str
    key_sha256: str
    path: str
    body: bytes
    batch: str
    custom_id: str
    public_id: str
    model: str


@dataclass(frozen=True)
class Load:
    """How full the queue is: tasks that have not ended, those that are taken, those that wait for a moment, age of the
    oldest in seconds, bytes, dead letters, webhooks to send; tasks that expired in this pass."""

    open: int
    running: int
    delayed: int
    oldest_seconds: float
    bytes: int
    dead: int
    hooks: int
    expired: int


@dataclass(frozen=True)
class Hook:
    """A webhook that is due: what it is about, and how often it was tried, this time included."""

    name: str
    attempt: int
    url: str
    owner: str
    state: str

    @property
    def kind(self) -> str:
        """``request`` or ``batch``."""
        return "batch" if self.name.startswith("batch:") else "request"

    @property
    def id(self) -> str:
        """The id that its owner knows."""
        return self.name.rpartition("/")[2]


class Store:
    """The queue in Redis.

    Every method raises ``RedisAwayError`` where Redis did not do it, or not in time: it may be done all the same.
    """

    def __init__(self, endpoint: RedisEndpoint, password: str | None, settings: Queue) -> None:
        self._redis = BoundedRedis("queue", endpoint, password, OPERATION_SECONDS)
        self._settings = settings
        self._wait_ms, self._keep_ms = settings.wait_seconds * 1000, settings.keep_seconds * 1000

    async def submit(self, task: str, digest: str, size: int, fields: Fields) -> str:
        """``new``, or ``same`` where it was there.

        Raises:
            RefusalError: 409, another request has this id; 429, the queue is full.
        """
        limits = [self._settings.max_requests, self._settings.memory_bytes, size, self._wait_ms, self._keep_ms]
        answer = _word(await self._run(scripts.SUBMIT, task, digest, *limits, *_flat(fields)))
        if answer == "other":
            raise RefusalError(409, "There is another request with this request_id.", "request_id_in_use", "request_id")
        return _taken_in(answer)

    async def task(self, task: str) -> dict[str, bytes]:
        """A request; empty where there is none."""
        fields = await self._hash(f"task:{task}")
        return fields if fields.get("kind") == b"request" else {}

    async def cancel(self, task: str) -> str:
        """Its state then, or ``gone``."""
        return _word(await self._run(scripts.CANCEL, task, self._keep_ms))

    async def put_file(self, owner: str, file: str, content: bytes, fields: Fields) -> None:
        """Keep a file.

        Raises:
            RefusalError: 429, there is no room.
        """
        limits = [self._settings.memory_bytes, self._keep_ms, content]
        _taken_in(_word(await self._run(scripts.PUT_FILE, f"{owner}/{file}", owner, file, *limits, *_flat(fields))))

    async def file(self, owner: str, file: str) -> dict[str, bytes]:
        """What is said of a file; empty where there is none."""
        return await self._hash(f"file:{owner}/{file}")

    async def content(self, owner: str, file: str) -> bytes:
        """What is in a file."""
        return await self._redis.call(lambda redis: redis.get(f"{PREFIX}:content:{owner}/{file}")) or b""

    async def piece(self, owner: str, file: str, start: int, size: int) -> bytes:
        """Part of a file."""
        name = f"{PREFIX}:content:{owner}/{file}"
        return await self._redis.call(lambda redis: redis.getrange(name, start, start + size - 1))

    async def delete_file(self, owner: str, file: str) -> str:
        """``deleted``, ``gone`` or ``used``."""
        return _word(await self._run(scripts.DELETE_FILE, f"{owner}/{file}", owner, file))

    async def create_batch(self, owner: str, batch: str, file: str, fields: Fields) -> bool:
        """Take a batch in; whether its file is there.

        Raises:
            RefusalError: 429, the queue is full.
        """
        limits = [self._settings.max_requests, self._settings.memory_bytes, self._wait_ms, self._keep_ms]
        answer = _word(await self._run(scripts.CREATE_BATCH, owner, batch, file, *limits, *_flat(fields)))
        return answer != "gone" and bool(_taken_in(answer))

    async def batch(self, batch: str) -> dict[str, bytes]:
        """A batch; empty where there is none."""
        return await self._hash(f"batch:{batch}")

    async def cancel_batch(self, batch: str, start: int, count: int) -> str:
        """Number of the next line, ``over`` or ``gone``."""
        return _word(await self._run(scripts.CANCEL_BATCH, batch, start, count, self._keep_ms))

    async def listed(self, owner: str, what: str) -> list[dict[str, bytes]]:
        """All ``files`` or ``batches`` of an owner, the newest first."""
        ids = await self._redis.call(lambda redis: redis.zrange(f"{PREFIX}:{what}:{owner}", 0, -1))
        kind = "file" if what == "files" else "batch"
        found = [await self._hash(f"{kind}:{owner}/{each.decode()}") for each in ids]
        return sorted((each for each in found if each), key=lambda each: (-int(each["created"]), each["id"]))

    async def read(self, consumer: str, count: int) -> list[Entry]:
        """New tasks, requests first.

        It does not wait for one: a read that blocks holds a connection, and redis-py cannot tell its end from that of
        a server that is gone.
        """

        async def of(stream: str, most: int) -> list[Entry]:
            answer = await self._redis.call(
                lambda redis: redis.xreadgroup(scripts.GROUP, consumer, {f"{PREFIX}:{stream}": ">"}, count=most)
            )
            return [_entry(stream, *each) for _, found in answer or () for each in found]

        return await _in_order(of, count)

    async def reclaim(self, consumer: str, count: int) -> list[Entry]:
        """Tasks of workers that renewed them for too long no more."""

        async def of(stream: str, most: int) -> list[Entry]:
            answer = await self._redis.call(
                lambda redis: redis.xautoclaim(
                    f"{PREFIX}:{stream}",
                    scripts.GROUP,
                    consumer,
                    min_idle_time=int(self._settings.lease_seconds * 1000),
                    start_id="0-0",
                    count=most,
                )
            )
            return [_entry(stream, *each) for each in answer[1] if each[1]]

        return await _in_order(of, count)

    async def take(self, entry: Entry) -> Taken | str:
        """The task that an entry leads to, or how it ended; empty where it leads to none."""
        answer = await self._run(
            scripts.TAKE, entry.stream, entry.id, entry.task, self._settings.deliveries, self._keep_ms
        )
        if not answer or answer[0]:
            return answer[0].decode() if answer else ""
        _, kind, attempt, deliveries, left_ms, key, path, body, batch, custom, public, model = answer
        return Taken(
            entry.task,
            kind.decode(),
            attempt,
            deliveries,
            left_ms / 1000,
            *_name_and_hash(key),
            path.decode(),
            body,
            batch.decode(),
            custom.decode(),
            public.decode(),
            model.decode(),
        )

    async def end(self, taken: Taken, outcome: str, status: int, result: bytes) -> bool:
        """Write the result of a task; whether it counts."""
        arguments = [taken.name, taken.attempt, outcome, self._keep_ms, status, result]
        return bool(await self._run(scripts.END, *arguments))

    async def release(self, taken: Taken, delay_seconds: float, *, counts: bool) -> bool:
        """Give a task back; whether it was still this worker's."""
        arguments = [taken.name, taken.attempt, int(delay_seconds * 1000), int(counts)]
        return bool(await self._run(scripts.RELEASE, *arguments))

    async def renew(self, consumer: str, tasks: Sequence[Taken]) -> set[str]:
        """Go on with these; those of them that are no longer this worker's."""
        pairs = [value for task in tasks for value in (task.name, task.attempt)]
        return {name.decode() for name in await self._run(scripts.RENEW, consumer, *pairs)}

    async def expand(self, taken: Taken, start: int, lines: Sequence[tuple[int, int, str, str, str]]) -> int | None:
        """Make tasks of lines (offset, length, custom id, public id, model): the next, ``None`` where it is over."""
        values = [value for line in lines for value in line]
        answer = _word(await self._run(scripts.EXPAND, taken.batch, taken.name, start, self._keep_ms, *values))
        return None if answer == "over" else int(answer)

    async def fail_batch(self, taken: Taken, errors: bytes) -> None:
        """End a batch whose file is wrong."""
        await self._run(scripts.FAIL_BATCH, taken.batch, taken.name, errors, self._keep_ms)

    async def maintain(self) -> Load:
        """Do what is due, and say how full it is."""
        answer = await self._run(scripts.MAINTAIN, self._keep_ms, self._wait_ms)
        open_, running, delayed, oldest_ms, *rest = answer
        return Load(open_, running, delayed, oldest_ms / 1000, *rest)

    async def leave(self, consumer: str) -> None:
        """Forget this worker."""
        await self._run(scripts.LEAVE, consumer)

    async def next_hook(self, lease_seconds: float) -> Hook | None:
        """A webhook that is due; nobody else gets it for so long."""
        answer = await self._run(scripts.NEXT_HOOK, int(lease_seconds * 1000))
        if not answer:
            return None
        name, attempt, url, owner, state = answer[:5]
        return Hook(name.decode(), attempt, url.decode(), owner.decode(), state.decode())

    async def hook_over(self, hook: Hook) -> None:
        """It is sent, or given up."""
        await self._run(scripts.HOOK_OVER, hook.name)

    async def hook_later(self, hook: Hook, delay_seconds: float) -> None:
        """Try it again after a while."""
        await self._run(scripts.HOOK_LATER, hook.name, int(delay_seconds * 1000))

    async def close(self) -> None:
        """End the connections."""
        await self._redis.close()

    async def _hash(self, name: str) -> dict[str, bytes]:
        found = await self._redis.call(lambda redis: redis.hgetall(f"{PREFIX}:{name}"))
        return {key.decode(): value for key, value in found.items()}

    async def _run(self, script: str, *arguments: Any) -> Any:
        return await self._redis.call(lambda redis: redis.register_script(script)([PREFIX], arguments))


def away(error: RedisAwayError | RedisError) -> RefusalError:
    """What a client is told of a Redis that did not answer."""
    del error
    message = "The queue cannot be reached now."
    return RefusalError(503, message, "queue_unavailable", retry_after=AWAY_RETRY_SECONDS)


def _taken_in(answer: str) -> str:
    if answer in ("full", "no_room"):
        message = "The queue has no room for it now." if answer == "no_room" else "The queue is full."
        raise RefusalError(429, message, "queue_full", retry_after=FULL_RETRY_SECONDS)
    return answer


def _flat(fields: Fields) -> list[str | bytes | int]:
    return [value for pair in fields.items() for value in pair]


def _name_and_hash(key: bytes) -> tuple[str, str]:
    name, _, sha256 = key.decode().partition(" ")
    return name, sha256


def _word(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


async def _in_order(of: Callable[[str, int], Awaitable[list[Entry]]], count: int) -> list[Entry]:
    """So many entries at most, those of the first stream before those of the next."""
    entries: list[Entry] = []
    for stream in scripts.STREAMS:
        if len(entries) < count:
            entries += await of(stream, count - len(entries))
    return entries


def _entry(stream: str, id_: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    return Entry(stream, id_.decode(), fields[b"task"].decode())
