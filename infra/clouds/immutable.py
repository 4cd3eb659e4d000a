"""What may not change in the life of a stack.

A change of region or of a network range replaces everything, models and data included, and no cloud says so before it
is too late. The stack's own outputs of its last update are compared with the settings, and a difference is an error at
preview, before any resource is registered.
"""

import pulumi

from infra.last_update import last_outputs
from llm_serving.arguments import parse
from stacks.outputs import FixedOutputs
from stacks.settings import NAMESPACE, Stack
from stacks.settings.common import REDIS_STORAGE_CLASS


def refuse_changes_of_fixed_settings(stack: Stack) -> None:
    """Compare the fixed settings with those of the last update.

    Raises:
        pulumi.RunError: a fixed setting differs.
    """
    fixed = stack.settings.fixed
    before = parse(FixedOutputs, last_outputs(), "outputs of the last update").fixed
    changed = {key: value for key, value in before.items() if fixed.get(key, value) != value}
    if changed:
        raise pulumi.RunError("\n".join(_refusal(stack, key, fixed[key], value) for key, value in changed.items()))


def _refusal(stack: Stack, key: str, value: str, before: str) -> str:
    owner, end = _OWNERS.get(key, _STACK)
    return (
        f"{stack.source}: {NAMESPACE}:{key} = {value!r}: fixed for the life of {owner}, and it was {before!r} "
        f"(try: put it back, or {end})"
    )


_STACK = ("a stack", "make a new stack with `pulumi stack init`")
_OWNERS = {
    REDIS_STORAGE_CLASS: (
        "its disk",
        "first an update without gateway.redis.limits, which forgets what was counted, then one with the new class",
    )
}
"""Whose life ends a setting's, and what ends that, where it is not the stack."""
