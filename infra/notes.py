"""What a user should know although nothing is refused, as warnings of a preview."""

import pulumi

from stacks.settings import Stack


def warn_of_notes(stack: Stack) -> None:
    """The notes of ``stacks check``, once each: ``pulumi up`` runs the program for its preview and again for the
    update."""
    if pulumi.runtime.is_dry_run():
        for note in stack.notes:
            pulumi.log.warn(str(note))
