"""Where a stack runs. One module a cloud, with its :class:`Cloud`; what is the same everywhere is in ``platform``.

A cloud's module is imported only where a stack runs on it: the cloud's SDK takes a second and a hundred megabytes, and
is an extra of the package that need not be installed.
"""

from infra.clouds.immutable import refuse_changes_of_fixed_settings
from infra.clouds.platform import Access, Platform, build_platform
from stacks.settings import ExistingSettings, GcpSettings, Stack

__all__ = ["Access", "Platform", "bring_up"]


def bring_up(stack: Stack) -> Platform:
    """Everything below the models, on the cloud that the settings name."""
    refuse_changes_of_fixed_settings(stack)
    if isinstance(stack.settings, ExistingSettings):
        from infra.clouds.existing import ExistingCloud

        return build_platform(ExistingCloud(stack.settings))
    if isinstance(stack.settings, GcpSettings):
        from infra.clouds.gcp import GoogleCloud

        return build_platform(GoogleCloud(stack, stack.settings))
    from infra.clouds.aws import AmazonCloud

    return build_platform(AmazonCloud(stack, stack.settings))
