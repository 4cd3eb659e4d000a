"""How long an engine instance takes to go: preStop, the engine's own shutdown timeout, the pod's grace period.

While preStop sleeps, the pod has left its Service's endpoints and load balancers learn of it; new requests still
arrive and are served. SIGTERM follows, the engine refuses new requests and finishes running ones until its timeout;
what is then left is aborted. The grace period bounds all of it, and where a cloud takes nodes away, the notice does.
"""

from dataclasses import dataclass

from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import DrainSpec, ExistingPoolSpec, Market, PoolSpec

_SPOT_NOTICE_SECONDS = {
    # Compute Engine announces the end of a Spot VM 30 seconds before; the kubelet keeps the last 15 for system pods
    # (GKE documentation, "Spot VMs", termination and graceful shutdown).
    "gcp": 15,
    "aws": 120,  # EC2 documentation, "Spot Instance interruption notices"
}

EXIT_SECONDS = 2
"""What the engine's processes need to exit after the last request; part of every grace period."""

PRE_STOP_SECONDS = 15
SHUTDOWN_TIMEOUT_SECONDS = 120
"""Defaults where nodes stay: llm-d's preStop, and two minutes for the longest answers."""

PRE_STOP_SHARE = 5
"""Where nodes are taken away, preStop takes a fifth of the notice by default, the requests get the rest."""


def spot_notice_seconds(cloud: str, pool: PoolSpec | ExistingPoolSpec) -> int | None:
    """Time that pods get between a cloud's notice and the end of a node, in the pool's least patient capacity; ``None``
    where nodes are not taken away."""
    if isinstance(pool, ExistingPoolSpec) or all(entry.market is not Market.SPOT for entry in pool.capacity):
        return None
    return _SPOT_NOTICE_SECONDS[cloud]


@dataclass(frozen=True)
class Drain:
    """The times of an orderly end, in seconds.

    Attributes:
        pre_stop: sleep before SIGTERM.
        shutdown_timeout: time of running requests after SIGTERM.
    """

    pre_stop: int
    shutdown_timeout: int

    @property
    def grace_period(self) -> int:
        """Grace period of the pod: both together, and what the processes need to exit."""
        return self.pre_stop + self.shutdown_timeout + EXIT_SECONDS


def plan_drain(spec: DrainSpec, spot_notice_seconds: int | None) -> Drain:
    """The times, with what ``spec`` leaves out filled in.

    Args:
        spec: what is asked for.
        spot_notice_seconds: time between a cloud's notice and the end of a node; ``None`` where nodes stay.

    Raises:
        ProblemsError: an orderly end takes longer than the notice. Paths start with ``drain``.
    """
    if spot_notice_seconds is None:
        return Drain(
            spec.pre_stop_seconds or PRE_STOP_SECONDS,
            spec.shutdown_timeout_seconds or SHUTDOWN_TIMEOUT_SECONDS,
        )
    available = spot_notice_seconds - EXIT_SECONDS
    shutdown = spec.shutdown_timeout_seconds
    pre_stop = spec.pre_stop_seconds or max(1, min(PRE_STOP_SECONDS, spot_notice_seconds // PRE_STOP_SHARE))
    if shutdown is not None and spec.pre_stop_seconds is None:
        pre_stop = max(1, min(pre_stop, available - shutdown))
    drain = Drain(pre_stop, max(1, available - pre_stop) if shutdown is None else shutdown)
    if drain.grace_period > spot_notice_seconds:
        raise ProblemsError([_too_long(spec, drain, spot_notice_seconds)])
    return drain


def _too_long(spec: DrainSpec, drain: Drain, notice: int) -> Problem:
    reason = (
        f"preStop {drain.pre_stop} s + shutdown timeout {drain.shutdown_timeout} s + {EXIT_SECONDS} s to exit take "
        f"{drain.grace_period} s, but a node of this pool ends {notice} s after its notice"
    )
    if spec.shutdown_timeout_seconds is not None:
        most = notice - EXIT_SECONDS - (spec.pre_stop_seconds or 1)
        hint = f"at most {most}" if most >= 1 else "a shorter drain.preStopSeconds, or a pool without spot capacity"
        return Problem("drain.shutdownTimeoutSeconds", spec.shutdown_timeout_seconds, reason, hint)
    most = notice - EXIT_SECONDS - 1
    hint = f"at most {most}" if most >= 1 else "a pool without spot capacity"
    return Problem("drain.preStopSeconds", spec.pre_stop_seconds, reason, hint)
