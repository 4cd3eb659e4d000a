"""LiteLLM's own configuration, written from ours at each start.

Every model is two groups of LiteLLM: its name, with the weighted back end, and its name with ``STABLE``, which only
fallbacks lead to. Limits, budgets and keys are not in it: they are ours.
"""

from collections.abc import Mapping
from typing import Any

from llm_serving_gateway.configuration import Configuration, Model, Task

STABLE = "#stable"
"""What the name of a model's second group ends with. No name that a client may send has it."""

AUTHENTICATION = "llm_serving_gateway.authentication.authenticate"
CALLBACK = "llm_serving_gateway.hooks.callback"

_MODES = {Task.CHAT: "chat", Task.EMBED: "embedding", Task.CLASSIFY: "rerank"}


def render(configuration: Configuration) -> Mapping[str, Any]:
    """What LiteLLM reads as its configuration file."""
    groups = [
        _group(model, name, str(url))
        for model in configuration.models
        for name, url in ((model.name, model.weighted_url), (model.name + STABLE, model.stable_url))
    ]
    fallbacks = [{model.name: [model.name + STABLE, *model.fallbacks]} for model in configuration.models]
    return {
        "model_list": groups,
        "litellm_settings": {
            "callbacks": [CALLBACK],
            "drop_params": False,
            "telemetry": False,
            "turn_off_message_logging": True,
            "redact_user_api_key_info": True,
            "disable_end_user_cost_tracking": True,
        },
        "router_settings": {
            "num_retries": configuration.retries.attempts,
            "retry_after": 0,
            "fallbacks": fallbacks,
            "disable_cooldowns": True,
        },
        "general_settings": {
            "custom_auth": AUTHENTICATION,
            "disable_spend_logs": True,
            "disable_error_logs": True,
            "allow_client_side_credentials": False,
        },
    }


def _group(model: Model, name: str, url: str) -> Mapping[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {
            "model": f"hosted_vllm/{model.name}",
            "api_base": url.rstrip("/"),
            # Engines behind the gateway know no keys; without one LiteLLM would look for OpenAI's in the environment.
            "api_key": "none",
            "timeout": model.timeouts.total_seconds,
            "stream_timeout": model.timeouts.first_token_seconds,
            "input_cost_per_token": model.usd_per_million_input_tokens / 1e6,
            "output_cost_per_token": model.usd_per_million_output_tokens / 1e6,
        },
        "model_info": {"mode": _MODES[model.task], "max_input_tokens": model.context_tokens},
    }
