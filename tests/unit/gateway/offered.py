"""A gateway with everything set, as arguments of the component."""

import hashlib
from typing import Any

KEY = "sk-llm-0123456789012345678901234567890123456789012"
HOSTED_KEY = "made-up"
IMAGES = {
    "image": {"repository": "registry.example/gateway", "tag": "0.1.0"},
    "proxy_image": {"repository": "registry.example/proxy", "tag": "3.7.15"},
    "router_image": {"repository": "registry.example/router", "tag": "0.1.17"},
    "redis_image": {"repository": "registry.example/redis", "tag": "7.0.15"},
}
SETTINGS: dict[str, Any] = {
    **IMAGES,
    "namespace": "llm-gateway",
    "host": "llm.example.com",
    "tls": {"secret_name": "llm-example-com"},
    "models": [
        {
            "name": "qwen",
            "fallbacks": ["phi"],
            "price": {"usd_per_million_input_tokens": 0.1, "usd_per_million_output_tokens": 0.4},
            "timeouts": {"total_seconds": 900.5},
        }
    ],
    "keys": [
        {
            "name": "search",
            "sha256": hashlib.sha256(KEY.encode()).hexdigest(),
            "team": "chat",
            "models": ["qwen"],
            "requests_per_minute": 60,
            "tokens_per_minute": 10_000,
            "parallel_requests": 4,
            "budget": {"usd": 100.0, "days": 30},
            "expires": "2027-01-01T00:00:00Z",
            "service_class": "batch",
            "cache_scope": "team",
        }
    ],
    "redis": {"limits": {"storage_gib": 4}, "cache": {"memory_mib": 512}},
    "postgres": {
        "host": "keys.example.com",
        "secret_name": "keys-database",
        "ca_secret_name": "keys-authority",
        "addresses": ["10.9.7.0/24"],
        "cache_seconds": 60,
    },
    "cache": {"ttl_seconds": 60, "scope": "team"},
    "breaker": {"min_requests": 20, "slow_seconds": 15.0},
    "guardrails": {
        "input": ["email", "credit-card"],
        "output": ["api-key"],
        "action": "block",
        "prompt_injection": True,
    },
    "queue": {"workers": 3, "webhooks": {"hosts": ["hooks.example.com", "*.example.org:8443"]}},
}
HOSTED: list[Any] = [
    {
        "name": "together",
        "url": "https://api.together.example/v1",
        "teams": ["chat"],
        "models": [
            {
                "model": "qwen",
                "name": "Qwen/Qwen3-8B",
                "context_tokens": 4096,
                "price": {"usd_per_million_input_tokens": 0.2, "usd_per_million_output_tokens": 0.8},
            }
        ],
        "budget": {"usd": 50.0, "days": 7},
    },
    {
        "name": "elsewhere",
        "url": "http://gateway.other.example:8080/v1",
        "secret_name": "other-stack",
        "addresses": ["10.8.0.0/16"],
        "teams": ["chat", "search"],
        "models": [
            {
                "model": "qwen",
                "name": "qwen",
                "price": {"usd_per_million_input_tokens": 0.1, "usd_per_million_output_tokens": 0.4},
            }
        ],
        "budget": {"tokens": 1_000_000},
    },
]
"""Providers, of which the first has its key from the stack."""
MODELS: list[Any] = [
    {"name": "qwen", "context_tokens": 8192, "service_class": "critical"},
    {"name": "phi", "context_tokens": 4096, "routing": "service"},
    {"name": "bge", "context_tokens": 512, "task": "embed"},
]


def arguments(settings: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Arguments of ``Gateway``; ``settings`` are changes of the gateway's, the others of the component's."""
    gateway = {**SETTINGS, **(settings or {})}
    signed = {"webhook_secret": "hunter4"} if (gateway["queue"] or {}).get("webhooks") else {}
    return {"gateway": gateway, "models": MODELS, **signed, **changes}
