"""The settings as the Pulumi engine hands them to the running program."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret

from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from stacks.settings.common import NAMESPACE
from stacks.settings.models import in_file
from stacks.settings.resolve import Stack, refuse_unpushed, resolve
from stacks.settings.secrets import SECRETS, parse_with_secrets

_FILLED = frozenset({"account", "project", "region"})
"""Keys that the engine fills with an empty text where they are not given: `Pulumi.yaml` declares them."""


def current_stack() -> Stack:
    """The stack that is being previewed or updated.

    Raises:
        pulumi.RunError: with every refused value, its file and its property path.
    """
    source = f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        settings = parse_with_secrets(_settings_data(source), source, _is_encrypted)
        return refuse_unpushed(resolve(settings, source))
    except ProblemsError as error:
        raise pulumi.RunError(f"the settings of stack {pulumi.get_stack()!r} are refused\n{error}") from None


def _is_encrypted(path: str, _value: Any) -> bool:
    """An object with an encrypted value in it is a secret as a whole."""
    return is_config_secret(f"{NAMESPACE}:{path.partition('.')[0]}")


def _settings_data(source: str) -> dict[str, Any]:
    values: Mapping[str, Any] = CONFIG.get() or get_config_env()
    data: dict[str, Any] = {}
    for full_key, value in values.items():
        namespace, _, key = full_key.partition(":")
        if namespace != NAMESPACE:
            continue
        data[key] = value if key in SECRETS else _value(value)
        if is_config_secret(full_key) and not _holds_secret(key, data[key]):
            problem = Problem(
                key,
                None,
                "is a secret, but settings appear in plans and outputs",
                Suggestion("set it in the clear", needs=Needs.COMMAND),
            )
            raise ProblemsError([in_file(problem)], source)
    return {key: value for key, value in data.items() if value != "" or key not in _FILLED}


def _holds_secret(key: str, value: Any) -> bool:
    """Whether a key is a secret, or its value an object with one."""
    inner: dict[str, Any] = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    return key in SECRETS or any(f"{key}.{name}" in SECRETS for name in inner)


def _value(text: Any) -> Any:
    """Objects and lists arrive as JSON, scalars as they are."""
    if not isinstance(text, str) or text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a text that begins like one
