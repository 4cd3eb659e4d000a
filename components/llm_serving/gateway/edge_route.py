"""Which paths clients may use. Everything else of LiteLLM (keys, users, configuration, pages) is not reached at all."""

from typing import Any

POST_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank")
GET_PREFIX = "/v1/models"
"""The list of models, and each of them below it."""


QUEUE_PREFIXES = {
    "/v1/queue/requests": ("POST",),
    "/v1/queue": ("GET",),
    "/v1/files": ("GET", "POST", "DELETE"),
    "/v1/batches": ("GET", "POST"),
}
"""Paths of requests without a connection, each with all below it, and their methods."""


def spec(parent: dict[str, Any], host: str | None, service: str, port: int, *, queue: bool = False) -> dict[str, Any]:
    """Spec of the HTTPRoute from the edge to a Service of its namespace.

    Args:
        parent: the Gateway.
        host: that clients use; ``None`` for any.
        service: that answers, and ``port`` likewise.
        queue: there are requests without a connection.
    """
    matches = [{"path": {"type": "Exact", "value": path}, "method": "POST"} for path in POST_PATHS]
    matches.append({"path": {"type": "PathPrefix", "value": GET_PREFIX}, "method": "GET"})
    if queue:
        matches += [
            {"path": {"type": "PathPrefix", "value": path}, "method": method}
            for path, methods in QUEUE_PREFIXES.items()
            for method in methods
        ]
    return {
        "parentRefs": [parent],
        **({} if host is None else {"hostnames": [host]}),
        "rules": [{"matches": matches, "backendRefs": [{"name": service, "port": port}]}],
    }
