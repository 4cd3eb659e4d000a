"""Whether the engine does anything for the requests that it has: the counters of its own metrics move.

An engine's /health may be answered by a process that has nothing to do with the one that computes: vLLM's asks only
whether an error was seen (v1/engine/async_llm.py, ``check_health``), so that an engine whose core hangs stays healthy
for ever; and it may be late for no other reason than that the process has much to do. What is read here moves only when
the engine computes. Whether requests are there the metrics may not know, for they are as old as the last step: the
middleware's count (``drain_state``) is younger. Owns the verdict. Leaves alone what follows from it
(``health_monitor``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_serving_engine import metrics
from llm_serving_engine.client import EngineClient, NoAnswerError

# As vLLM 0.32, SGLang 0.5 and Text Generation Inference 3 spell them.
REQUESTS = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "sglang:num_running_reqs",
    "sglang:num_queue_reqs",
    "tgi_batch_current_size",
    "tgi_queue_size",
)
TOKENS = (
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "sglang:generation_tokens_total",
    "sglang:prompt_tokens_total",
    "tgi_batch_inference_success",
)
"""Counters; an engine that exports none of them is never said to be stalled."""
STEPS = (
    "vllm:iteration_tokens_total_count",
    "vllm:kv_cache_usage_perc",
    "sglang:token_usage",
    "sglang:num_used_tokens",
)
"""What moves with steps that yield no token yet, as those of a long prompt (vLLM counts its tokens at its end), or
before a request ends (SGLang counts its tokens then)."""

LOOKS = 12
"""Times in a stall time that the metrics are read: collecting them costs the engine's API process milliseconds."""
_PATIENCE = 3
"""Part of the stall time that a reading may take: a process that is late with /health is late with this too."""
_PROMPT = "Hello"


@dataclass(frozen=True)
class Reading:
    """Metrics of one moment.

    Attributes:
        requests: running and waiting.
        counters: those of :data:`TOKENS` and :data:`STEPS` that the engine has.
    """

    requests: float
    counters: tuple[float, ...]


def read(text: str) -> Reading | None:
    """What an exposition says; ``None`` where it has no counter of tokens."""
    tokens = [value for name in TOKENS if (value := metrics.total(text, name)) is not None]
    if not tokens:
        return None
    steps = [value for name in STEPS if (value := metrics.total(text, name)) is not None]
    return Reading(sum(metrics.total(text, name) or 0.0 for name in REQUESTS), (*tokens, *steps))


class StallDetector:
    """Looks at the engine's counters. :meth:`look` belongs to one thread; the verdict is for any.

    Args:
        client: asks the engine.
        stall_seconds: time without a move after which an engine with requests is stalled.
        timeout: seconds for the last question, see :meth:`look`.
        requests: number of requests that the middleware counts, 0 where there is none.
    """

    def __init__(
        self, client: EngineClient, stall_seconds: float, timeout: float, requests: Callable[[], int] = lambda: 0
    ) -> None:
        self._client = client
        self._stall_seconds = stall_seconds
        self._timeout = timeout
        self._requests = requests
        self._reading: Reading | None = None
        self._next_look = 0.0
        self._still_since: float | None = None
        # Written by the thread that looks, read by others.
        self._moved_at: float | None = None
        self._stalled = False

    @property
    def stalled(self) -> bool:
        """Requests are there, and nothing has moved for the stall time."""
        return self._stalled

    @property
    def moving(self) -> bool:
        """A counter was seen to move within the stall time."""
        return self._moved_at is not None and time.monotonic() - self._moved_at < self._stall_seconds

    def look(self, model: str, *, late: bool = False) -> None:
        """Read the counters, unless that was a moment ago. Before an engine is said to be stalled it is asked for one
        token: a count of requests may be wrong (a client that is slow to send its own, a gauge of a step long ago), and
        an engine that answers is none to be killed.

        Args:
            model: name that it serves.
            late: /health was not answered: what moves is asked for at once.
        """
        if not late and time.monotonic() < self._next_look:
            return
        reading = self._read()
        now = time.monotonic()
        self._next_look = now + self._stall_seconds / LOOKS
        before, self._reading = self._reading, reading or self._reading
        if reading is not None and before is not None and reading.counters != before.counters:
            self._moved_at = now
            self._still_since, self._stalled = None, False
        elif (reading.requests if reading is not None else 0) + self._requests() <= 0 or self._reading is None:
            self._still_since, self._stalled = None, False
        elif self._still_since is None:
            self._still_since = now
        elif not self._stalled and now - self._still_since >= self._stall_seconds:
            self._stalled = not self._answers(model)
            self._still_since = None if not self._stalled else self._still_since

    def _read(self) -> Reading | None:
        try:
            answer = self._client.get("/metrics", max(self._timeout, self._stall_seconds / _PATIENCE))
        except NoAnswerError:
            return None
        return read(answer.body.decode(errors="replace")) if answer.status == 200 else None

    def _answers(self, model: str) -> bool:
        try:
            return self._client.complete(model, _PROMPT, 1, self._timeout).status == 200
        except NoAnswerError:
            return False
