"""Which add-ons a stack installs."""

from collections.abc import Sequence

from llm_serving.addons import table
from llm_serving.addons.addon import Addon, AddonProvider
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec import AddonSource, AddonsSpec, ModelSpec


def plan_addons(settings: AddonsSpec, models: Sequence[ModelSpec], cloud: Cloud) -> tuple[Addon, ...]:
    """What a model needs and nobody else brings, in the order of the table."""
    return tuple(
        addon
        for addon in table.ADDONS
        if addon.providers[cloud.name] is AddonProvider.STACK
        and getattr(settings, addon.name) is AddonSource.INSTALL
        and any(map(addon.needed_by, models))
    )
