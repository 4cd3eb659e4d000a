"""What gives way when a model has as many requests as it can take: degradation in steps, by service class.

The load of a model is the number of its requests that are with back ends, over all gateways, against a limit of the
settings. It is counted where keys' limits are, with leases, so that every replica sees the same number, a replica that
dies gives its part back, and without Redis each replica has its share. Each class may fill a part of the limit: those
that wait are let in by their class, and then in the order in which they came.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.configuration import Configuration, Model, ServiceClass
from llm_serving_gateway.limits import Lease, Limiter, LimitError, Limits, Reservation
from llm_serving_gateway.refusals import RefusalError

TRY_EVERY_SECONDS = 0.1
"""How often the first one that waits tries again: other replicas do not say when they have room."""
_RANKS = {ServiceClass.CRITICAL: 0, ServiceClass.STANDARD: 1, ServiceClass.BATCH: 2}

_STEPS = Counter(
    "llm_gateway_degraded_total", "Requests that gave way: `fewer_tokens`, `shed` (429) or `full` (503)",
    ["model", "service_class", "step"],
)  # fmt: skip
_QUEUED = Gauge("llm_gateway_queued_requests", "Requests that wait for room", ["model", "service_class"])


@dataclass
class Admission:
    """One request's room with the models that are asked for it.

    Attributes:
        id: of the request.
        service_class: of its key.
        leases: what it holds, by model, until it ends or goes on to another one.
        fewer_tokens: most tokens of an answer, by model, where it gives way so.
    """

    id: str
    service_class: ServiceClass
    leases: dict[str, Lease] = field(default_factory=dict)
    fewer_tokens: dict[str, int] = field(default_factory=dict)


class Admissions:
    """Lets requests to back ends, or says that they must give way."""

    def __init__(self, configuration: Configuration, limiter: Limiter) -> None:
        self._limiter, self._settings = limiter, configuration.overload
        self._queues = {model.name: _Queue() for model in configuration.models if model.max_requests is not None}

    async def admit(self, admission: Admission, model: Model, until: float) -> RefusalError | None:
        """Room for a request with a model; what its client is told where there is none.

        Args:
            admission: the request's.
            model: the one that is asked now.
            until: when it must have an answer, on the event loop's clock.
        """
        limit, rank = model.max_requests, _RANKS[admission.service_class]
        if limit is None or model.name in admission.leases:
            return None
        queue, now = self._queues[model.name], asyncio.get_running_loop().time
        until = min(until, now() + self._settings.wait_seconds)
        if queue.lets_past(rank) and await self._enter(admission, model, limit):
            return None
        with queue.place(rank) as place, _QUEUED.labels(model.name, admission.service_class).track_inprogress():
            while (left := until - now()) > 0:
                await place.turn(left)
                if place.is_first and await self._enter(admission, model, limit):
                    return None
        return self._refusal(admission.service_class, model)

    async def leave(self, admission: Admission, model: str) -> None:
        """A request is no longer with this model, whose room is free. A second call does nothing."""
        lease = admission.leases.pop(model, None)
        if lease is not None:
            await lease.settle(0, 0)
            self._queues[model].stir()

    async def end(self, admission: Admission) -> None:
        """A request is over, and with it its room with every model. A second call does nothing."""
        for model in [*admission.leases]:
            await self.leave(admission, model)

    async def _enter(self, admission: Admission, model: Model, limit: int) -> bool:
        settings = self._settings
        if admission.service_class is ServiceClass.BATCH:
            if await self._take(admission, model, limit, settings.fewer_tokens_percent):
                return True
            if not await self._take(admission, model, limit, settings.shed_batch_percent):
                return False
            admission.fewer_tokens[model.name] = settings.batch_output_tokens
            self._count(admission.service_class, model, "fewer_tokens")
            return True
        is_critical = admission.service_class is ServiceClass.CRITICAL
        return await self._take(admission, model, limit, 100 if is_critical else settings.shed_standard_percent)

    async def _take(self, admission: Admission, model: Model, limit: int, percent: int) -> bool:
        """One of the places that this class may fill."""
        limits = Limits(f"model:{model.name}", parallel=max(1, limit * percent // 100))
        try:
            admission.leases[model.name] = await self._limiter.acquire(Reservation(admission.id, limits, 0, 0))
        except LimitError:
            return False
        return True

    def _refusal(self, service_class: ServiceClass, model: Model) -> RefusalError:
        after = self._settings.retry_after_seconds
        if service_class is ServiceClass.CRITICAL:
            self._count(service_class, model, "full")
            message = f"{model.name} has as many requests as it can take."
            return RefusalError(503, message, "model_full", retry_after=after)
        self._count(service_class, model, "shed")
        message = f"{model.name} is busy, and requests of class {service_class} give way."
        return RefusalError(429, message, "model_busy", retry_after=after)

    @staticmethod
    def _count(service_class: ServiceClass, model: Model, step: str) -> None:
        _STEPS.labels(model.name, service_class, step).inc()


class _Queue:
    """Requests of this gateway that wait for one model, by class and arrival."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._places: list[_Place] = []  # a heap; those that left stay until they come to its front

    @contextlib.contextmanager
    def place(self, rank: int) -> Iterator["_Place"]:
        """A place in it. When it is left, the next one has its turn."""
        place = _Place(rank, next(self._numbers), self)
        heapq.heappush(self._places, place)
        try:
            yield place
        finally:
            place.is_left = True
            self.stir()

    @property
    def first(self) -> "_Place | None":
        """Whose turn it is."""
        while self._places and self._places[0].is_left:
            heapq.heappop(self._places)
        return self._places[0] if self._places else None

    def lets_past(self, rank: int) -> bool:
        """Whether nobody of this class or a higher one waits."""
        return self.first is None or rank < self.first.rank

    def stir(self) -> None:
        """There may be room."""
        if self.first is not None:
            self.first.stirred.set()


@dataclass(order=True)
class _Place:
    rank: int
    number: int
    queue: _Queue = field(compare=False)
    stirred: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    is_left: bool = field(default=False, compare=False)

    @property
    def is_first(self) -> bool:
        return self.queue.first is self

    async def turn(self, seconds: float) -> None:
        """Wait until it may be worth a try, or so long."""
        self.stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(TRY_EVERY_SECONDS, seconds) if self.is_first else seconds):
                await self.stirred.wait()
