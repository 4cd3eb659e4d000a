"""Runs parts of the gateway in its own Python, without a server: ``parts.py NAME``.

Reads what the part gets as JSON from standard input and writes what came of it.
"""

import asyncio
import hashlib
import json
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llm_serving_gateway import encoding, key_table, requests
from llm_serving_gateway import relay as relays
from llm_serving_gateway.bounded_postgres import BoundedPostgres
from llm_serving_gateway.bounded_redis import BoundedRedis
from llm_serving_gateway.configuration import Configuration, PostgresEndpoint, RedisEndpoint, ServiceClass
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.key_table import KeyTable
from llm_serving_gateway.limits import Limiter, LimitError, Limits, Reservation, SharedLimits, shared
from llm_serving_gateway.limits.reservation import NOTHING, Spent
from llm_serving_gateway.overload import Admission, Admissions
from llm_serving_gateway.refusals import RefusalError
from llm_serving_gateway.relay import Outcome, relay
from pydantic import ValidationError


def refuse(bodies: list[tuple[str, Any]]) -> list[tuple[str | None, int]]:
    """Which field is blamed for each body, and how many errors were kept of it."""
    found = []
    for path, fields in bodies:
        try:
            requests.parse(path, encoding.dumps(fields))
        except RefusalError as refusal:
            cause = refusal.__context__
            found.append((refusal.param, cause.error_count() if isinstance(cause, ValidationError) else 0))
    return found


async def leave_at_the_end(_: object) -> list[int]:
    """What is settled of an answer whose client leaves while it is settled."""
    settling, may_end = asyncio.Event(), asyncio.Event()
    settled = []

    async def inner(scope: object, receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})

    async def settle(outcome: Outcome) -> None:
        settling.set()
        await may_end.wait()
        settled.append(outcome.status)

    async def receive() -> dict[str, str]:
        await settling.wait()
        return {"type": "http.disconnect"}

    async def send(event: object) -> None:
        return

    key: Any = SimpleNamespace(may_use=lambda model: True)
    model: Any = SimpleNamespace(name="m")
    exchange = Exchange("1", key, model, "/v1/chat/completions", {}, {})
    running = asyncio.create_task(relay(inner, {}, receive, send, exchange, b"{}", settle, show_usage=False))
    await settling.wait()
    for _turn in range(20):  # of the loop: the relay has seen by then that the client left
        await asyncio.sleep(0)
    may_end.set()
    await running
    return settled


async def stall(_: object) -> list[int]:
    """What is settled of a stream whose client reads no more of it."""
    relays.WRITE_SECONDS = 0.01
    settled = []

    async def inner(scope: object, receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b'data: {"choices": []}\n\n', "more_body": True})

    async def settle(outcome: Outcome) -> None:
        settled.append(outcome.status)

    async def never() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            await asyncio.Event().wait()

    key: Any = SimpleNamespace(may_use=lambda model: True)
    model: Any = SimpleNamespace(name="m")
    exchange = Exchange("1", key, model, "/v1/chat/completions", {}, {"stream": True})
    await relay(inner, {}, never, send, exchange, b"{}", settle, show_usage=False)
    return settled


def limits_of(port: int) -> SharedLimits:
    """Limits in a Redis, whose leases last a moment."""
    shared.LEASE_SECONDS = 0.001
    return SharedLimits(RedisEndpoint.model_validate({"host": "127.0.0.1", "port": port}), None, 60)


def reservation(limits: Limits) -> Reservation:
    return Reservation(uuid.uuid4().hex, limits, 15, 0)


async def lose_sight(port: int) -> dict[str, Any]:
    """A lease ends while its request runs on; the request is settled, and settled again."""
    redis, limits = limits_of(port), Limits(f"sight-{uuid.uuid4().hex}", parallel=1, budget_tokens=1000)
    lost, other, third = (reservation(limits) for _ in range(3))
    assert isinstance(await redis.acquire(lost, NOTHING), Spent)
    found: dict[str, Any] = {}
    while not isinstance(answer := await redis.acquire(other, NOTHING), Spent):
        await asyncio.sleep(0.001)
    found["while it is gone"] = ["granted", answer.tokens]
    await redis.settle(other, 0, 0, NOTHING)
    shared.LEASE_SECONDS = 3600
    await redis.renew({limits: [lost]}, {limits.name: NOTHING})
    refused = await redis.acquire(third, NOTHING)
    held = await redis._redis.hget(f"llm:{{{limits.name}}}:budget", "held_tokens")
    found["back"] = [getattr(refused, "kind", "granted"), int(held)]
    for again in (False, True):
        spent = await redis.settle(lost, 22, 0, NOTHING, again=again)
    found["settled twice"] = spent.tokens
    # So long after that Redis has forgotten that it settled it.
    await redis._redis.delete(f"llm:{{{limits.name}}}:done")
    found["restarted in doubt"] = (await redis.settle(lost, 22, 0, NOTHING, again=True)).tokens
    await redis.close()
    return found


async def take_up(port: int) -> list[Any]:
    """A request that was granted without Redis runs when Redis is back, and ends then."""
    redis, limits = limits_of(port), Limits(f"up-{uuid.uuid4().hex}", parallel=1, budget_tokens=1000)
    shared.LEASE_SECONDS = 3600
    limiter = Limiter(redis, 2, 60)
    lease = await limiter.acquire(reservation(limits))  # before it looks for Redis for the first time
    running = asyncio.create_task(limiter.run())
    while limiter._away_since is not None:
        await asyncio.sleep(0.001)
    refused = await redis.acquire(reservation(limits), NOTHING)
    budget = f"llm:{{{limits.name}}}:budget"
    held = int(await redis._redis.hget(budget, "held_tokens"))
    await lease.settle(22, 0)
    used, left = await redis._redis.hmget(budget, "tokens", "held_tokens")
    running.cancel()
    await limiter.close()
    return [getattr(refused, "kind", "granted"), held, int(used), int(left)]


async def alone(_: object) -> dict[str, Any]:
    """What one of two replicas grants of a budget of 90 tokens, with nobody to ask."""
    limiter, limits = Limiter(None, 2, 3600), Limits("alone", budget_tokens=90)
    found: dict[str, Any] = {"granted": 0}
    try:
        while True:
            lease = await limiter.acquire(reservation(limits))
            found["granted"] += 1
            await lease.settle(22, 0)
    except LimitError as error:
        found["shortage"] = error.kind
    limiter._fail_closed_seconds = -1
    try:
        await limiter.acquire(reservation(limits))
    except LimitError as error:
        found["after a while"] = error.kind
    return found


async def look_up(given: dict[str, Any]) -> dict[str, Any]:
    """A gateway's part of the table of keys, which is never told of changes: what is remembered, and for how long."""
    key_table.MOST, key_table.ABSENT_SECONDS = 5, 3600
    endpoint = PostgresEndpoint.model_validate({**given["endpoint"], "cacheSeconds": 0.05, "staleSeconds": 0.05})
    postgres = BoundedPostgres(endpoint, Path(given["files"]))
    keys = KeyTable(postgres, endpoint.cache_seconds, endpoint.stale_seconds)
    running = asyncio.create_task(postgres.run("nobody_notifies", keys.changed))
    while postgres.away:
        await asyncio.sleep(0.001)
    unknown = await asyncio.gather(*(keys.look_up(hashlib.sha256(bytes([n])).digest()) for n in range(200)))
    found: dict[str, Any] = {"unknown": len([key for key in unknown if key is None]), "remembered": len(keys._absent)}
    digest = hashlib.sha256(given["key"].encode()).digest()
    found["known"] = [key.name if (key := await keys.look_up(digest)) else None for _ in range(2)]
    await postgres.call(lambda connection: connection.execute("NOTIFY nobody_notifies, 'no hash'"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    postgres._went_away()
    try:
        while await keys.look_up(digest):
            await asyncio.sleep(0.001)
    except RefusalError as refusal:
        found["after a while"] = refusal.status
    return found


async def ask_redis_at_once(port: int) -> list[Any]:
    """What 300 operations at once get of a Redis, and whether it is taken for one that is away."""
    redis = BoundedRedis("cache", RedisEndpoint.model_validate({"host": "127.0.0.1", "port": port}), None, 60)
    answers = await asyncio.gather(
        *(redis.call(lambda client: client.ping()) for _ in range(300)), return_exceptions=True
    )
    away = redis.away
    await redis.close()
    return [sum(answer is True for answer in answers), away]


async def upload_at_once(given: dict[str, int]) -> list[int]:
    """How clients end that send at once and slowly: status (200: taken), and bytes that were held at most and after."""
    held = requests.HeldBytes(given["most"])
    may_end = asyncio.Event()
    most = 0

    async def one() -> int:
        nonlocal most
        sent = 0

        async def receive() -> dict[str, Any]:
            nonlocal sent, most
            await asyncio.sleep(0)
            if sent == given["size"]:
                await may_end.wait()
                return {"type": "http.request", "body": b"", "more_body": False}
            sent += 1000
            most = max(most, held.now)
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

        try:
            with held.request() as hold:
                await requests.read_body(receive, {}, given["size"], hold)
                return 200
        except RefusalError as refusal:
            return refusal.status

    clients = [asyncio.create_task(one()) for _ in range(given["clients"])]
    for _turn in range(given["size"] // 1000 + 20):
        await asyncio.sleep(0)
    may_end.set()
    statuses = await asyncio.gather(*clients)
    return [statuses.count(200), statuses.count(503), most, held.now]


async def wait_for_room(waiting: list[str]) -> list[str]:
    """In which order requests of these classes, which come one after the other, are let to a model that takes one."""
    model = {"name": "m", "contextTokens": 9, "maxRequests": 1, "weightedUrl": "http://w", "stableUrl": "http://s"}
    configuration = Configuration.model_validate({"version": 1, "models": [model], "overload": {"waitSeconds": 3600}})
    admissions = Admissions(configuration, Limiter(None, 1, 0))
    running, entered = Admission("first", ServiceClass.CRITICAL), []
    assert await admissions.admit(running, configuration.models[0], float("inf")) is None

    async def ask(number: int, service_class: str) -> None:
        admission = Admission(str(number), ServiceClass(service_class))
        assert await admissions.admit(admission, configuration.models[0], float("inf")) is None
        entered.append(f"{service_class} {number}")
        await admissions.end(admission)

    tasks = [asyncio.create_task(ask(number, each)) for number, each in enumerate(waiting)]
    for _turn in range(20):  # of the loop: all of them wait by then
        await asyncio.sleep(0)
    assert not entered
    await admissions.end(running)
    await asyncio.gather(*tasks)
    return entered


def main() -> None:
    part = {
        "room": wait_for_room,
        "refuse": refuse,
        "leave": leave_at_the_end,
        "upload": upload_at_once,
        "stall": stall,
        "out-of-sight": lose_sight,
        "taken-up": take_up,
        "alone": alone,
        "look-up": look_up,
        "redis": ask_redis_at_once,
    }[sys.argv[1]]
    result = part(json.load(sys.stdin))
    json.dump(asyncio.run(result) if asyncio.iscoroutine(result) else result, sys.stdout)


if __name__ == "__main__":
    main()
