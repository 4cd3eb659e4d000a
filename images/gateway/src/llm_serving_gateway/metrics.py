"""Metrics of the gateway, on a port of their own, without a key: they name models, keys and teams, never contents."""

from prometheus_client import (  # pyright: ignore[reportMissingImports]
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)

from llm_serving_gateway.keys import KeyState
from llm_serving_gateway.limits import BudgetTable, Limiter
from llm_serving_gateway.requests import HeldBytes

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Those of one process that concern clients. What has no key yet (401, 404) counts under empty labels."""

    def __init__(self) -> None:
        who = ("model", "key", "team")
        self.requests = self._counter("requests", "Requests that ended, by the client's status", *who, "status")
        self.refused = self._counter("limit_refusals", "Requests refused by a limit", "kind", *who)
        self.tokens = self._counter("tokens", "Tokens of answered requests, as engines counted them", *who, "direction")
        self.in_flight = self._gauge("requests_in_flight", "Requests that run", "model")
        self.seconds = Histogram(
            "llm_gateway_request_seconds",
            "From the request to the last byte of its answer",
            ("model",),
            buckets=_SECONDS,
        )

    def watch(self, keys: KeyState, limiter: Limiter, held: HeldBytes, budgets: BudgetTable | None = None) -> None:
        """Show the state of keys, limits and bodies, whenever it is asked for."""
        for name, text, value in (
            ("key_file_current", "1 if the newest file of keys counts", lambda: keys.is_current),
            ("key_file_versions_refused", "Broken versions of the file of keys so far", lambda: keys.refused_versions),
            ("keys", "Keys of the file that counts", lambda: keys.keys),
            ("requests_unsettled", "Ended requests that Redis has not counted yet", lambda: limiter.unsettled),
            ("body_bytes", "Bytes of the bodies of requests that run or arrive", lambda: held.now),
            (
                "budgets_unwritten",
                "Budgets that the table does not know yet",
                lambda: budgets.unwritten if budgets else 0,
            ),
        ):
            self._gauge(name, text).set_function(value)

    def serve(self, host: str, port: int) -> None:
        """Answer ``/metrics`` in a thread of this process."""
        start_http_server(port, host)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"llm_gateway_{name}", text, labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"llm_gateway_{name}", text, labels)
