"""What a model's instances cost an hour: their share of the nodes that they run on.

A part of a shared GPU costs that part of it. Unknown prices stay unknown. What nodes cost whether they are full or not
is ``cost``.
"""

from collections.abc import Sequence

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.cost import estimate
from llm_serving.planning.gpu_sharing import parts_of_gpu
from llm_serving.planning.replicas import plan_replicas
from llm_serving.spec import ModelSpec, Pool


class CapacityCost(Frozen):
    """Cost on one kind of capacity, in USD an hour; ``None`` where the price is not known.

    Attributes:
        market: on which terms; ``existing`` for existing nodes.
        machine_type: the cloud's name of the machine; empty for existing nodes.
        instance: one instance of the stable release.
        fewest, most: all instances at the fewest and at the most, if all were on this capacity.
        note: what to know of the price.
    """

    market: str
    machine_type: str
    instance: float | None
    fewest: float | None
    most: float | None
    note: str


def gpu_range(model: ModelSpec, gpus: Sequence[int]) -> tuple[int, int]:
    """GPUs of all releases and placeholders together, at the fewest and at the most instances.

    Args:
        model: the model as its stack sets it.
        gpus: GPUs of one instance of each release, the stable one first, in the order of ``plan_replicas``.
    """
    placeholders = model.warm_pool.placeholders * gpus[0]
    planned = list(zip(gpus, plan_replicas(model), strict=True))
    fewest = sum(size * instances.fewest for size, instances in planned)
    most = sum(size * instances.most for size, instances in planned)
    return fewest + placeholders, most + placeholders


def capacity_costs(cloud: Cloud, region: str, pool: Pool, model: ModelSpec, gpus: Sequence[int]) -> list[CapacityCost]:
    """A line for each kind of capacity of the model's pool, most preferred first. ``gpus`` as in :func:`gpu_range`."""
    fewest, most = gpu_range(model, gpus)
    costs: list[CapacityCost] = []
    for line in estimate(cloud, region, [pool]).lines:
        machine_gpus = catalog.machine_type(cloud.name, line.machine_type).gpus if line.machine_type else 0
        parts = machine_gpus * parts_of_gpu(pool.accelerator, pool.sharing)
        per_gpu = None if line.usd_per_hour is None or not parts else line.usd_per_hour / parts
        costs.append(
            CapacityCost(
                market=line.market,
                machine_type=line.machine_type,
                instance=_times(per_gpu, gpus[0]),
                fewest=_times(per_gpu, fewest),
                most=_times(per_gpu, most),
                note=line.note,
            )
        )
    return costs


def _times(price: float | None, gpus: int) -> float | None:
    return None if price is None else price * gpus
