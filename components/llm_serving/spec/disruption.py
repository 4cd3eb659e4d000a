"""How an engine instance is taken out of service."""

from llm_serving.arguments import Frozen
from llm_serving.spec.names import PositiveCount


class DrainSpec(Frozen):
    """Times of an orderly end of an engine instance, in seconds. What is left out follows from the pool.

    Short where nodes may be taken away, long elsewhere (``planning.disruption``).
    """

    pre_stop_seconds: PositiveCount | None = None
    """Time in which a stopping instance still takes new requests.

    Load balancers have not yet heard of its end.
    """
    shutdown_timeout_seconds: PositiveCount | None = None
    """Time that running requests get after that, before they are aborted."""
    longest_request_seconds: PositiveCount | None = None
    """How long the model's longest request takes.

    Where nodes stay, the shutdown timeout is at least that; where they may be taken away, a longer one is cut and
    counted.
    """
