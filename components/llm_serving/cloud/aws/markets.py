"""What each market means for nodes on EKS, as data."""

from dataclasses import dataclass

from llm_serving.spec import Market


@dataclass(frozen=True)
class MarketTerms:
    """How nodes of one market differ.

    Attributes:
        capacity_type: value of Karpenter's label ``karpenter.sh/capacity-type``.
        node_group_type: capacity type of a managed node group.
        tainted: whether pods must say that they accept nodes of this market.
        reservation_type: value of Karpenter's label ``karpenter.k8s.aws/capacity-reservation-type``; ``None`` where
            nothing is reserved.
    """

    capacity_type: str
    node_group_type: str
    tainted: bool = False
    reservation_type: str | None = None


TERMS: dict[Market, MarketTerms] = {
    Market.ON_DEMAND: MarketTerms("on-demand", "ON_DEMAND"),
    # Nobody else taints Spot nodes.
    Market.SPOT: MarketTerms("spot", "SPOT", tainted=True),
    Market.RESERVATION: MarketTerms("reserved", "ON_DEMAND", reservation_type="default"),
    Market.CAPACITY_BLOCK: MarketTerms("reserved", "CAPACITY_BLOCK", reservation_type="capacity-block"),
}
"""The markets of AWS. Reserved capacity is Karpenter's ``reserved``, whichever kind it is (Karpenter documentation,
"On-Demand Capacity Reservations")."""
