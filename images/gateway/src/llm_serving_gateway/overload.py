"""What gives way when a model has as many requests as it can take: degradation in steps, by service class.

The load of a model is the number of its requests that are with back ends, over all gateways, against a limit of the
settings. It is counted where keys' limits are, with leases, so that every replica sees the same number, a replica that
dies gives its part back, and without Redis each replica has its share. Each class may fill a part of the limit: those
that wait are let in by their class, and then in the order in which they came.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
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
        leases: what it holds, by model, until it ends.
        fewer_tokens: most tokens of an answer, by model, where it gives way so.
    """

    id: str
    service_class: ServiceClass
    leases: dict[str, Lease] = field(default_factory=dict)
    fewer_tokens: dict[str, int] = field(default_factory=dict)

    async def end(self) -> None:
        """It is over."""
        for lease in self.leases.values():
            await lease.settle(0, 0)


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
        until = min(until, asyncio.get_running_loop().time() + self._settings.wait_seconds)
        queue = self._queues[model.name]
        with queue.place(rank) as is_first, _QUEUED.labels(model.name, admission.service_class).track_inprogress():
            while not (is_first() and await self._enter(admission, model, limit)):
                if asyncio.get_running_loop().time() >= until:
                    return self._refusal(admission.service_class, model)
                await asyncio.sleep(TRY_EVERY_SECONDS)
        return None

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
    """Requests of this gateway for one model, by class and arrival."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._places: set[tuple[int, int]] = set()

    @contextlib.contextmanager
    def place(self, rank: int) -> Iterator[Callable[[], bool]]:
        """A place in it, and whether it is the first one."""
        place = (rank, next(self._numbers))
        self._places.add(place)
        try:
            yield lambda: min(self._places) == place
        finally:
            self._places.discard(place)
