"""How an engine instance is taken out of service."""

from llm_serving.arguments import Frozen
from llm_serving.spec.names import PositiveCount


class DrainSpec(Frozen):
    """Times of an orderly end, in seconds. What is left out follows from the pool: short where nodes may be taken
    away, long elsewhere (``planning.drain``).

    Attributes:
        pre_stop_seconds: time in which a stopping instance still takes new requests, because load balancers have
            not yet heard of its end.
        shutdown_timeout_seconds: time that running requests get after that, before they are aborted.
        longest_request_seconds: how long the model's longest request takes. Where nodes stay, the shutdown timeout is
            at least that; where they may be taken away, a longer one is cut and counted.
    """

    pre_stop_seconds: PositiveCount | None = None
    shutdown_timeout_seconds: PositiveCount | None = None
    longest_request_seconds: PositiveCount | None = None
