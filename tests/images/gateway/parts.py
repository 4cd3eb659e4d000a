"""Runs parts of the gateway in its own Python, without a server: ``parts.py NAME``.

Reads what the part gets as JSON from standard input and writes what came of it.
"""

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

from llm_serving_gateway import encoding, requests
from llm_serving_gateway.bounded_redis import BoundedRedis
from llm_serving_gateway.configuration import Configuration, RedisEndpoint, ServiceClass
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.limits import Limiter
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
        "redis": ask_redis_at_once,
        "upload": upload_at_once,
    }[sys.argv[1]]
    result = part(json.load(sys.stdin))
    json.dump(asyncio.run(result) if asyncio.iscoroutine(result) else result, sys.stdout)


if __name__ == "__main__":
    main()
