"""One address in front of all models: keys, limits, budgets, cache, guardrails and fallback, before a model is asked.

The path of a request: client, edge of the proxy, LiteLLM, internal listener of the proxy, router of a release (or its
Service), engine. ``docs/gateway.md`` explains it.
"""

from llm_serving.gateway.gateway import Gateway, GatewayArgs
from llm_serving.gateway.proxy import GatewayProxy, GatewayProxyArgs
from llm_serving.gateway.redis import Redis, RedisArgs
from llm_serving.gateway.router import ReleaseRouter, ReleaseRouterArgs
from llm_serving.gateway.routes import ModelRoute, ModelRouteArgs

__all__ = [
    "Gateway",
    "GatewayArgs",
    "GatewayProxy",
    "GatewayProxyArgs",
    "ModelRoute",
    "ModelRouteArgs",
    "Redis",
    "RedisArgs",
    "ReleaseRouter",
    "ReleaseRouterArgs",
]
