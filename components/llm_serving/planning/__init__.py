"""Pure functions on facts and wishes: what fits, how it is split, what it costs, which quota it needs, what
is refused.

Knows no Pulumi and creates nothing. Facts come from ``llm_serving.catalog``, wishes from
``llm_serving.spec``. Rules of an organization (who may spend how much) are not here; they belong to its
policies.
"""

from llm_serving.planning.cold_start import ColdStart
from llm_serving.planning.host import Sidecar
from llm_serving.planning.nodes import (
    Allocatable,
    NodeShape,
    existing_pool_node,
    machine_node,
    node_allocatable,
    pool_node,
)
from llm_serving.planning.offers import Offer, smallest_offer
from llm_serving.planning.placement import ModelPlan, plan_model

__all__ = [
    "Allocatable",
    "ColdStart",
    "ModelPlan",
    "NodeShape",
    "Offer",
    "Sidecar",
    "existing_pool_node",
    "machine_node",
    "node_allocatable",
    "plan_model",
    "pool_node",
    "smallest_offer",
]
