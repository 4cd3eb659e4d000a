"""Models without instances: who asks wakes them, and waits for the first one.

Nothing is sent to wake a model. Its demand is a metric that the autoscaler reads: however many ask, in however many
pods, it is one reading, and one first instance.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.configuration import Model

REMEMBERED_SECONDS = 60
"""How long a request counts after its end: longer than it takes Prometheus to look (15 s) a few times."""
PROBE_SECONDS = 1.0
"""How often a model without instances is asked whether it has one; by one probe a pod, not by its requests."""
PROBE_TIMEOUT_SECONDS = 5.0

_DEMAND = Gauge(
    "llm_gateway_demand",
    "Requests on their way to back ends of the model, and at least 1 for a minute after the last one",
    ["model"],
)
_WAITING = Gauge("llm_gateway_waiting_requests", "Requests that wait for the model's first instance", ["model"])
_WOKEN = Counter("llm_gateway_wakes_total", "How waits for a model's first instance ended", ["model", "outcome"])


class Demand:
    """Requests by model. What was refused counts for a while, so that it wakes its model all the same."""

    def __init__(self, models: Iterable[str]) -> None:
        self._running = dict.fromkeys(models, 0)
        self._last = dict.fromkeys(self._running, float("-inf"))
        for model in self._running:
            _DEMAND.labels(model).set_function(lambda model=model: self._now(model))

    @contextlib.contextmanager
    def of(self, model: str) -> Iterator[None]:
        """A request to it."""
        self._running[model] += 1
        try:
            yield
        finally:
            self._running[model] -= 1
            self._last[model] = time.monotonic()

    def _now(self, model: str) -> int:
        recent = time.monotonic() - self._last[model] < REMEMBERED_SECONDS
        return max(self._running[model], 1 if recent else 0)


@dataclass
class _Sleeper:
    """A model without instances.

    Attributes:
        since: when it was first found so, and ``seen`` when last.
        waiting: requests that wait for it.
        probe: ends when it answers.
    """

    since: float = 0
    seen: float = float("-inf")
    waiting: int = 0
    probe: asyncio.Task[None] | None = None


class Sleepers:
    """The models that may have no instance; ``inner`` asks their back ends."""

    def __init__(self, inner: httpx.AsyncBaseTransport, models: Iterable[Model]) -> None:
        self._inner = inner
        self._sleepers = {model.name: _Sleeper() for model in models if model.may_sleep}
        for name in self._sleepers:
            _WAITING.labels(name)

    def answered(self, model: Model) -> None:
        """It has an instance."""
        if model.name in self._sleepers:
            self._sleepers[model.name].seen = float("-inf")

    def left(self, model: Model) -> float:
        """Seconds until its first instance should answer, as planned."""
        return (model.cold_start_seconds or 0) - (time.monotonic() - self._sleepers[model.name].since)

    async def wake(self, model: Model, until: float) -> bool:
        """Wait for its first instance; whether it came before ``until``, on the event loop's clock."""
        sleeper, now = self._sleepers[model.name], time.monotonic()
        if now - sleeper.seen > max(REMEMBERED_SECONDS, model.cold_start_seconds or 0):
            sleeper.since = now  # who asked before has not woken it, or it has slept again
        sleeper.seen = now
        if sleeper.probe is None or sleeper.probe.done():
            sleeper.probe = asyncio.create_task(self._until_it_answers(model))
        sleeper.waiting += 1
        waiting = _WAITING.labels(model.name)
        waiting.inc()
        outcome = "left"
        try:
            async with asyncio.timeout_at(until):
                await asyncio.shield(sleeper.probe)
            outcome = "answered"
        except TimeoutError:
            outcome = "late"
        finally:
            _WOKEN.labels(model.name, outcome).inc()
            waiting.dec()
            sleeper.waiting -= 1
            sleeper.seen = time.monotonic()
            if not sleeper.waiting:
                sleeper.probe.cancel()
                sleeper.probe = None  # who comes before it has ended must not wait for it
        return outcome == "answered"

    async def _until_it_answers(self, model: Model) -> None:
        url = f"{str(model.stable_url).rstrip('/')}/models"
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), PROBE_TIMEOUT_SECONDS)
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            request = httpx.Request("GET", url, extensions={"timeout": timeout})
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    response = await self._inner.handle_async_request(request)
                    await response.aclose()
                    if response.status_code < 500:
                        return


def is_nobody(response: httpx.Response) -> bool:
    """Whether an answer says that there is no instance.

    An engine says what is wrong as JSON. Where there is none, the proxy (Traefik 3.7: "no available server") or the
    router (vllm-router 0.1.17: "No available workers") answers in its place, in plain text.
    """
    kind = response.headers.get("content-type", "")
    return response.status_code in (502, 503) and not kind.startswith("application/json")
