"""Keys by which hosted providers know the gateway: one secret of the stack, a JSON object by the providers' names."""

import json
from typing import Any, cast

import pulumi

from stacks.settings.common import NAMESPACE
from stacks.settings.secrets import HOSTED_KEYS


def hosted_keys() -> pulumi.Output[dict[str, str]]:
    """The keys. No message repeats one."""
    return pulumi.Config().require_secret(HOSTED_KEYS).apply(_parse)


def _parse(text: str) -> dict[str, str]:
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        keys = cast(dict[Any, Any], value)
        if all(isinstance(key, str) and key for key in keys.values()):
            return keys
    # Without a cause, which would repeat the text.
    reason = 'not a JSON object of keys by provider, such as {"together": "..."}'
    raise pulumi.RunError(f"{NAMESPACE}:{HOSTED_KEYS}: {reason}") from None
