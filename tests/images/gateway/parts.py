"""Runs parts of the gateway in its own Python, without a server: ``parts.py NAME``.

Reads what the part gets as JSON from standard input and writes what came of it.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import HTTPException  # pyright: ignore[reportMissingImports]
from llm_serving_gateway import encoding, key_table, requests
from llm_serving_gateway import relay as relays
from llm_serving_gateway.bounded_postgres import BoundedPostgres
from llm_serving_gateway.bounded_redis import BoundedRedis
from llm_serving_gateway.configuration import (
    Configuration,
    PostgresEndpoint,
    Queue,
    RedisEndpoint,
    ServiceClass,
    Webhooks,
)
from llm_serving_gateway.exchange import Exchange
from llm_serving_gateway.guardrails import BlockedError, TextFilter
from llm_serving_gateway.key_table import KeyTable
from llm_serving_gateway.keys import Keys
from llm_serving_gateway.limits import Limiter, LimitError, Limits, Reservation, SharedLimits, shared
from llm_serving_gateway.limits.reservation import NOTHING, Spent
from llm_serving_gateway.overload import Admission, Admissions
from llm_serving_gateway.queue.store import Hook, Store
from llm_serving_gateway.queue.webhooks import Sender, check_url, is_public, secret_of
from llm_serving_gateway.queue.worker import Worker
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

    key: Any = SimpleNamespace(may_use=lambda model: True, team="t")
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

    key: Any = SimpleNamespace(may_use=lambda model: True, team="t")
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


async def die_at_each_delivery(port: int) -> Any:
    """What becomes of a request at which every worker dies."""
    settings = Queue.model_validate({"deliveries": 3, "leaseSeconds": 0.01})
    store = Store(RedisEndpoint.model_validate({"host": "127.0.0.1", "port": port}), None, settings)
    await store.maintain()
    fields = {"key": "any", "owner": "key:poison", "path": "/v1/chat/completions", "model": "tiny", "body": b"{}"}
    await store.submit("key:poison/r", "1", 2, fields)
    entries = await store.read("first", 1)
    taken: list[Any] = []
    while "dead" not in taken:
        for entry in entries:
            taken.append(await store.take(entry))
        entries = await store.reclaim("another", 1)
    late = await store.end(taken[0], "completed", 200, b"{}")
    found = await store.task("key:poison/r")
    await store.close()
    return [len(taken), late, found["state"].decode(), found["code"].decode()]


async def work_without_keys(port: int) -> list[str]:
    """What becomes of a request while its worker has no keys yet, and once it has."""
    settings = Queue.model_validate({})
    store = Store(RedisEndpoint.model_validate({"host": "127.0.0.1", "port": port}), None, settings)
    await store.maintain()
    sha256, states = "0" * 64, []
    fields = {"key": f"any {sha256}", "owner": "key:early", "path": "/v1/chat/completions", "model": "m", "body": b"{}"}
    await store.submit("key:early/r", "1", 2, fields)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        keys, asked = Keys(file), asyncio.Event()

        async def answer(scope: object, receive: object, send: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        made: Any = SimpleNamespace(application=answer, keys=keys, configuration=SimpleNamespace(limits=None))
        worker = Worker(made, store, settings, None)
        for content in ("{", json.dumps({"keys": [{"name": "any", "sha256": sha256, "team": "t"}]})):
            file.write_text(content)
            keys.look()
            await worker._fetch()
            states.append((await store.task("key:early/r"))["state"].decode())
        await asked.wait()
        await store.cancel("key:early/r")
    return states


async def send_webhook(hosts: dict[str, Any]) -> Any:
    """What a receiver gets of a webhook, and what becomes of those that must not be sent."""
    received: list[Any] = []
    with TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder), "hooks.example.com")

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(next(line.partition(":")[2] for line in head.lower().splitlines() if "content-length" in line))
            received.append([head, (await reader.readexactly(length)).decode()])
            status = "302 Found\r\nlocation: https://hooks.example.com/other" if "/moved" in head else "204 No Content"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(certificate)
        server = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=served)
        port = server.sockets[0].getsockname()[1]

        async def find(host: str, port: int) -> list[str]:
            return hosts[host]

        trusted = httpx.AsyncClient(verify=ssl.create_default_context(cafile=certificate), trust_env=False)
        settings = Webhooks.model_validate({"hosts": [f"{host}:{port}" for host in hosts], "attempts": 2})
        sender = Sender(settings, "master", trusted, find, lambda address: address == "127.0.0.1")
        outcomes = []
        for url in (
            f"https://hooks.example.com:{port}/a?b=c",
            f"https://hooks.example.com:{port}/moved",
            f"https://private.example.com:{port}/",
            f"https://mixed.example.com:{port}/",
            f"https://another.example.com:{port}/",
            f"https://taken-away.example.com:{port}/",
        ):
            hook = Hook("task:key:any/r1", 1, url, "key:any", "completed")
            outcomes.append(await sender.send(hook) is None)
        name = f"{'a' * 64}.example.com"
        settings = Webhooks.model_validate({"hosts": ["*.example.com"]})
        by_name = Sender(settings, "master", trusted)
        outcomes.append(await by_name.send(Hook("task:key:any/r1", 1, f"https://{name}/", "key:any", "x")) is None)
        given_up = await sender.send(Hook("task:key:any/r1", 2, f"https://private.example.com:{port}/", "key:any", "x"))
        await sender.close()
        server.close()
    head, body = received[0]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines())}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    key = base64.b64decode(secret_of("master", "key:any").removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "received": [each[0].splitlines()[0] for each in received],
        "signed": headers["webhook-signature"] == f"v1,{expected}",
        "body": json.loads(body),
        "sent": outcomes,
        "given up": given_up is None,
        "another's secret": secret_of("master", "key:other") != secret_of("master", "key:any"),
        "accepted": [url for url in URLS if _is_accepted(url, settings)],
        "public": [address for address in ADDRESSES if is_public(address)],
    }


ADDRESSES = (
    "93.184.215.14", "2606:2800:21f:cb07::1", "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1%eth0", "fd00:ec2::254", "::ffff:10.0.0.1",
    "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "2002:a00:1::", "ff02::1", "::",
    "::10.0.0.1", "::ffff:0:a00:1", "64:ff9b:1::a00:1", "fec0::1", "2001::1",
)  # fmt: skip


URLS = (
    "https://a.example.com/",
    "https://.example.com/",
    "https://a..example.com/",
    f"https://{'a' * 64}.example.com/",
)


def _is_accepted(url: str, settings: Webhooks) -> bool:
    try:
        check_url(url, settings)
    except RefusalError:
        return False
    return True


def _certificate(folder: Path, host: str) -> Path:
    """A file with a key and a certificate of this host, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


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


async def look_at_texts(lengths: list[int]) -> list[list[Any]]:
    """For texts of these lengths: whether they are looked at beside the event loop, and how both kinds of ends look."""
    found: list[list[Any]] = []

    class Filter:
        async def apply_guardrail(self, given: Any, *_: Any) -> Any:
            found.append([threading.current_thread() is not threading.main_thread()])
            if "secret" in given["texts"]:
                raise HTTPException(400)
            return given

    text_filter = TextFilter.__new__(TextFilter)
    text_filter._filter = Filter()
    for length in lengths:
        text = "x" * length
        assert await text_filter.apply([text]) == [text]
        try:
            await text_filter.apply([text, "secret"])
        except BlockedError:
            found[-1].append("blocked")
    return found


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
        "die": die_at_each_delivery,
        "keyless": work_without_keys,
        "webhook": send_webhook,
        "long": look_at_texts,
    }[sys.argv[1]]
    result = part(json.load(sys.stdin))
    json.dump(asyncio.run(result) if asyncio.iscoroutine(result) else result, sys.stdout)


if __name__ == "__main__":
    main()
