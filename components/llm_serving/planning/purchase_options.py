"""On which terms a pool's capacity is bought: what stays, and what a cloud may take away."""

from llm_serving.spec import CapacityEntry, Market, Pool
from llm_serving.spec.pool import NON_PREEMPTIBLE_MARKETS


def non_preemptible_capacity(pool: Pool) -> tuple[CapacityEntry, ...]:
    """The entries of a pool whose nodes are not taken away. Existing nodes have none: all of them
    stay."""
    return tuple(entry for entry in pool.capacity if entry.market in NON_PREEMPTIBLE_MARKETS)


def non_preemptible_markets(pool: Pool) -> tuple[str, ...]:
    """The markets of those entries, each once, in the pool's order."""
    return tuple(dict.fromkeys(entry.market.value for entry in non_preemptible_capacity(pool)))


def non_preemptible_nodes(pool: Pool) -> int:
    """How many nodes of a pool are not taken away, at most."""
    if not pool.capacity:
        return pool.max_nodes
    return sum(entry.max for entry in non_preemptible_capacity(pool))


def is_preemptible(pool: Pool) -> bool:
    """Whether the cloud may take nodes of a pool away at short notice."""
    return any(entry.market is Market.SPOT for entry in pool.capacity)


def is_queued(pool: Pool) -> bool:
    """Whether nodes of a pool may have to be waited for without a known end: some of its capacity is flex-start, which
    waits "for an indeterminate amount of time" (GKE documentation, "About flex-start", read 2026-11-28), and none is
    sold at once or held. Spot capacity may not be there."""
    is_flexible = any(entry.market is Market.FLEX_START for entry in pool.capacity)
    return is_flexible and not non_preemptible_capacity(pool)
