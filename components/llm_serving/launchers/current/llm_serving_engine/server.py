"""The health endpoint: what orchestrators and people ask about the engine.

``/health`` tells all as JSON; ``/health/ready`` and ``/health/live`` are for probes and answer from memory;
``/metrics`` has the launcher's own metrics for Prometheus (``exposition``): the engine's are at its own port.
"""

import json
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llm_serving_engine import vllm_stages
from llm_serving_engine.drain_state import DrainState
from llm_serving_engine.exposition import CONTENT_TYPE, exposition
from llm_serving_engine.health_monitor import HealthMonitor, Status
from llm_serving_engine.resource_usage import ResourceUsageReader
from llm_serving_engine.startup_stages import StartupStages

_PATHS = ("/health", "/health/ready", "/health/live", "/metrics")
_JSON = "application/json"
_IDLE_SECONDS = 30
"""A connection on which nothing is asked is closed after so long."""


class HealthServer(ThreadingHTTPServer):
    """Answers health checks; listens from the moment it is made, and serves once ``serve_forever`` runs.

    Raises:
        OSError: the address cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        host: str,
        port: int,
        monitor: HealthMonitor,
        reader: ResourceUsageReader,
        stages: StartupStages,
        drain_state: DrainState | None,
    ) -> None:
        self.monitor = monitor
        self._stages = stages
        self._drain_state = drain_state
        self.engine_pid: int | None = None
        self._reader = reader
        self._started = time.monotonic()
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        super().__init__((str(address[0]), int(address[1])), _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that the base class makes: it may wait for a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no event."""

    def health(self) -> dict[str, Any]:
        """All that is known."""
        monitor = self.monitor
        usage = self._reader.read(engine_answers=monitor.answering)
        status = monitor.status
        return {
            "status": status,
            "reason": monitor.reason,
            "model": monitor.model,
            "model_loaded": monitor.model_loaded,
            "gpu_utilization": usage.gpu_utilization,
            "memory_usage": usage.memory(),
            "queue_depth": usage.load.waiting,
            "running_requests": usage.load.running,
            "kv_cache_usage": usage.load.kv_cache,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "engine": {"pid": self.engine_pid},
        }

    def metrics(self) -> str:
        """The launcher's own metrics, as text."""
        return exposition(
            up=self.monitor.answering,
            ready=self.monitor.status == Status.READY,
            startup=self._stages.seconds()
            | (vllm_stages.read(self._drain_state.folder) if self._drain_state is not None else {}),
            requests=self._drain_state.counts() if self._drain_state is not None and self._drain_state.known else None,
            gpu_utilization=self._reader.read(engine_answers=self.monitor.answering).gpu_utilization,
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        monitor = self._health.monitor
        match self.path.partition("?")[0]:
            case "/health":
                body = self._health.health()
                self._answer(body["status"] == Status.READY, body)
            case "/health/ready":
                status = monitor.status
                ready = status == Status.READY
                self._answer(ready, {"ready": ready, "status": status, "reason": monitor.reason})
            case "/health/live":
                live = monitor.live
                self._answer(live, {"live": live, "status": monitor.status, "reason": monitor.reason})
            case "/metrics":
                self._write(HTTPStatus.OK, self._health.metrics().encode(), CONTENT_TYPE)
            case path:
                self._send(HTTPStatus.NOT_FOUND, {"error": f"{path}: there is no such path", "paths": list(_PATHS)})

    do_HEAD = do_GET  # noqa: N815  the base class calls methods by the request's verb

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself, a POST for one, as JSON too."""
        self.close_connection = True
        self._send(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def version_string(self) -> str:
        """The Server header; the base class would tell the version of Python."""
        return "llm-serving-engine"

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; the engine's log is for requests."""

    @property
    def _health(self) -> HealthServer:
        assert isinstance(self.server, HealthServer)
        return self.server

    def _answer(self, good: bool, body: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body)

    def _send(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._write(status, (json.dumps(body) + "\n").encode(), _JSON)

    def _write(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
