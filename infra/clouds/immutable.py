"""What may not change in the life of a stack.

A change of region or of a network range replaces everything, models and data included, and no cloud says so before it
is too late. The stack's own outputs of its last update are compared with the settings, and a difference is an error at
preview, before any resource is registered.
"""

import time
from typing import Any

import pulumi

from llm_serving.arguments import parse
from stacks.outputs import FixedOutputs
from stacks.settings import NAMESPACE, Stack

RETRY_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to read the state."""


def refuse_changes_of_fixed_settings(stack: Stack) -> None:
    """Compare the fixed settings with those of the last update.

    Raises:
        pulumi.RunError: a fixed setting differs.
    """
    fixed = stack.settings.fixed
    before = parse(FixedOutputs, last_outputs(), "outputs of the last update").fixed
    changed = {key: value for key, value in before.items() if fixed.get(key, value) != value}
    if changed:
        lines = [
            f"{stack.source}: {NAMESPACE}:{key} = {fixed[key]!r}: fixed for the life of a stack, and it was {value!r} "
            "(try: put it back, or make a new stack with `pulumi stack init`)"
            for key, value in changed.items()
        ]
        raise pulumi.RunError("\n".join(lines))


def last_outputs() -> dict[str, Any]:
    """Outputs of this stack's last update; empty before the first.

    The engine's own function, which a ``StackReference`` uses too. A reference to the stack itself would be a resource
    whose outputs change with each update, and every ``pulumi refresh`` would report it as drift.

    The engine saves the first steps of this update at the same time, and a backend in a local folder (``file://``) is
    not written atomically: half a checkpoint is read again.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for pause in (*RETRY_PAUSES, None):
        try:
            result = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
        except Exception as error:
            if pause is None or "checkpoint" not in str(error):
                raise
            time.sleep(pause)
        else:
            return (result.value or {}).get("outputs") or {}
    raise AssertionError("the last attempt returns or raises")
