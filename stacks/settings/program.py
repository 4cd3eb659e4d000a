"""The settings as the Pulumi engine hands them to the running program."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret

from llm_serving.errors import Problem, ProblemsError
from stacks.settings.models import NAMESPACE, in_file, parse_settings
from stacks.settings.resolve import Stack, refuse_unpushed, resolve
from stacks.settings.secrets import SECRETS, check_secrets


def current_stack() -> Stack:
    """The stack that is being previewed or updated.

    Raises:
        pulumi.RunError: with every refused value, its file and its property path.
    """
    source = f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        settings = parse_settings(_settings_data(source), source)
        problems = [*check_secrets(settings, _given_secrets())]
        if problems:
            raise ProblemsError(map(in_file, problems), source)
        return refuse_unpushed(resolve(settings, source))
    except ProblemsError as error:
        raise pulumi.RunError(f"the settings of stack {pulumi.get_stack()!r} are refused\n{error}") from None


def _given_secrets() -> dict[str, bool]:
    """The secret keys of the stack's file, and whether each is encrypted."""
    keys = {f"{NAMESPACE}:{key}": key for key in SECRETS}
    values: Mapping[str, Any] = CONFIG.get() or get_config_env()
    return {key: is_config_secret(full_key) for full_key, key in keys.items() if full_key in values}


def _settings_data(source: str) -> dict[str, Any]:
    values: Mapping[str, Any] = CONFIG.get() or get_config_env()
    data: dict[str, Any] = {}
    for full_key, value in values.items():
        namespace, _, key = full_key.partition(":")
        if namespace != NAMESPACE or key in SECRETS:
            continue
        if is_config_secret(full_key):
            problem = Problem(key, None, "is a secret, but settings appear in plans and outputs", "set it in the clear")
            raise ProblemsError([in_file(problem)], source)
        data[key] = _value(value)
    # The engine fills declared keys with their defaults; an empty text means "not given".
    return {key: value for key, value in data.items() if value != ""}


def _value(text: Any) -> Any:
    """Objects and lists arrive as JSON, scalars as they are."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        return json.loads(text)
    return text
