"""What users of a model may expect: its service level objectives. Alerts, scaling and reports read them here alone."""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.names import MAX_COUNT


class LatencyObjective(Frozen):
    """A duration that a share of the requests keeps."""

    seconds: Annotated[float, Field(gt=0, le=MAX_COUNT)]
    """The duration, in seconds."""
    percentile: Annotated[float, Field(ge=50, le=99.9)] = 95
    """Percent of the requests that keep it; 95 by default."""

    @property
    def quantile(self) -> float:
        """The percentile as a share, 0 to 1."""
        return self.percentile / 100


class SloSpec(Frozen):
    """Service level objectives of a model. Alerts are made of those that are given."""

    availability: Annotated[float, Field(ge=90, le=99.999)] | None = None
    """Percent of the requests of 30 days that are answered, measured at the gateway; what the client did wrong does not
    count. Left out: 99.9 for `critical`, 99.5 for `standard`, 99 for `batch`."""
    time_to_first_token: LatencyObjective | None = None
    """From a request's arrival at the engine to its first token."""
    inter_token_latency: LatencyObjective | None = None
    """From one token to the next."""
    latency: LatencyObjective | None = None
    """From a request's arrival at the engine to its last token."""
