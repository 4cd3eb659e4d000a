"""How long to wait for an engine instance, and in which order a rollout replaces them.

One number, twice the planned cold start, sets the startup probe, the Deployment's progress deadline and Pulumi's
custom time-outs, so that none of them expires before the others.
"""

from dataclasses import dataclass
from math import ceil

from llm_serving.planning.disruption import Drain
from llm_serving.spec import ModelSpec

TIMEOUT_FACTOR = 2
"""Time-out of a start, in planned cold starts."""

PROBE_PERIOD_SECONDS = 10


@dataclass(frozen=True)
class Rollout:
    """Time-outs in seconds, and order in instances.

    Attributes:
        startup_timeout_seconds: until a new instance must answer.
        startup_failures: startup probes, one every :data:`PROBE_PERIOD_SECONDS`, until Kubernetes gives up.
        max_surge: instances beyond the wanted number while a rollout runs.
        max_unavailable: instances that may be missing while a rollout runs.
        create: how long Pulumi waits for the first instances, which start side by side.
        update: how long Pulumi waits for a rollout, which replaces a few at a time.
    """

    startup_timeout_seconds: int
    startup_failures: int
    max_surge: int
    max_unavailable: int
    create: int
    update: int


def plan_rollout(model: ModelSpec, instances: int, cold_start_seconds: float, longest_drain: Drain) -> Rollout:
    """Time-outs and order of a release's rollouts.

    Args:
        model: its surge.
        instances: of the release, at most.
        cold_start_seconds: from the creation of a pod to its first answer, as planned.
        longest_drain: what an instance takes to go at most; with no surge its successor waits for that.
    """
    startup_failures = ceil(TIMEOUT_FACTOR * cold_start_seconds / PROBE_PERIOD_SECONDS)
    startup_timeout_seconds = startup_failures * PROBE_PERIOD_SECONDS
    waves = ceil(instances / max(1, model.surge))
    return Rollout(
        startup_timeout_seconds=startup_timeout_seconds,
        startup_failures=startup_failures,
        max_surge=model.surge,
        max_unavailable=0 if model.surge else 1,
        create=startup_timeout_seconds,
        update=waves * (startup_timeout_seconds + longest_drain.grace_period),
    )
