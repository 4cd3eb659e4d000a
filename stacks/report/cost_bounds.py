"""What nodes cost, from the fewest on which models serve to the most."""

from llm_serving.arguments import Frozen
from llm_serving.planning.cost import CostEstimate


class CostBounds(Frozen):
    """Sums of an estimate, in USD. One that is not complete is a lower bound: it leaves unknown prices out.

    Attributes:
        min_usd_per_hour, max_usd_per_hour: of the fewest and of the most nodes.
        min_usd_per_month, max_usd_per_month: the same for 730 hours.
        min_complete, max_complete: whether every price in these sums is known.
    """

    min_usd_per_hour: float
    min_usd_per_month: float
    min_complete: bool
    max_usd_per_hour: float
    max_usd_per_month: float
    max_complete: bool


def cost_bounds(cost: CostEstimate) -> CostBounds:
    """The sums of an estimate."""
    return CostBounds(
        min_usd_per_hour=cost.min_usd_per_hour,
        min_usd_per_month=cost.min_usd_per_month,
        min_complete=cost.min_complete,
        max_usd_per_hour=cost.max_usd_per_hour,
        max_usd_per_month=cost.max_usd_per_month,
        max_complete=cost.complete,
    )
