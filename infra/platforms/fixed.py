"""What may not change in the life of a stack.

A change of region or of a network range replaces everything, models and data included, and no cloud says so before it
is too late. The stack's own outputs of its last update are compared with the settings, and a difference is an error at
preview.
"""

import pulumi

from stacks.settings import NAMESPACE, Stack


def unchanged(stack: Stack) -> pulumi.Output[dict[str, str]]:
    """The fixed settings, once it is certain that they are what they were. Providers take their arguments from here,
    so that nothing is touched where something differs.

    Raises:
        pulumi.RunError: when the output is resolved and a fixed setting differs.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    last = pulumi.StackReference("last-update", stack_name=name)
    return last.outputs.apply(lambda outputs: _checked(outputs.get("fixed") or {}, stack))


def _checked(before: dict[str, str], stack: Stack) -> dict[str, str]:
    now = stack.fixed
    changed = [key for key, value in before.items() if key in now and now[key] != value]
    if changed:
        lines = [
            f"{stack.source}: {NAMESPACE}:{key} = {now[key]!r}: fixed for the life of a stack, and it was "
            f"{before[key]!r} (try: put it back, or make a new stack with `pulumi stack init`)"
            for key in changed
        ]
        raise pulumi.RunError("\n".join(lines))
    return now
