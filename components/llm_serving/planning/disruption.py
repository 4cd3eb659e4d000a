"""How long an engine instance takes to go: preStop, the engine's own shutdown timeout, the pod's grace period.

While preStop sleeps, the pod has left its Service's endpoints and load balancers learn of it; new requests still
arrive and are served. SIGTERM follows, the engine refuses new requests and finishes running ones until its timeout;
what is then left is ended with an error. The grace period bounds all of it, and where a cloud takes nodes away, the
notice does: preStop + shutdown timeout + exit <= grace period <= notice.
"""

from dataclasses import dataclass

from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec import DrainSpec

EXIT_SECONDS = 2
"""Part of every grace period, after the window of running requests: the launcher ends what is left with an error and
counts it (``launchers``, at most a second for clients that read slowly), then the engine exits. One that is killed
meanwhile has no request left."""

PRE_STOP_SECONDS = 15
SHUTDOWN_TIMEOUT_SECONDS = 120
"""Defaults where nodes stay: llm-d's preStop, and two minutes for the longest answers; more where the model's longest
request takes longer."""

PRE_STOP_SHARE = 5
"""Where nodes are taken away, preStop takes a fifth of the notice by default, the requests get the rest."""


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

    Where nodes stay, every request ends; where they may be taken away, one that takes longer than the notice is cut
    (:func:`longer_than_window`).

    Args:
        spec: the model's setting ``drain``.
        spot_notice_seconds: time between a cloud's notice and the end of a node; ``None`` where nodes stay.

    Raises:
        ProblemsError: an orderly end takes longer than the notice, or where nodes stay, less than the longest
            request. Paths start with ``drain``.
    """
    if spot_notice_seconds is None:
        drain = longest_drain(spec)
        if longer_than_window(spec, drain):
            raise ProblemsError([_too_short(spec, drain)])
        return drain
    available = spot_notice_seconds - EXIT_SECONDS
    shutdown = spec.shutdown_timeout_seconds
    pre_stop = spec.pre_stop_seconds or max(1, min(PRE_STOP_SECONDS, spot_notice_seconds // PRE_STOP_SHARE))
    if shutdown is not None and spec.pre_stop_seconds is None:
        pre_stop = max(1, min(pre_stop, available - shutdown))
    drain = Drain(pre_stop, max(1, available - pre_stop) if shutdown is None else shutdown)
    if drain.grace_period > spot_notice_seconds:
        raise ProblemsError([_too_long(spec, drain, spot_notice_seconds)])
    return drain


def longest_drain(spec: DrainSpec) -> Drain:
    """The times where nodes stay: no instance of the model takes longer to go, whatever its pool."""
    return Drain(
        spec.pre_stop_seconds or PRE_STOP_SECONDS,
        spec.shutdown_timeout_seconds or max(SHUTDOWN_TIMEOUT_SECONDS, spec.longest_request_seconds or 0),
    )


def longer_than_window(spec: DrainSpec, drain: Drain) -> bool:
    """Whether a request of the model may take longer than an ending instance gives it, so that it may be cut."""
    return (spec.longest_request_seconds or 0) > drain.shutdown_timeout


def _too_short(spec: DrainSpec, drain: Drain) -> Problem:
    longest = spec.longest_request_seconds
    reason = (
        f"a request may take {longest} s (drain.longestRequestSeconds), and nothing takes the nodes of this pool away: "
        f"no request needs to be cut after {drain.shutdown_timeout} s"
    )
    return Problem(
        "drain.shutdownTimeoutSeconds",
        spec.shutdown_timeout_seconds,
        reason,
        Suggestion(values=[longest], removal=True),
    )


def _too_long(spec: DrainSpec, drain: Drain, notice: int) -> Problem:
    reason = (
        f"preStop {drain.pre_stop} s + shutdown timeout {drain.shutdown_timeout} s + {EXIT_SECONDS} s to exit take "
        f"{drain.grace_period} s, but a node of this pool ends {notice} s after its notice"
    )
    if spec.shutdown_timeout_seconds is not None:
        most = notice - EXIT_SECONDS - (spec.pre_stop_seconds or 1)
        other = Suggestion("a shorter drain.preStopSeconds, or a pool without spot capacity", needs=Needs.CHOICE)
        hint = Suggestion(f"at most {most}", values=[most]) if most >= 1 else other
        return Problem("drain.shutdownTimeoutSeconds", spec.shutdown_timeout_seconds, reason, hint)
    most = notice - EXIT_SECONDS - 1
    other = Suggestion("a pool without spot capacity", needs=Needs.CHOICE)
    hint = Suggestion(f"at most {most}", values=[most]) if most >= 1 else other
    return Problem("drain.preStopSeconds", spec.pre_stop_seconds, reason, hint)
