"""The queue: where it is kept, what fits into that, how long it keeps it, and where webhooks go."""

from collections.abc import Iterator
from math import ceil

from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, QueueSpec, WebhooksSpec

MIB = 2**20
REQUEST_BYTES = 1000
"""What a request takes besides its contents: hash, entry of a stream and places in sets, as the program counts it."""
_INSIDE = (".local", ".internal", ".svc", ".localhost", ".home.arpa")
"""Names that lead to no address of the internet (RFC 6762, 8375; Kubernetes documentation, "DNS for Services")."""
_LAST_PORT = 65_535


def check_queue(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.queue``."""
    queue = gateway.queue
    if queue is None:
        return
    if gateway.redis.limits is None:
        reason = "requests are kept in redis.limits, which forgets nothing, and there is none"
        yield Problem("queue", None, reason, Suggestion(removal=True, edits=[{"/gateway.redis.limits": {}}]))
    yield from (problem.under("queue") for problem in (*_memory(gateway, queue), *_time(stack, gateway, queue)))
    if queue.webhooks is not None:
        yield from (problem.under("queue.webhooks") for problem in _webhooks(queue.webhooks))


def _memory(gateway: GatewaySpec, queue: QueueSpec) -> Iterator[Problem]:
    """The limits, which share that Redis, must never be refused for what the queue keeps."""
    limits, most = gateway.redis.limits, queue.memory_mib * MIB
    if limits is not None and limits.is_installed and queue.memory_mib > limits.memory_mib // 2:
        reason = f"is more than half of redis.limits.memoryMib, {limits.memory_mib}: limits and budgets need the rest"
        larger = {"/gateway.redis.limits.memoryMib": 2 * queue.memory_mib}
        # Its disk is twice its memory at least.
        larger["/gateway.redis.limits.storageGib"] = max(limits.storage_gib, ceil(4 * queue.memory_mib / 1024))
        fewer = [limits.memory_mib // 2]
        yield Problem("memoryMib", queue.memory_mib, reason, Suggestion(values=fewer, edits=[larger]))
    for name, size in (("fileBytes", queue.file_bytes), ("resultBytes", queue.result_bytes)):
        if 2 * size > most:
            reason = f"is more than half of the memory of the queue, {queue.memory_mib} MiB"
            yield Problem(name, size, reason, Suggestion(values=[most // 2]))
    if queue.max_requests * REQUEST_BYTES > most:
        reason = f"take {REQUEST_BYTES} bytes each, and the queue has {queue.memory_mib} MiB"
        yield Problem("maxRequests", queue.max_requests, reason, Suggestion(values=[most // REQUEST_BYTES]))
    if queue.file_lines > queue.max_requests:
        reason = f"is more than maxRequests, {queue.max_requests}: such a file never fits"
        yield Problem("fileLines", queue.file_lines, reason, Suggestion(values=[queue.max_requests]))


def _time(stack: StackShape, gateway: GatewaySpec, queue: QueueSpec) -> Iterator[Problem]:
    longest = max((ceil(gateway.timeouts_of(model.name).total_seconds) for model in stack.models), default=0)
    if queue.wait_seconds < longest:
        reason = f"is shorter than the longest request, {longest} s (timeouts.totalSeconds), which would expire"
        yield Problem("waitSeconds", queue.wait_seconds, reason, Suggestion(values=[longest]))


def _webhooks(webhooks: WebhooksSpec) -> Iterator[Problem]:
    for index, host in enumerate(webhooks.hosts):
        path = f"hosts[{index}]"
        name, _, port = host.partition(":")
        if host in webhooks.hosts[:index]:
            yield Problem(path, host, "is named already", LEAVE_OUT)
        elif port and int(port) > _LAST_PORT:
            yield Problem(path, host, f"has a port above {_LAST_PORT}", Suggestion(values=[name]))
        elif name.endswith(_INSIDE):
            reason = "is a name of a network of one's own, and webhooks go to addresses of the internet alone"
            yield Problem(path, host, reason, Suggestion("a host on the internet", needs=Needs.FACT))
