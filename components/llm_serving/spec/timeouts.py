"""How long to wait for an engine instance before something is wrong with it."""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen

DAY_SECONDS = 24 * 3600
LONGEST_CAPACITY_SECONDS = 7 * DAY_SECONDS
"""A flex-start VM runs no longer than that (GKE documentation, "About flex-start"): to wait longer for a node than it
stays is no way to serve."""

STALL_SECONDS = 60
"""The launcher's own ``--stall-seconds``."""


class TimeoutsSpec(Frozen):
    """How long to wait for an instance, in seconds. What is left out follows from the plan.

    ``pulumi up`` waits for nodes and for the start together (``planning.timeouts``).
    """

    startup_seconds: Annotated[int, Field(ge=60, le=DAY_SECONDS)] | None = None
    """Time in which a new instance must answer; left out: twice its planned cold start.

    Startup probe, progress deadline and custom time-outs follow from it.
    """
    capacity_seconds: Annotated[int, Field(ge=0, le=LONGEST_CAPACITY_SECONDS)] | None = None
    """Time that an update also waits for a node; left out: none, and where nodes come from a queue, it does not wait
    for the instances at all.

    ``None`` for the market's: capacity that is sold at once, or held, is part of the planned cold start; flex-start
    queues without an end.
    """
    stall_seconds: Annotated[int, Field(ge=10, le=3600)] | None = None
    """Time after which an engine that is silent, or does nothing for its requests, is dead; 60 by default.

    ``None`` for the launcher's own.
    """
