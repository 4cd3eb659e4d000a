"""LiteLLM's own configuration, written from ours at each start.

Every model is one group of LiteLLM. Behind its address our transport asks the weighted and the stable back end, with
retries and time-outs (:mod:`llm_serving_gateway.backend_transport`); LiteLLM goes over to other models. Limits, budgets
keys, kept answers and guardrails are not in it: they are ours.
"""

from collections.abc import Mapping
from typing import Any

from llm_serving_gateway.configuration import Configuration, Model, Task
from llm_serving_gateway.hosted import Hosted, all_hosted
from llm_serving_gateway.prices import Priced

MARGIN_SECONDS = 10
"""LiteLLM's time-outs are above ours, which come first."""

AUTHENTICATION = "llm_serving_gateway.authentication.authenticate"
CALLBACK = "llm_serving_gateway.hooks.callback"

_MODES = {Task.CHAT: "chat", Task.EMBED: "embedding", Task.CLASSIFY: "rerank"}


def render(configuration: Configuration) -> Mapping[str, Any]:
    """What LiteLLM reads as its configuration file."""
    hosted = [*all_hosted(configuration)]
    models = {model.name: model for model in configuration.models}
    ways = {
        name: [*model.fallbacks, *(each.group for each in hosted if each.model.model == name)]
        for name, model in models.items()
    }
    fallbacks = [{name: names} for name, names in ways.items() if names]
    return {
        "model_list": [
            *(_group(model) for model in configuration.models),
            *(_hosted_group(each, models[each.model.model]) for each in hosted),
        ],
        "litellm_settings": {
            "callbacks": [CALLBACK],
            "drop_params": False,
            "telemetry": False,
            "turn_off_message_logging": True,
            "redact_user_api_key_info": True,
            "disable_end_user_cost_tracking": True,
        },
        "router_settings": {
            "num_retries": 0,
            "fallbacks": fallbacks,
            "context_window_fallbacks": fallbacks,
            # It counts every model that is asked, also those that others lead to, and would end after five.
            "max_fallbacks": len(models) + len(hosted) + 1,
            "disable_cooldowns": True,
        },
        "general_settings": {
            "custom_auth": AUTHENTICATION,
            "disable_spend_logs": True,
            "disable_error_logs": True,
            "allow_client_side_credentials": False,
        },
    }


def _group(model: Model) -> Mapping[str, Any]:
    return _entry(model.name, model, str(model.weighted_url), model, model.context_tokens)


def _hosted_group(hosted: Hosted, model: Model) -> Mapping[str, Any]:
    """A provider's model. What it is called there, and the key, our transport puts in: LiteLLM knows neither."""
    return _entry(hosted.group, model, hosted.base, hosted.model, hosted.model.context_tokens)


def _entry(name: str, model: Model, url: str, priced: Priced, context_tokens: int) -> Mapping[str, Any]:
    timeouts = model.timeouts
    seconds = timeouts.wake_seconds + timeouts.total_seconds + MARGIN_SECONDS
    return {
        "model_name": name,
        "litellm_params": {
            "model": f"hosted_vllm/{name}",
            "api_base": url.rstrip("/"),
            # Engines behind the gateway know no keys; without one LiteLLM would look for OpenAI's in the environment.
            "api_key": "none",
            "timeout": seconds,
            "stream_timeout": seconds,
            "max_retries": 0,
            "input_cost_per_token": priced.usd_per_million_input_tokens / 1e6,
            "output_cost_per_token": priced.usd_per_million_output_tokens / 1e6,
        },
        "model_info": {"mode": _MODES[model.task], "max_input_tokens": context_tokens},
    }
