"""Names and ports by which the parts of the gateway find each other, and pure functions of them."""

from llm_serving.planning.replicas import object_name

LITELLM = "litellm"
"""Deployment and Service of LiteLLM."""
LITELLM_PORT = 4000
LITELLM_METRICS_PORT = 4001

WORKER = "worker"
"""Deployment of the queue's workers."""

PROXY = "proxy"
"""Deployment of the Gateway API proxy."""
EDGE_SERVICE = "gateway"
"""Service of the proxy that clients use."""
EDGE_SERVICE_HTTP_PORT = 80
EDGE_SERVICE_HTTPS_PORT = 443
"""Its ports, which lead to those of ``gateway_access``."""
EDGE_GATEWAY, EDGE_HTTPS_LISTENER, EDGE_HTTP_LISTENER = "edge", "https", "http"
"""The Gateway that clients reach, and its listeners."""
EDGE_CERTIFICATE = "gateway-certificate"
"""Secret with the certificate that cert-manager makes for it."""
MODELS_SERVICE = "models"
"""Service of the proxy's internal listener, which weights the releases of a model."""
MODELS_PORT = 8081
PROXY_METRICS_PORT = 8082

REDIS_LIMITS = "redis-limits"
REDIS_CACHE = "redis-cache"
REDIS_SERVICES = {"limits": REDIS_LIMITS, "cache": REDIS_CACHE}
"""Workload and Service of each, by what it holds."""
REDIS_PORT = 6379


def router_name(model: str, version: str) -> str:
    """Deployment and Service of a release's router, in the team's namespace: ``qwen3-8b-1-4-0-router``."""
    return f"{object_name(model, version)}-router"


def service_host(name: str, namespace: str) -> str:
    """Name under which pods of any namespace find a Service."""
    return f"{name}.{namespace}.svc"


def certificate_secret(service: str) -> str:
    """Secret with the certificate that cert-manager makes for a Redis."""
    return f"{service}-certificate"


def authority_folder(service: str) -> str:
    """Where LiteLLM's pods have the certificate of its authority."""
    return f"/etc/llm-serving/{service}"


def weighted_url(namespace: str, model: str) -> str:
    """Where LiteLLM asks a model: all of its releases, by their weights."""
    return f"http://{service_host(MODELS_SERVICE, namespace)}:{MODELS_PORT}/{model}/v1"


def stable_url(namespace: str, model: str) -> str:
    """Where LiteLLM asks a model whose weighted route failed: the stable release alone."""
    return f"http://{service_host(MODELS_SERVICE, namespace)}:{MODELS_PORT}/{model}/stable/v1"
