"""How long to wait for an engine instance, and in which order a rollout replaces them.

Two numbers, how long a start and how long a node may take, set the startup probe, the Deployment's progress deadline
and Pulumi's custom time-outs, so that none of them expires before the others.
"""

from dataclasses import dataclass
from math import ceil

from llm_serving.planning.disruption import Drain
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.timeouts import is_awaited, startup_timeout_seconds
from llm_serving.spec import ModelSpec
from llm_serving.spec.timeouts import LONGEST_CAPACITY_SECONDS

PROBE_PERIOD_SECONDS = 10


@dataclass(frozen=True)
class Rollout:
    """Time-outs in seconds, and order in instances.

    Attributes:
        startup_failures: startup probes, one every :data:`PROBE_PERIOD_SECONDS`, until Kubernetes gives up. They begin
            once the container runs.
        progress_deadline_seconds: until the next instance must answer, from its creation on: the wait for its node and
            its start.
        awaited: whether Pulumi waits until the instances answer.
        max_surge: instances beyond the wanted number while a rollout runs.
        max_unavailable: instances that may be missing while a rollout runs.
        create: how long Pulumi waits for the first instances, which start side by side.
        update: how long Pulumi waits for a rollout, which replaces a few at a time.
    """

    startup_failures: int
    progress_deadline_seconds: int
    awaited: bool
    max_surge: int
    max_unavailable: int
    create: int
    update: int


def plan_rollout(
    model: ModelSpec, instances: int, cold_start_seconds: float, longest_drain: Drain, node: NodeShape
) -> Rollout:
    """Time-outs and order of a release's rollouts.

    Args:
        model: its surge and time-outs.
        instances: of the release, at most.
        cold_start_seconds: from the creation of a pod to its first answer, as planned.
        longest_drain: what an instance takes to go at most; with no surge its successor waits for that.
        node: a node of the pool.
    """
    startup_failures = ceil(startup_timeout_seconds(model.timeouts, cold_start_seconds) / PROBE_PERIOD_SECONDS)
    startup_seconds = startup_failures * PROBE_PERIOD_SECONDS
    awaited = is_awaited(model.timeouts, node)
    capacity_seconds = (model.timeouts.capacity_seconds or 0) if awaited else LONGEST_CAPACITY_SECONDS
    waves = ceil(instances / max(1, model.surge))
    return Rollout(
        startup_failures=startup_failures,
        progress_deadline_seconds=startup_seconds + capacity_seconds,
        awaited=awaited,
        max_surge=model.surge,
        max_unavailable=0 if model.surge else 1,
        create=startup_seconds + capacity_seconds,
        update=waves * (startup_seconds + capacity_seconds + longest_drain.grace_period),
    )
