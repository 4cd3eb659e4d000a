"""Which quotas the GPU pools of a stack need, and how much of each. Asking the cloud what it grants is not
done here."""

from collections.abc import Iterable, Sequence
from typing import Any

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import QuotaMetric
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec import RESERVED_MARKETS, CapacityEntry, Market, Pool

GLOBAL = "global"


class Quota(Frozen):
    """A quota that must be at least this large, on top of what else uses it.

    Attributes:
        name: the cloud's name of the quota.
        region: the region it counts in, or ``global``.
        amount: what the stack needs at its maximum. Upgrades need no more: GPU nodes go before their successors come.
        why: the sum, in words.
        unit: ``gpu`` or ``vcpu``.
        code: AWS's quota code; empty on GCP.
    """

    name: str
    region: str
    amount: int
    why: str
    unit: str = "gpu"
    code: str = ""


def gpu_quotas(cloud: Cloud, region: str, pools: Sequence[Pool]) -> list[Quota]:
    """Quotas that the pools count against at their maxima, in the order of first use.

    Reservations need none when they are used; machines that the catalog does not know are left out, since
    rules refuse them anyway.
    """
    return capacity_quotas(cloud, region, [(pool.name, entry) for pool in pools for entry in pool.capacity])


def capacity_quotas(cloud: Cloud, region: str, capacity: Iterable[tuple[str, CapacityEntry]]) -> list[Quota]:
    """The same of capacity entries, each with the name of its pool."""
    shares: dict[QuotaMetric, list[tuple[int, str]]] = {}
    gpus: list[tuple[int, str]] = []
    for pool, entry in capacity:
        machine = cloud.machine(entry)
        if machine is None or entry.market in RESERVED_MARKETS:
            continue
        text = f"{pool}: {entry.max} x {machine.name}"
        if machine.gpus:
            gpus.append((entry.max * machine.gpus, text))
        metric = catalog.quota_metric(cloud.name, machine.series, entry.market)
        if metric is not None:
            amount = entry.max * (machine.gpus if metric.unit == "gpu" else machine.vcpus)
            shares.setdefault(_key(metric), []).append((amount, text))
    quotas = [
        Quota(name=metric.name, region=region, unit=metric.unit, code=metric.code, **_sum(parts))
        for metric, parts in shares.items()
    ]
    if gpus and cloud.all_regions_gpu_quota is not None:
        quotas.append(Quota(name=cloud.all_regions_gpu_quota, region=GLOBAL, **_sum(gpus)))
    return quotas


def _key(metric: QuotaMetric) -> QuotaMetric:
    """Series and markets that share a quota are one."""
    return metric.model_copy(update={"series": "", "market": Market.ON_DEMAND})


def _sum(parts: list[tuple[int, str]]) -> dict[str, Any]:
    return {
        "amount": sum(amount for amount, _ in parts),
        "why": "; ".join(f"{text} = {amount}" for amount, text in parts),
    }
