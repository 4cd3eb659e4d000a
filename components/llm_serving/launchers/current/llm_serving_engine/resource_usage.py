"""Load and memory of the engine, read when somebody asks and kept for a second."""

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from llm_serving_engine import metrics
from llm_serving_engine.client import EngineClient, NoAnswerError
from llm_serving_engine.gpu import Gpu, Gpus
from llm_serving_engine.memory import HostMemory, host_memory

_KEEP_SECONDS = 1.0
_TIMEOUT = 2.0

# Gauges of vLLM 0.32, as read from its /metrics.
_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_CACHE = "vllm:kv_cache_usage_perc"


@dataclass(frozen=True)
class Load:
    """What the engine says about its load; ``None`` where it says nothing.

    Attributes:
        running: requests in the batch.
        waiting: requests that are not in it yet.
        kv_cache: share of the fullest KV cache that is in use, from 0 to 1.
    """

    running: int | None = None
    waiting: int | None = None
    kv_cache: float | None = None


@dataclass(frozen=True)
class ResourceUsage:
    """Load of the engine, and what GPUs and host are used for it, as of one moment."""

    load: Load
    gpus: list[Gpu]
    host: HostMemory | None

    @property
    def gpu_utilization(self) -> float | None:
        """Mean over the GPUs in percent; ``None`` where none of them says."""
        known = [gpu.utilization for gpu in self.gpus if gpu.utilization is not None]
        return sum(known) / len(known) if known else None

    def memory(self) -> dict[str, Any]:
        """Memory of host and GPUs in bytes."""
        return {
            "host": asdict(self.host) if self.host is not None else None,
            "gpu": [{"index": gpu.index, "used": gpu.used, "total": gpu.total} for gpu in self.gpus],
        }


class ResourceUsageReader:
    """Reads the usage for any number of threads, at most once a second."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._gpus = Gpus()
        self._lock = threading.Lock()
        self._last: tuple[float, bool, ResourceUsage] | None = None

    def read(self, *, engine_answers: bool) -> ResourceUsage:
        """The usage; the load of an engine that does not answer is left out."""
        with self._lock:
            if self._last is not None:
                read_at, answered, usage = self._last
                if answered == engine_answers and time.monotonic() - read_at < _KEEP_SECONDS:
                    return usage
            usage = ResourceUsage(self._load() if engine_answers else Load(), self._gpus.read(), host_memory())
            self._last = time.monotonic(), engine_answers, usage
            return usage

    def _load(self) -> Load:
        try:
            answer = self._client.get("/metrics", _TIMEOUT)
        except NoAnswerError:
            return Load()
        if answer.status != 200:
            return Load()
        text = answer.body.decode(errors="replace")
        return Load(
            running=_whole(metrics.total(text, _RUNNING)),
            waiting=_whole(metrics.total(text, _WAITING)),
            kv_cache=metrics.largest(text, _KV_CACHE),
        )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
