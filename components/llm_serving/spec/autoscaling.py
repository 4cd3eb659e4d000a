"""How many instances a release gets under load."""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import CRON
from llm_serving.spec.names import MAX_AMOUNT, MAX_COUNT, Count, PositiveCount
from llm_serving.spec.timeouts import DAY_SECONDS

Percent = Annotated[int, Field(ge=1, le=100)]


class ScheduleSpec(Frozen):
    """A floor for the number of instances in a part of the week."""

    start: Annotated[str, CRON]
    """Cron expression (five fields) of its begin."""
    end: Annotated[str, CRON]
    """Cron expression of its end."""
    timezone: str = "Etc/UTC"
    """Name in the IANA data base; `Etc/UTC` by default."""
    replicas: PositiveCount
    """Instances that there are at least."""


class ScalingPaceSpec(Frozen):
    """How fast the number of instances may change.

    The defaults suit GPU services, which start slowly.
    """

    up_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """A demand must last that long before instances are added; 0 by default."""
    up_percent: PositiveCount = 100
    """Share of the present instances that may be added in 15 seconds; 100 by default."""
    down_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """A lull must last that long before instances are taken away; 300 by default."""
    down_percent: Percent = 50
    """Share of the present instances that may be taken away in a minute; 50 by default."""


class AutoscalingSpec(Frozen):
    """Bounds and signals of a release's autoscaling. The number wanted is the largest that any signal asks for."""

    min: Count = 1
    """Fewest instances; 1 by default.

    0 behind a gateway alone: a model that nobody asks has no instance, and a request wakes it.
    """
    max: PositiveCount
    """Most instances."""
    queue_depth: Annotated[float, Field(gt=0, le=MAX_AMOUNT)] = 10
    """Requests that may wait an instance; 10 by default.

    More of them ask for more instances.
    """
    ttft_seconds: Annotated[float, Field(gt=0, le=MAX_COUNT)] | None = None
    """Objective for the time to the first token (95th percentile).

    Counts only while requests wait.
    """
    gpu_utilization: Percent | None = 80
    """Percent of GPU utilization above which instances are added while requests wait; 80 by default.

    ``None`` to leave it out.
    """
    schedules: tuple[ScheduleSpec, ...] = ()
    """Floors by time."""
    pace: ScalingPaceSpec = ScalingPaceSpec()
    """How fast."""
    polling_seconds: Annotated[int, Field(ge=5, le=300)] = 15
    """How often the signals are read; 15 by default."""
    idle_seconds: Annotated[int, Field(ge=60, le=DAY_SECONDS)] = 900
    """How long nobody must have asked before the last instance is taken away, where ``min`` is 0; 900 by default."""

    @property
    def may_sleep(self) -> bool:
        """Whether there may be no instance at all."""
        return self.min == 0
