"""How long an update waits for what it starts: twice what was planned, unless a setting says otherwise.

Of one number come all time-outs of one thing, so that none of them expires before the others.
"""

from collections.abc import Iterator
from math import ceil

from llm_serving import catalog
from llm_serving.errors import Problem, Suggestion
from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.cold_start import cold_start
from llm_serving.planning.fit import weight_bytes
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import LoaderSpec, ModelSpec, ReleaseSpec, TimeoutsSpec

TIMEOUT_FACTOR = 2
"""Time-out, in planned durations."""

GRANT_SECONDS = 600
"""How long a loader by itself waits for rights on its bucket that were granted a moment ago (``--grant-timeout``)."""


def startup_timeout_seconds(timeouts: TimeoutsSpec, cold_start_seconds: float) -> float:
    """Time in which a new instance must answer, in seconds."""
    return timeouts.startup_seconds or TIMEOUT_FACTOR * cold_start_seconds


def is_awaited(timeouts: TimeoutsSpec, node: NodeShape) -> bool:
    """Whether an update waits until the instances of a model answer. Not by itself where their nodes come from a queue
    that names no end: nothing behind them would go on, and the stack would be locked as long."""
    return not node.queued or timeouts.capacity_seconds is not None


def _or_more(seconds: float) -> Suggestion:
    return Suggestion(f"{ceil(seconds)} or more", values=[ceil(seconds)])


def timeout_problems(model: ModelSpec, cold_start_seconds: float, node: NodeShape) -> Iterator[Problem]:
    """A problem for each time-out that cannot work; paths are below the model.

    Args:
        model: the model.
        cold_start_seconds: the planned cold start of one of its releases.
        node: a node of its pool.
    """
    timeouts = model.timeouts
    if timeouts.startup_seconds is not None and timeouts.startup_seconds < cold_start_seconds:
        reason = f"ends every start: a cold start is planned to take {cold_start_seconds:g} s"
        yield Problem("timeouts.startupSeconds", timeouts.startup_seconds, reason, _or_more(cold_start_seconds))
    if timeouts.stall_seconds is not None and not model.engine.launcher:
        reason = "the launcher watches for stalls, and the engine runs without it"
        yield Problem(
            "timeouts.stallSeconds",
            timeouts.stall_seconds,
            reason,
            Suggestion("leave it out, or engine.launcher: true", removal=True),
        )
    if model.compile_cache and not is_awaited(timeouts, node):
        reason = "the instances wait for the Job that compiles, and its node comes from a queue that names no end"
        hint = Suggestion("false, or timeouts.capacitySeconds: how long the update waits for a node", values=[False])
        yield Problem("compileCache", True, reason, hint)


def load_seconds(release: ReleaseSpec) -> int:
    """How long a load is planned to take, in seconds: the weights are read once, the image is pulled once for the model
    and once for each adapter.

    Raises:
        UnknownFact: the catalog does not know the model's architecture.
    """
    facts = catalog.model_facts(release.model)
    stages = cold_start(EXISTING, catalog.device("cpu"), weight_bytes(facts, release.quantization))
    return stages.image_pull * (1 + len(release.adapters)) + stages.weights


def load_timeout_seconds(loader: LoaderSpec, release: ReleaseSpec) -> int:
    """Time in which a load must end, in seconds; before the first byte, rights may have to spread.

    Raises:
        UnknownFact: the catalog does not know the model's architecture.
    """
    return loader.timeout_seconds or GRANT_SECONDS + TIMEOUT_FACTOR * load_seconds(release)


def load_timeout_problems(loader: LoaderSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """A problem where a release cannot be loaded in the time that a setting gives it; paths are below the loader.

    Raises:
        UnknownFact: the catalog does not know the model's architecture.
    """
    if loader.timeout_seconds is not None and loader.timeout_seconds < (planned := load_seconds(release)):
        reason = f"ends the load of {release.name} {release.version}, which is planned to take {planned} s"
        yield Problem("timeoutSeconds", loader.timeout_seconds, reason, _or_more(planned))
