"""Runs the transport below LiteLLM in the gateway's Python, without LiteLLM and without a server: ``ways.py NAME``.

Writes what came of it as JSON.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
from llm_serving_gateway import exchange, sleepers
from llm_serving_gateway.application import KEY, Application
from llm_serving_gateway.backend_transport import BackEndTransport
from llm_serving_gateway.circuit_breaker import State
from llm_serving_gateway.configuration import Configuration, Files, Model, ServiceClass
from llm_serving_gateway.hosted import HostedAccess
from llm_serving_gateway.key_file import Key
from llm_serving_gateway.keys import Keys
from llm_serving_gateway.limits import Lease, Limiter, Limits, Reservation
from llm_serving_gateway.metrics import Metrics
from llm_serving_gateway.overload import Admission, Admissions
from llm_serving_gateway.refusals import RefusalError
from llm_serving_gateway.upstream import Upstream

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]
PROVIDER = "http://provider/v1"
ENOUGH_SECONDS = 3600


def configuration(**changes: Any) -> Configuration:
    """A model that sleeps and falls back to one that never does, and a provider for that one."""
    urls = {"weightedUrl": "http://weighted/v1", "stableUrl": "http://stable/v1"}
    timeouts = {"totalSeconds": ENOUGH_SECONDS, "wakeSeconds": 0}
    sleeper = {"name": "sleeper", "contextTokens": 9, "coldStartSeconds": 300, "timeouts": timeouts, **urls, **changes}
    steady = {"name": "steady", "contextTokens": 9, "maxRequests": 1, "timeouts": timeouts, **urls}
    prices = {"usdPerMillionInputTokens": 1, "usdPerMillionOutputTokens": 1}
    provider = {
        "name": "outside",
        "url": PROVIDER,
        "teams": ["chat"],
        "budget": {"tokens": 10**6},
        "models": [{"model": "steady", "name": "theirs", "contextTokens": 9, **prices}],
    }
    return Configuration.model_validate(
        {
            "version": 1,
            "models": [sleeper, steady],
            "hosted": [provider],
            "redis": {"limits": {"host": "127.0.0.1"}},
            "breaker": {"minRequests": 2, "openSeconds": 0.001},
        }
    )


class Access(HostedAccess):
    """To a provider of which there is a key and a budget, which is held once it may be."""

    def __init__(self, settings: Configuration) -> None:
        super().__init__(settings, Limiter(None, 1, ENOUGH_SECONDS), Files())
        self.holding, self.may_hold = asyncio.Event(), asyncio.Event()
        self.may_hold.set()

    def headers(self, hosted: Any) -> dict[str, str]:
        return {}

    async def hold(self, hosted: Any, upstream: Upstream, id: str) -> Lease | None:
        self.holding.set()
        await self.may_hold.wait()
        return await super().hold(hosted, upstream, id)


class Way:
    """A transport, what it asks, and the way of one request."""

    def __init__(self, settings: Configuration, answer: Answer, requested: str = "sleeper", **more: Any) -> None:
        self.asked: list[str] = []
        self.settings, self.access = settings, Access(settings)
        self.upstream = Upstream(requested=requested, team="chat", prompt_tokens=1, output_tokens=1, **more)

        async def counted(request: httpx.Request) -> httpx.Response:
            self.asked.append(request.url.host)
            return await answer(request)

        inner = httpx.MockTransport(counted)
        self.transport = BackEndTransport(inner, settings, lambda: self.upstream, lambda text: False, self.access)

    async def ask(self, model: str, base: str = "http://weighted/v1") -> int:
        body = {"model": model, "messages": []}
        request = httpx.Request("POST", f"{base}/chat/completions", json=body)
        return (await self.transport.handle_async_request(request)).status_code

    async def ask_provider(self) -> int:
        self.upstream = Upstream(requested="steady", team="chat", prompt_tokens=1, output_tokens=1)
        return await self.ask("hosted:outside:steady", PROVIDER)


async def nobody(request: httpx.Request) -> httpx.Response:
    """The proxy's, in the place of an engine."""
    return httpx.Response(503, text="no available server")


def ended(status: int) -> httpx.Response:
    """An engine's, which nobody has read yet."""
    return httpx.Response(status, headers={"content-type": "application/json"}, stream=httpx.ByteStream(b"{}"))


async def wait_in_vain() -> Any:
    """Whether a request that waited for an instance which did not come has the time left that it had before."""
    deadlines: list[float] = []

    async def admit(model: Model, deadline: float) -> RefusalError | None:
        deadlines.append(deadline)
        return None

    settings = configuration(timeouts={"totalSeconds": ENOUGH_SECONDS, "wakeSeconds": 0.1})
    way = Way(settings, nobody, admit=admit)
    status = await way.ask("sleeper")
    assert way.upstream.deadline is not None
    assert way.upstream.verdict is not None
    return [status, way.upstream.verdict.code, way.upstream.deadline > deadlines[0]]


async def wake_again_at_once() -> Any:
    """What becomes of one that comes just when nobody waits any more."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    settings = configuration()
    asleep = sleepers.Sleepers(httpx.MockTransport(answer), settings.models)
    sleepers.PROBE_SECONDS = ENOUGH_SECONDS
    is_awake = [await asleep.wake(settings.models[0], 0)]
    sleepers.PROBE_SECONDS = 0
    return [*is_awake, await asleep.wake(settings.models[0], float("inf"))]


async def have_nobody() -> Any:
    """Breakers of a model that never sleeps and of a provider, of which a proxy says that nobody is there."""
    way = Way(configuration(), nobody, "steady")
    statuses = []
    for _ in range(3):
        way.upstream = Upstream(requested="steady")
        statuses.append(await way.ask("steady"))
        statuses.append(await way.ask_provider())
    await way.ask("sleeper")
    return [{*statuses}, {name: breaker._state for name, breaker in way.transport._breakers.items()}]


async def leave_while_a_budget_is_asked() -> Any:
    """Whether a provider is asked again whose probe's client left before it was sent."""
    healthy = False

    async def answer(request: httpx.Request) -> httpx.Response:
        return ended(200 if healthy else 500)

    way = Way(configuration(), answer)
    breaker = way.transport._breakers["hosted/outside"]
    while breaker._state is not State.OPEN:
        await way.ask_provider()
    healthy = True
    way.access.holding.clear()
    way.access.may_hold.clear()
    holding = asyncio.create_task(way.access.holding.wait())
    probe = asyncio.create_task(way.ask_provider())
    while not holding.done():
        await asyncio.wait((probe, holding), return_when="FIRST_COMPLETED")
        if probe.done():  # it was not due
            probe = asyncio.create_task(way.ask_provider())
    probe.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await probe
    way.access.may_hold.set()
    return [breaker._state, await way.ask_provider()]


async def be_full_elsewhere() -> Any:
    """What a client is told whose model fails, where the one that it falls back to is busy; and who answers it."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return ended(200 if request.url.host == "provider" else 500)

    async def admit(model: Model, deadline: float) -> RefusalError | None:
        return RefusalError(429, "busy", "model_busy") if model.name == "sleeper" else None

    way = Way(configuration(), answer, "steady", admit=admit)
    statuses = [await way.ask("steady"), await way.ask("sleeper")]
    return [*statuses, way.upstream.verdict, await way.ask("hosted:outside:steady", PROVIDER)]


async def fail_where_there_is_room_for_one() -> Any:
    """Whether there is room with a model that failed while another one answers in its place."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return ended(500)

    settings = configuration()
    admissions = Admissions(settings, Limiter(None, 1, ENOUGH_SECONDS))
    admission, steady = Admission("1", ServiceClass.CRITICAL), settings.models[1]
    way = Way(
        settings,
        answer,
        "steady",
        admit=partial(admissions.admit, admission),
        leave=partial(admissions.leave, admission),
    )
    status = await way.ask("steady")
    return [status, await admissions.admit(Admission("2", ServiceClass.CRITICAL), steady, 0) is None]


async def block_the_answer_of_a_provider() -> Any:
    """Tokens of its budget that count for an answer of a provider which guardrails did not let through."""
    limiter = Limiter(None, 1, ENOUGH_SECONDS)
    key = Key.model_validate({"name": "k", "sha256": "0" * 64, "team": "chat"})

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        running = exchange.current.get()
        assert running is not None
        held = Reservation("1", Limits("hosted:outside", budget_tokens=100), 7, 0)
        running.upstream.lease, running.upstream.is_worked_on = await limiter.acquire(held), True
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"Content blocked"})

    application = Application(configuration(), Keys(Files().keys), limiter, Metrics(), inner)
    body = json.dumps({"model": "steady", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5})
    events = iter(({"type": "http.request", "body": body.encode()},))
    statuses = []

    async def receive() -> dict[str, Any]:
        event = next(events, None)
        if event is None:
            await asyncio.Event().wait()
        return event or {}

    async def send(event: Any) -> None:
        statuses.append(event.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], KEY: key}
    await application(scope, receive, send)
    return [statuses[0], limiter._accounts["hosted:outside"].own_tokens]


async def ask_a_release_that_sleeps() -> Any:
    """How often back ends are asked for one release of a model that sleeps."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, text="no available server", headers={"x-llm-release": "1"})

    way = Way(configuration(), answer, pinned="1")
    return [await way.ask("sleeper"), way.asked]


async def leave_before_and_after() -> Any:
    """Tokens that are counted for clients that leave: one before a back end was asked, one while it worked."""
    settings = configuration()
    limiter = Limiter(None, 1, ENOUGH_SECONDS)
    key = Key.model_validate({"name": "k", "sha256": "0" * 64, "team": "chat", "budget": {"tokens": 10**6}})
    used = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        running = exchange.current.get()
        assert running is not None
        running.upstream.is_worked_on = scope["is_worked_on"]
        entered.set()
        await asyncio.Event().wait()

    application = Application(settings, Keys(Files().keys), limiter, Metrics(), inner)
    for is_worked_on in (False, True):
        entered = asyncio.Event()
        body = json.dumps({"model": "steady", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5})
        events = iter(({"type": "http.request", "body": body.encode()},))

        async def receive(entered: asyncio.Event = entered, events: Any = events) -> dict[str, Any]:
            event = next(events, None)
            if event is None:
                await entered.wait()
            return event or {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            return

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], KEY: key}
        scope["is_worked_on"] = is_worked_on
        await application(scope, receive, send)
        used.append(limiter._accounts["k"].own_tokens)
    return used


def main() -> None:
    way = {
        "late": wait_in_vain,
        "again": wake_again_at_once,
        "nobody": have_nobody,
        "probe": leave_while_a_budget_is_asked,
        "elsewhere": be_full_elsewhere,
        "release": ask_a_release_that_sleeps,
        "room": fail_where_there_is_room_for_one,
        "blocked": block_the_answer_of_a_provider,
        "left": leave_before_and_after,
    }[sys.argv[1]]
    json.dump(asyncio.run(way()), sys.stdout, default=sorted)


if __name__ == "__main__":
    main()
