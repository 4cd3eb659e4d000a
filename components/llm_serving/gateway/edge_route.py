"""Which paths clients may use. Everything else of LiteLLM (keys, users, configuration, pages) is not reached at all."""

from typing import Any

POST_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank")
GET_PREFIX = "/v1/models"
"""The list of models, and each of them below it."""


def spec(parent: dict[str, Any], host: str | None, service: str, port: int) -> dict[str, Any]:
    """Spec of the HTTPRoute from the edge to a Service of its namespace."""
    matches = [{"path": {"type": "Exact", "value": path}, "method": "POST"} for path in POST_PATHS]
    matches.append({"path": {"type": "PathPrefix", "value": GET_PREFIX}, "method": "GET"})
    return {
        "parentRefs": [parent],
        **({} if host is None else {"hostnames": [host]}),
        "rules": [{"matches": matches, "backendRefs": [{"name": service, "port": port}]}],
    }
