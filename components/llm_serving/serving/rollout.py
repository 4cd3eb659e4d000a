"""How long to wait for an engine instance, and in which order a rollout replaces them.

One number, twice the planned cold start, sets the startup probe, the Deployment's progress deadline and Pulumi's own
waiting, so that none of them gives up while another still hopes.
"""

from dataclasses import dataclass
from math import ceil

from llm_serving.planning.drain import Drain
from llm_serving.spec import ModelSpec

PATIENCE = 2
"""Times the planned cold start."""

PROBE_PERIOD_SECONDS = 10


@dataclass(frozen=True)
class Rollout:
    """Waiting and order, in seconds and instances.

    Attributes:
        patience: until a new instance must answer.
        startup_failures: startup probes, one every :data:`PROBE_PERIOD_SECONDS`, until Kubernetes gives up.
        max_surge: instances beyond the wanted number while a rollout runs.
        max_unavailable: instances that may be missing while a rollout runs.
        create: how long Pulumi waits for the first instances, which start side by side.
        update: how long Pulumi waits for a rollout, which replaces a few at a time.
    """

    patience: int
    startup_failures: int
    max_surge: int
    max_unavailable: int
    create: int
    update: int


def plan_rollout(model: ModelSpec, instances: int, cold_start_seconds: float, longest_drain: Drain) -> Rollout:
    """Waiting and order for a release.

    Args:
        model: its surge.
        instances: of the release, at most.
        cold_start_seconds: from the creation of a pod to its first answer, as planned.
        longest_drain: what an instance takes to go at most; with no surge its successor waits for that.
    """
    startup_failures = ceil(PATIENCE * cold_start_seconds / PROBE_PERIOD_SECONDS)
    patience = startup_failures * PROBE_PERIOD_SECONDS
    waves = ceil(instances / max(1, model.surge))
    return Rollout(
        patience=patience,
        startup_failures=startup_failures,
        max_surge=model.surge,
        max_unavailable=0 if model.surge else 1,
        create=patience,
        update=waves * (patience + longest_drain.grace_period),
    )
