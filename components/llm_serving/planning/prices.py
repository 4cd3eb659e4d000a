"""The price of a node: what the catalog records, and, where it records none, which region has one."""

from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.catalog import Price
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec import CapacityEntry, Market


@dataclass(frozen=True)
class NodePrice:
    """Price of one node of a capacity entry.

    Attributes:
        usd_per_hour: USD an hour; ``None`` where it is not known.
        note: what to know of it: why it is unknown and who has one, or what it assumes; empty where nothing is.
    """

    usd_per_hour: float | None
    note: str = ""


def node_price(cloud: Cloud, region: str, entry: CapacityEntry) -> NodePrice:
    """Look the price of one node up. It is never guessed."""
    recorded = catalog.price(cloud.name, entry.machine_type, region)
    usd = _in_market(recorded, entry.market) if recorded else None
    if usd is None:
        return NodePrice(None, _why_unknown(cloud, region, entry))
    match entry.market:
        case Market.RESERVATION:
            note = (
                "a reservation is paid for whether it is used or not; on-demand price, before any commitment's discount"
            )
        case Market.SPOT:
            note = "a spot price changes at any time"
        case _:
            note = ""
    return NodePrice(usd, note)


def _in_market(price: Price, market: Market) -> float | None:
    """The price of a market. Reservations cost the on-demand price; flex-start has prices of its own that the
    catalog does not have, and a capacity block is paid for ahead."""
    match market:
        case Market.ON_DEMAND | Market.RESERVATION:
            return price.on_demand
        case Market.SPOT:
            return price.spot
        case Market.FLEX_START | Market.CAPACITY_BLOCK:
            return None


def _why_unknown(cloud: Cloud, region: str, entry: CapacityEntry) -> str:
    if entry.market is Market.FLEX_START:
        return "no flex-start prices are recorded; they are below the on-demand price"
    if entry.market is Market.CAPACITY_BLOCK:
        return "a capacity block is paid for when it is bought, at the price of that day"
    others = {
        price.region: usd
        for price in catalog.prices(cloud.name, entry.machine_type)
        if (usd := _in_market(price, entry.market)) is not None
    }
    if not others:
        return "no price is recorded in any region"
    near = min(others, key=lambda other: (-_nearness(region, other), others[other], other))
    return f"no price is recorded in {region}; {near} has {others[near]:.4f} USD/h"


def _nearness(region: str, other: str) -> int:
    """Leading characters that two region names share: the same continent counts, the same part of it counts
    more."""
    shared = 0
    for left, right in zip(region, other, strict=False):
        if left != right:
            break
        shared += 1
    return shared
