"""Requests to the gateway without a connection: submitted, worked off by workers, and read later."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import WEBHOOK_HOST
from llm_serving.spec.model import ServiceClass
from llm_serving.spec.names import MAX_AMOUNT, PositiveCount

HTTPS_PORT = 443
WEEK_SECONDS = 7 * 86_400
KeptSeconds = Annotated[int, Field(ge=60, le=4 * WEEK_SECONDS)]
Cores = Annotated[float, Field(ge=0.01, le=64)]


class QueueScope(StrEnum):
    """Who sees a request of the queue, and its result."""

    KEY = "key"
    """The key that submitted it."""
    TEAM = "team"
    """Every key of its team."""


class WebhooksSpec(Frozen):
    """Messages that say that a request of the queue, or a batch, has ended."""

    hosts: Annotated[tuple[Annotated[str, WEBHOOK_HOST], ...], Field(min_length=1)]
    """Hosts that they may be sent to by HTTPS: `hooks.example.com`, `*.example.com` for all below it, with a port
    where it is not 443. An address that is not of the internet is never sent to."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 8
    """How often one is sent at most, until its receiver takes it; 8 by default, over two and a half hours."""

    @property
    def ports(self) -> list[int]:
        """TCP ports of the hosts."""
        return sorted(
            {int(port) if port else HTTPS_PORT for _, _, port in (host.partition(":") for host in self.hosts)}
        )


class QueueSpec(Frozen):
    """The queue, which is kept in the Redis of limits."""

    workers: PositiveCount = 1
    """Pods that work it off; 1 by default."""
    cpu: Cores = 0.25
    """Cores that one of them requests; 0.25 by default."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests that a worker sends at once; 8 by default."""
    service_class: ServiceClass = ServiceClass.BATCH
    """`critical`, `standard` or `batch` (the default): of requests of the queue, unless their key has a lower one."""
    scope: QueueScope = QueueScope.KEY
    """Who sees a request and its result: the `key` that submitted it (the default), or every key of its `team`."""
    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Requests that wait and run, of all keys together; 10,000 by default. More are refused for the time being."""
    memory_mib: Annotated[int, Field(ge=8, le=131_072)] = 128
    """Memory of the Redis of limits that requests, files and results may take, in MiB; 128 by default."""
    file_bytes: Annotated[int, Field(ge=1024, le=100_000_000)] = 16_000_000
    """Size of a file of requests in bytes; 16,000,000 by default."""
    file_lines: Annotated[int, Field(ge=1, le=50_000)] = 5000
    """Requests in a file; 5000 by default."""
    result_bytes: Annotated[int, Field(ge=1024, le=MAX_AMOUNT)] = 1_000_000
    """Size of an answer that is kept, in bytes; 1,000,000 by default. A request with a larger one has failed."""
    wait_seconds: KeptSeconds = 86_400
    """How long a request may wait until it is answered, in seconds; 86,400 by default, a day."""
    keep_seconds: KeptSeconds = 86_400
    """How long results and files are kept, in seconds; 86,400 by default, a day."""
    deliveries: Annotated[int, Field(ge=1, le=20)] = 5
    """How often a request is tried that no back end answers, or whose worker dies; 5 by default."""
    lease_seconds: Annotated[int, Field(ge=5, le=3600)] = 30
    """After how long a request goes to another worker where its own is silent, in seconds; 30 by default."""
    webhooks: WebhooksSpec | None = None
    """Messages that a request has ended; left out: none are sent."""
