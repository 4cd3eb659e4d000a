"""What engines would show of a load: a server with the metrics of the instances of each release.

The instances are the ready pods of the cluster; nothing runs in them. The requests in the system are spread evenly over
them, each runs as many at once as it has slots, and the others wait: so instances that are added take load off the
others, and instances that are not ready take none. Names are those of the engine's adapter, labels those that the
project's PodMonitor gives.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from llm_serving.metrics.engines import EngineMetrics
from llm_serving.metrics.series import SERIES_MODEL, SERIES_NAMESPACE, GatewaySeries, LauncherSeries

GATEWAY = "llm-gateway"
"""Namespace of the gateway that knows what a model is asked."""
_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class Release:
    """The load on one release, as a test sets it.

    Attributes:
        labels: of every series: namespace, model, release, team, pool.
        slots: requests that an instance runs at once.
        requests: requests in the system, running and waiting.
        gpu: utilization of each instance's GPU in percent; ``None`` where nothing measures it.
        first_token: seconds that a request waits for its first token.
        silent: seconds for which an instance that is ready has neither requests nor metrics: requests that wait stay
            where they are, and a target is scraped a while after it was found.
        demand: requests that the gateway's two pods have for the model, each half of them; ``None`` without a gateway.
        instances: names of the ready pods.
    """

    labels: dict[str, str]
    slots: int = 1
    requests: int = 0
    gpu: float | None = None
    first_token: float = 0.2
    silent: float = 0.0
    demand: int | None = None
    instances: tuple[str, ...] = ()
    answered: dict[str, int] = field(default_factory=dict)
    slow: dict[str, int] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Requests that wait, over all instances."""
        return sum(waiting for _, _, waiting in self.spread())

    def spread(self) -> Iterator[tuple[str, int, int]]:
        """Each instance with the requests that it runs, and those that wait for it."""
        now, requests = time.monotonic(), self.requests
        taking = [pod for pod in self.instances if now >= self.seen.setdefault(pod, now) + self.silent]
        for number, pod in enumerate(taking):
            here = requests // len(taking) + (number < requests % len(taking))
            yield pod, min(here, self.slots), max(here - self.slots, 0)

    def lines(self, metrics: EngineMetrics) -> Iterator[str]:
        """The exposition of all instances; every time that it is asked for, each running request gets its token."""
        if self.demand is not None:
            model = f'{SERIES_NAMESPACE}="{GATEWAY}",{SERIES_MODEL}="{self.labels[SERIES_MODEL]}"'
            for pod, number in (("a", self.demand // 2), ("b", self.demand - self.demand // 2)):
                yield f'{GatewaySeries.DEMAND}{{{model},pod="{pod}"}} {number}'
        for pod, running, waiting in self.spread():
            labels = ",".join(f'{k}="{v}"' for k, v in {**self.labels, "pod": pod, "engine": "0"}.items())
            yield f"{metrics.requests_running}{{{labels}}} {running}"
            yield f"{metrics.requests_waiting}{{{labels}}} {waiting}"
            if self.gpu is not None:
                yield f"{LauncherSeries.GPU_UTILIZATION}{{{labels}}} {self.gpu}"
            yield from self._first_tokens(metrics.time_to_first_token, pod, labels, running)

    def _first_tokens(self, name: str, pod: str, labels: str, running: int) -> Iterator[str]:
        counted = self.answered.setdefault(pod, 0) + running
        self.answered[pod] = counted
        for bound in _BUCKETS:
            key = f"{pod}/{bound}"
            self.slow[key] = self.slow.get(key, 0) + (running if self.first_token <= bound else 0)
            yield f'{name}_bucket{{{labels},le="{bound}"}} {self.slow[key]}'
        yield f'{name}_bucket{{{labels},le="+Inf"}} {counted}'
        yield f"{name}_count{{{labels}}} {counted}"


class Engines:
    """The server. Releases come and go while it runs."""

    def __init__(self, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._releases: list[Release] = []
        self._lock = threading.Lock()
        engines = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = engines.exposition().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """``host:port``, as Prometheus has it in a target."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def exposition(self) -> str:
        """All series in Prometheus' text format."""
        with self._lock:
            return "".join(f"{line}\n" for release in self._releases for line in release.lines(self._metrics))

    def add(self, release: Release) -> None:
        """Show the release's metrics from now on."""
        with self._lock:
            self._releases.append(release)

    def remove(self, release: Release) -> None:
        """Show them no longer."""
        with self._lock:
            self._releases.remove(release)

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
