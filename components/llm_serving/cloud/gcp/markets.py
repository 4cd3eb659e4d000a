"""What each market means for a GKE node pool, as data."""

from dataclasses import dataclass
from typing import TypedDict

import pulumi_gcp as gcp

from llm_serving.planning.clouds.gcp import CRITICAL_PODS_SECONDS
from llm_serving.spec import CapacityEntry, Market
from llm_serving.spec.gcp import SPOT_SHUTDOWN_SECONDS, GcpPoolSpec

FLEX_START_SECONDS = 7 * 24 * 3600
"""The longest run of a flex-start VM (GKE documentation, "About flex-start")."""


@dataclass(frozen=True)
class MarketTerms:
    """How node pools of one market differ.

    Attributes:
        location_policy: how nodes are spread over zones: ``BALANCED`` for availability, ``ANY`` where capacity counts.
        tainted: whether pods must say that they accept nodes of this market.
        auto_repair: whether GKE may recreate a broken node.
        surge_upgrades: whether upgrades go node by node; flex-start nodes are only replaced when they end.
    """

    location_policy: str
    tainted: bool = False
    auto_repair: bool = True
    surge_upgrades: bool = True


TERMS: dict[Market, MarketTerms] = {
    Market.ON_DEMAND: MarketTerms(location_policy="BALANCED"),
    Market.RESERVATION: MarketTerms(location_policy="ANY"),
    # GKE does not taint Spot nodes by itself.
    Market.SPOT: MarketTerms(location_policy="ANY", tainted=True),
    # GKE documentation, "Run a small batch workload with flex-start": autoscaling from zero, location policy ANY, no
    # reservation, no auto-repair; upgrades of such pools are "short-lived".
    Market.FLEX_START: MarketTerms(location_policy="ANY", auto_repair=False, surge_upgrades=False),
}


class Purchase(TypedDict, total=False):
    """The part of a node's configuration that says on which terms the machine is bought."""

    spot: bool
    flex_start: bool
    max_run_duration: str
    reservation_affinity: gcp.container.NodePoolNodeConfigReservationAffinityArgs


class Shutdown(TypedDict, total=False):
    """The part of a kubelet's configuration that says how long an orderly end of its node takes."""

    shutdown_grace_period_seconds: int
    shutdown_grace_period_critical_pods_seconds: int


def spot_shutdown(pool: GcpPoolSpec) -> Shutdown:
    """How long the spot nodes of ``pool`` take to end. GKE's own default is left unsaid: clusters before
    1.35.0-gke.1171000 refuse the fields. Left out, the provider keeps what there was, so that a node pool with another
    shutdown has another name (:func:`plan_node_pools <llm_serving.cloud.gcp.gpu_pools.plan_node_pools>`)."""
    if pool.spot_shutdown_seconds == SPOT_SHUTDOWN_SECONDS:
        return Shutdown()
    return Shutdown(
        shutdown_grace_period_seconds=pool.spot_shutdown_seconds,
        shutdown_grace_period_critical_pods_seconds=CRITICAL_PODS_SECONDS,
    )


def purchase(entry: CapacityEntry) -> Purchase:
    """On which terms the machines of ``entry`` are bought."""
    match entry.market:
        case Market.ON_DEMAND:
            return Purchase()
        case Market.SPOT:
            return Purchase(spot=True)
        case Market.RESERVATION:
            return Purchase(
                reservation_affinity=gcp.container.NodePoolNodeConfigReservationAffinityArgs(
                    consume_reservation_type="SPECIFIC_RESERVATION",
                    key="compute.googleapis.com/reservation-name",
                    values=[entry.reservation or ""],
                )
            )
        case Market.CAPACITY_BLOCK:
            raise ValueError(f"Google Cloud sells nothing as {entry.market}")
        case Market.FLEX_START:
            return Purchase(
                flex_start=True,
                max_run_duration=f"{FLEX_START_SECONDS}s",
                reservation_affinity=gcp.container.NodePoolNodeConfigReservationAffinityArgs(
                    consume_reservation_type="NO_RESERVATION"
                ),
            )
