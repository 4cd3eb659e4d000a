"""Which add-ons a stack installs, and which of a cloud's own it reads."""

from collections.abc import Sequence

from llm_serving.addons import table
from llm_serving.addons.addon import Addon, AddonProvider
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec import AddonSource, AddonsSpec, GatewaySpec, GpuExporterSpec, ModelSpec, Pool


def plan_addons(
    settings: AddonsSpec,
    models: Sequence[ModelSpec],
    pools: Sequence[Pool],
    cloud: Cloud,
    gateway: GatewaySpec | None = None,
) -> tuple[Addon, ...]:
    """What a model or the gateway needs and nobody else brings, in the order of the table."""
    return tuple(
        addon
        for addon in table.ADDONS
        if addon.providers[cloud.name] is AddonProvider.STACK
        and getattr(settings, addon.name) is AddonSource.INSTALL
        and ((gateway is not None and addon.needed_by_gateway(gateway)) or pools_that_need(addon, models, pools))
    )


def pools_that_need(addon: Addon, models: Sequence[ModelSpec], pools: Sequence[Pool]) -> list[Pool]:
    """The pools with a model that needs the add-on."""
    return [pool for pool in pools if any(m.pool == pool.name and addon.needed_by(m, pool) for m in models)]


def read_gpu_exporter(
    settings: AddonsSpec, models: Sequence[ModelSpec], pools: Sequence[Pool], cloud: Cloud
) -> GpuExporterSpec | None:
    """The cloud's exporter of GPUs' utilization, where a model needs it and the Prometheus of the stack reads it."""
    if gpu_exporter_provider(settings, cloud) is not AddonProvider.CLOUD:
        return None
    return cloud.gpu_exporter if pools_that_need(table.DCGM_EXPORTER, models, pools) else None


def gpu_exporter_provider(settings: AddonsSpec, cloud: Cloud) -> AddonProvider:
    """Who brings the utilization of GPUs that no launcher reports to the Prometheus that scales. A cloud's exporter is
    read by the Prometheus of the stack; what somebody else's reads is theirs."""
    if settings.dcgm_exporter is AddonSource.EXISTING:
        return AddonProvider.USER
    provider = table.DCGM_EXPORTER.providers.get(cloud.name, AddonProvider.USER)
    is_read = provider is not AddonProvider.CLOUD or settings.monitoring is AddonSource.INSTALL
    return provider if is_read else AddonProvider.USER
