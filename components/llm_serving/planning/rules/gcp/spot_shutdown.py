"""How long spot nodes of GKE take to end: a longer time needs spot capacity, and a control plane that knows it."""

from collections.abc import Iterator

from llm_serving.errors import LEAVE_OUT, Problem, Suggestion
from llm_serving.planning.purchase_options import is_preemptible
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec.gcp import SPOT_SHUTDOWN_SECONDS

LONG_SHUTDOWN_VERSION = "1.35.0-gke.1171000"
"""GKE documentation, "Spot VMs": the control plane's oldest version with a longer shutdown of Spot nodes."""


def check_spot_shutdown(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``spotShutdownSeconds`` of pools."""
    version = stack.gcp.cluster.version if stack.gcp.cluster else None
    for index, pool in enumerate(stack.gcp.pools):
        path, seconds = f"pools[{index}].spotShutdownSeconds", pool.spot_shutdown_seconds
        if seconds == SPOT_SHUTDOWN_SECONDS:
            continue
        if not is_preemptible(pool):
            yield Problem(path, seconds, "the pool has no spot capacity, so this would have no effect", LEAVE_OUT)
        elif version and _is_older(version):
            reason = f"needs GKE {LONG_SHUTDOWN_VERSION} or later, and cluster.version is {version}"
            instead = Suggestion(values=[SPOT_SHUTDOWN_SECONDS], edits=_NEWER.edits)
            yield Problem(path, seconds, reason, instead)


def note_spot_shutdown(stack: StackShape) -> Iterator[Problem]:
    """A longer shutdown on a cluster whose version the release channel decides."""
    version = stack.gcp.cluster.version if stack.gcp.cluster else None
    for index, pool in enumerate(stack.gcp.pools):
        if pool.spot_shutdown_seconds > SPOT_SHUTDOWN_SECONDS and version is None:
            reason = f"needs GKE {LONG_SHUTDOWN_VERSION}; an older cluster refuses it, and cluster.version is not given"
            path = f"pools[{index}].spotShutdownSeconds"
            yield Problem(path, pool.spot_shutdown_seconds, reason, _NEWER)


_NEWER = Suggestion(edits=[{"/cluster.version": LONG_SHUTDOWN_VERSION}])


def _is_older(version: str) -> bool:
    """Whether a version, or the newest one that begins with it, comes before :data:`LONG_SHUTDOWN_VERSION`."""
    numbers, needed = _numbers(version), _numbers(LONG_SHUTDOWN_VERSION)
    return numbers < needed[: len(numbers)]


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.replace("-gke.", ".").split(".")
    return tuple(int(part) for part in parts if part.isdigit())
