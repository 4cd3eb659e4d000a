"""Which capacity of a pool stays, and which may be taken away."""

from llm_serving.spec import CapacityEntry, ExistingPoolSpec, Market, PoolSpec
from llm_serving.spec.pool import LASTING_MARKETS


def lasting_capacity(pool: PoolSpec | ExistingPoolSpec) -> tuple[CapacityEntry, ...]:
    """The entries of a pool whose nodes are not taken away. Nodes that are already there have none: all of them
    stay."""
    if isinstance(pool, ExistingPoolSpec):
        return ()
    return tuple(entry for entry in pool.capacity if entry.market in LASTING_MARKETS)


def lasting_markets(pool: PoolSpec | ExistingPoolSpec) -> tuple[str, ...]:
    """The markets of those entries, each once, in the pool's order."""
    return tuple(dict.fromkeys(entry.market.value for entry in lasting_capacity(pool)))


def lasting_nodes(pool: PoolSpec | ExistingPoolSpec) -> int:
    """How many nodes of a pool are not taken away, at most."""
    if isinstance(pool, ExistingPoolSpec):
        return pool.nodes
    return sum(entry.max for entry in lasting_capacity(pool))


def may_be_taken(pool: PoolSpec | ExistingPoolSpec) -> bool:
    """Whether the cloud may take nodes of a pool away at short notice."""
    return isinstance(pool, PoolSpec) and any(entry.market is Market.SPOT for entry in pool.capacity)
