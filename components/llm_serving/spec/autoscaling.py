"""How many instances a release gets while it is asked."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from llm_serving.arguments import Frozen
from llm_serving.spec.names import Count, PositiveCount

Percent = Annotated[int, Field(ge=1, le=100)]


class ScheduleSpec(Frozen):
    """A floor for the number of instances in a part of the week.

    Attributes:
        start: cron expression (five fields) of its begin.
        end: cron expression of its end.
        timezone: name in the IANA data base.
        replicas: instances that there are at least.
    """

    start: Annotated[str, StringConstraints(pattern=r"^\S+( \S+){4}$")]
    end: Annotated[str, StringConstraints(pattern=r"^\S+( \S+){4}$")]
    timezone: str = "Etc/UTC"
    replicas: PositiveCount


class ScalingPaceSpec(Frozen):
    """How fast the number of instances may change. The defaults suit GPU services, which start slowly.

    Attributes:
        up_seconds: a demand must last that long before instances are added.
        up_percent: share of the present instances that may be added in 15 seconds.
        down_seconds: a lull must last that long before instances are taken away.
        down_percent: share of the present instances that may be taken away in a minute.
    """

    up_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    up_percent: PositiveCount = 100
    down_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    down_percent: Percent = 50


class AutoscalingSpec(Frozen):
    """Bounds and signals. The number wanted is the largest that any signal asks for.

    Attributes:
        min: fewest instances.
        max: most instances.
        queue_depth: requests that may wait an instance; more of them ask for more instances.
        ttft_seconds: objective for the time to the first token (95th percentile); counts only while requests wait.
        gpu_utilization: percent of GPU utilization above which instances are added while requests wait; ``None`` to
            leave it out.
        schedules: floors by time.
        pace: how fast.
        polling_seconds: how often the signals are read.
    """

    min: int = 1
    max: PositiveCount
    queue_depth: Annotated[float, Field(gt=0)] = 10
    ttft_seconds: Annotated[float, Field(gt=0)] | None = None
    gpu_utilization: Percent | None = 80
    schedules: tuple[ScheduleSpec, ...] = ()
    pace: ScalingPaceSpec = ScalingPaceSpec()
    polling_seconds: Annotated[int, Field(ge=5, le=300)] = 15

    @field_validator("min")
    @classmethod
    def _answers_always(cls, value: Count) -> Count:
        if value < 1:
            raise ValueError("nobody would answer, and nothing wakes the model when a request comes: at least 1")
        return value
