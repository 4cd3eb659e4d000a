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
