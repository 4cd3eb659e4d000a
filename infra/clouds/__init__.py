"""Where a stack runs. One module a cloud, with its :class:`Cloud`; what is the same everywhere is in ``platform``."""

from infra.clouds.existing import ExistingCloud
from infra.clouds.gcp import GoogleCloud
from infra.clouds.immutable import refuse_changes_of_fixed_settings
from infra.clouds.platform import Access, Platform, build_platform
from stacks.settings import ExistingSettings, Stack

__all__ = ["Access", "Platform", "bring_up"]


def bring_up(stack: Stack) -> Platform:
    """Everything below the models, on the cloud that the settings name."""
    refuse_changes_of_fixed_settings(stack)
    if isinstance(stack.settings, ExistingSettings):
        return build_platform(ExistingCloud(stack.settings))
    return build_platform(GoogleCloud(stack, stack.settings))
