"""What a model's instances cost an hour: their share of the nodes that they run on.

Unknown prices stay unknown. What nodes cost whether they are full or not is ``llm_serving.planning.cost``.
"""

from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.planning.cost import estimate
from llm_serving.planning.replicas import plan_replicas
from llm_serving.spec import Pool
from stacks.settings import ServedModel, Stack


@dataclass(frozen=True)
class CapacityCost:
    """Cost on one kind of capacity, in USD an hour; ``None`` where the price is not known.

    Attributes:
        market: on which terms; ``existing`` for nodes that are there.
        machine_type: the cloud's name of the machine; empty for nodes that are there.
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


def gpus_of(model: ServedModel) -> tuple[int, int]:
    """GPUs of all releases and placeholders together, at the fewest and at the most instances."""
    held = model.spec.warm_pool.placeholders * model.plan.gpus
    planned = list(zip(model.releases, plan_replicas(model.spec), strict=True))
    fewest = sum(served.plan.gpus * instances.replicas for served, instances in planned)
    most = sum(served.plan.gpus * instances.most for served, instances in planned)
    return fewest + held, most + held


def capacity_costs(stack: Stack, model: ServedModel, pool: Pool) -> list[CapacityCost]:
    """A line for each kind of capacity of the model's pool, most preferred first."""
    settings = stack.settings
    fewest, most = gpus_of(model)
    costs: list[CapacityCost] = []
    for line in estimate(stack.cloud, settings.region, [pool]).lines:
        machine_gpus = catalog.machine_type(settings.cloud, line.machine_type).gpus if line.machine_type else 0
        one = None if line.usd_per_hour is None or not machine_gpus else line.usd_per_hour / machine_gpus
        costs.append(
            CapacityCost(
                market=line.market,
                machine_type=line.machine_type,
                instance=_times(one, model.plan.gpus),
                fewest=_times(one, fewest),
                most=_times(one, most),
                note=line.note,
            )
        )
    return costs


def _times(price: float | None, gpus: int) -> float | None:
    return None if price is None else price * gpus
