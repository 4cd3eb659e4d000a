"""Where a stack runs. One module a cloud; each returns the same :class:`Platform`."""

from clouds.existing import bring_up_existing
from clouds.gcp import bring_up_gcp
from clouds.immutable import refuse_changes_of_what_is_fixed
from clouds.platform import Platform
from stacks.settings import ExistingSettings, Stack

__all__ = ["Platform", "bring_up"]


def bring_up(stack: Stack) -> Platform:
    """Everything below the models, on the cloud that the settings name."""
    refuse_changes_of_what_is_fixed(stack)
    if isinstance(stack.settings, ExistingSettings):
        return bring_up_existing(stack, stack.settings)
    return bring_up_gcp(stack, stack.settings)
