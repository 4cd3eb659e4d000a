"""What the GPU pools of a stack cost an hour, as far as prices are known.

An estimate never guesses: a price that is not in the catalog stays unknown and is named, together with the
nearest region that has one. ``docs/cost-model.md`` describes prices and formulas.
"""

from collections.abc import Mapping, Sequence

from llm_serving.arguments import Frozen
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.prices import node_price
from llm_serving.spec import RESERVED_MARKETS, CapacityEntry, Pool
from llm_serving.spec.pool import NON_PREEMPTIBLE_MARKETS

HOURS_PER_MONTH = 730

LEFT_OUT = (
    "system nodes",
    "cluster fee",
    "boot disks and optional local SSDs",
    "NAT and network traffic",
    "load balancers",
    "storage of models and images",
    "logs and metrics",
)
"""What no estimate of this module contains."""


class NodesInUse(Frozen):
    """Nodes of a pool that its models' fewest instances and placeholders take.

    Attributes:
        base: of these, those of instances that run on capacity that is not taken away.
        all: all of them.
    """

    base: int = 0
    all: int = 0


class CostLine(Frozen):
    """Cost of one capacity entry. Amounts are ``None`` where the price is unknown; no nodes cost nothing.

    Attributes:
        pool: name of the pool.
        entry: index of the capacity entry in the pool.
        market: on which terms; ``existing`` for existing nodes.
        machine_type: the cloud's name of the machine; empty for existing nodes.
        min_nodes, max_nodes: fewest and most nodes that are paid for. The fewest is what the models' fewest instances
            take, and what a pool does not shrink below once pods have asked for as many.
        usd_per_hour: price of one node.
        min_usd_per_hour, max_usd_per_hour: cost of the fewest and of the most nodes.
        note: what to know of the price: why it is unknown and who has one, or what it assumes.
    """

    pool: str
    entry: int
    market: str
    machine_type: str
    min_nodes: int
    max_nodes: int
    usd_per_hour: float | None
    min_usd_per_hour: float | None
    max_usd_per_hour: float | None
    note: str = ""

    def usd_for(self, nodes: int) -> float | None:
        """Cost an hour of so many nodes; ``None`` where the price is unknown. No nodes cost nothing."""
        return _times(self.usd_per_hour, nodes)


class CostEstimate(Frozen):
    """Cost of all GPU pools.

    Attributes:
        lines: one for each capacity entry.
        min_usd_per_hour, max_usd_per_hour: sums over the lines whose price is known.
        unknown: what has no known price, one phrase each; the sums are lower bounds where this is not empty.
        left_out: what the estimate does not contain at all.
    """

    cloud: str
    region: str
    lines: tuple[CostLine, ...]
    min_usd_per_hour: float
    max_usd_per_hour: float
    unknown: tuple[str, ...]
    left_out: tuple[str, ...] = LEFT_OUT

    @property
    def complete(self) -> bool:
        """Every line has a price."""
        return not self.unknown

    @property
    def min_complete(self) -> bool:
        """The cost of the fewest nodes is known, not a lower bound."""
        return all(line.min_usd_per_hour is not None for line in self.lines)

    @property
    def min_usd_per_month(self) -> float:
        """Cost of a month (730 hours) at the pools' smallest sizes."""
        return round(self.min_usd_per_hour * HOURS_PER_MONTH, 2)

    @property
    def max_usd_per_month(self) -> float:
        """Cost of a month (730 hours) at the pools' largest sizes."""
        return round(self.max_usd_per_hour * HOURS_PER_MONTH, 2)


def estimate(
    cloud: Cloud, region: str, pools: Sequence[Pool], in_use: Mapping[str, NodesInUse] | None = None
) -> CostEstimate:
    """Cost of the pools between their fewest and their most nodes.

    A reservation is paid for whether its machines run or not, so its minimum is its maximum.

    Args:
        cloud: where the pools are.
        region: its region.
        pools: the pools.
        in_use: what models need at least of each pool, by its name: a pool with a minimum of 0 nodes has some all the
            same while a model of it serves. They are taken from the most preferred capacity.
    """
    needed = in_use or {}
    lines = tuple(line for pool in pools for line in _lines(cloud, region, pool, needed.get(pool.name, NodesInUse())))
    return CostEstimate(
        cloud=cloud.name,
        region=region,
        lines=lines,
        min_usd_per_hour=round(sum(line.min_usd_per_hour or 0 for line in lines), 4),
        max_usd_per_hour=round(sum(line.max_usd_per_hour or 0 for line in lines), 4),
        unknown=tuple(
            f"{line.pool}: {line.machine_type or 'existing nodes'} {line.market}: {line.note}"
            for line in lines
            if line.usd_per_hour is None
        ),
    )


def fewest_nodes(pool: Pool, in_use: NodesInUse) -> list[int]:
    """Fewest nodes of each capacity entry of a pool that are paid for while its models serve."""
    fewest = [entry.max if entry.market in RESERVED_MARKETS else entry.min for entry in pool.capacity]
    lasting = [index for index, entry in enumerate(pool.capacity) if entry.market in NON_PREEMPTIBLE_MARKETS]
    for nodes, entries in ((in_use.base, lasting), (in_use.all, range(len(fewest)))):
        missing = nodes - sum(fewest[index] for index in entries)
        for index in entries:
            more = max(0, min(missing, pool.capacity[index].max - fewest[index]))
            fewest[index] += more
            missing -= more
    return fewest


def _lines(cloud: Cloud, region: str, pool: Pool, in_use: NodesInUse) -> list[CostLine]:
    if not pool.capacity:
        return [
            CostLine(
                pool=pool.name,
                entry=0,
                market="existing",
                machine_type="",
                min_nodes=pool.max_nodes,
                max_nodes=pool.max_nodes,
                usd_per_hour=None,
                min_usd_per_hour=None,
                max_usd_per_hour=None,
                note="the cost of nodes that are already there is their owner's",
            )
        ]
    fewest = fewest_nodes(pool, in_use)
    return [_line(cloud, region, pool.name, index, entry, fewest[index]) for index, entry in enumerate(pool.capacity)]


def _line(cloud: Cloud, region: str, pool: str, index: int, entry: CapacityEntry, fewest: int) -> CostLine:
    price = node_price(cloud, region, entry)
    usd = price.usd_per_hour
    return CostLine(
        pool=pool,
        entry=index,
        market=entry.market,
        machine_type=entry.machine_type,
        min_nodes=fewest,
        max_nodes=entry.max,
        usd_per_hour=usd,
        min_usd_per_hour=_times(usd, fewest),
        max_usd_per_hour=_times(usd, entry.max),
        note=price.note,
    )


def _times(usd_per_hour: float | None, nodes: int) -> float | None:
    """Cost an hour of so many nodes; ``None`` where the price is unknown. No nodes cost nothing."""
    if nodes == 0:
        return 0.0
    return None if usd_per_hour is None else round(nodes * usd_per_hour, 4)
