"""Technical rules across fields: what would fail at the cloud or leave a pod waiting is refused before
anything is made.

One module a topic. A rule yields :class:`~llm_serving.errors.Problem` with the path in the spelling of the
settings file, the value, the reason and the nearest thing that would work. What one field can know of itself
is checked by its model in ``llm_serving.spec``; guardrails of an organization are its policies.
"""

from llm_serving.errors import Problem
from llm_serving.planning.rules.autoscaling import check_autoscaling
from llm_serving.planning.rules.aws import check_aws
from llm_serving.planning.rules.disruption import check_disruption
from llm_serving.planning.rules.engines import check_engines
from llm_serving.planning.rules.gateway import check_gateway
from llm_serving.planning.rules.gcp import check_gcp
from llm_serving.planning.rules.models import check_models
from llm_serving.planning.rules.names import check_names
from llm_serving.planning.rules.notes import notes
from llm_serving.planning.rules.objectives import check_objectives
from llm_serving.planning.rules.pools import check_pools
from llm_serving.planning.rules.quantizations import check_quantizations
from llm_serving.planning.rules.sharing import check_sharing
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.timeouts import check_timeouts
from llm_serving.planning.rules.weights import check_weights
from llm_serving.planning.rules.zones import check_zones

TOPICS = (
    check_names,
    check_zones,
    check_gcp,
    check_aws,
    check_pools,
    check_sharing,
    check_models,
    check_quantizations,
    check_weights,
    check_engines,
    check_autoscaling,
    check_objectives,
    check_disruption,
    check_timeouts,
    check_gateway,
)


def check(stack: StackShape) -> list[Problem]:
    """Every reason to refuse the stack; an empty list where there is none."""
    return [problem for topic in TOPICS for problem in topic(stack)]


__all__ = ["StackShape", "check", "notes"]
