"""Service level objectives: each is about something that the engine measures, and there is one for each thing."""

from collections.abc import Iterator

from llm_serving.errors import Problem, Suggestion
from llm_serving.metrics.engines import LatencyKind, engine_metrics
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import LatencyObjective, ModelSpec, Task

_WORDS = {
    LatencyKind.TIME_TO_FIRST_TOKEN: ("timeToFirstToken", "the time to the first token"),
    LatencyKind.INTER_TOKEN_LATENCY: ("interTokenLatency", "the time between tokens"),
    LatencyKind.LATENCY: ("latency", "the time to the last token"),
}


def check_objectives(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``models[].slo``."""
    for index, model in enumerate(stack.models):
        path = f"models[{index}]"
        yield from _two_for_one_thing(path, model)
        for kind, (key, words) in _WORDS.items():
            objective: LatencyObjective | None = getattr(model.slo, kind)
            if objective is not None:
                yield from _measured(f"{path}.slo.{key}", kind, words, objective, model, stack)


def nearest_counted(seconds: float, bounds: tuple[float, float] | None) -> float | None:
    """The nearest objective that a histogram can tell, where it cannot tell this one: it says nothing below its first
    bound, where every quantile lies above the objective, and nothing above its last one, where none does.

    Args:
        seconds: the objective.
        bounds: first and last bound of the histogram; ``None`` where nobody knows them.
    """
    if bounds is None or bounds[0] <= seconds < bounds[1]:
        return None
    return bounds[0] if seconds < bounds[0] else bounds[1] / 2


def _two_for_one_thing(path: str, model: ModelSpec) -> Iterator[Problem]:
    own = None if model.autoscaling is None else model.autoscaling.ttft_seconds
    if own is not None and model.slo.time_to_first_token is not None:
        reason = "slo.timeToFirstToken is the objective for the same thing, and scaling follows it"
        yield Problem(f"{path}.autoscaling.ttftSeconds", own, reason, Suggestion("leave it out", removal=True))


def _measured(
    path: str, kind: LatencyKind, words: str, objective: LatencyObjective, model: ModelSpec, stack: StackShape
) -> Iterator[Problem]:
    for version in (version for _, version in releases_of(model)):
        release = stack.releases.get((model.name, version))
        if release is None:
            continue
        if release.task is not Task.GENERATE and kind is not LatencyKind.LATENCY:
            reason = f"release {version} writes no text, so there is no such time"
            yield Problem(path, None, reason, Suggestion("leave it out, or slo.latency", removal=True))
            return
        metrics = engine_metrics(release.engine.name)
        if metrics.histogram(kind) is None:
            reason = f"{release.engine.name.value}, the engine of release {version}, does not measure {words}"
            yield Problem(path, None, reason, Suggestion("leave it out", removal=True))
            return
        bounds = metrics.bounds(kind)
        nearest = nearest_counted(objective.seconds, bounds)
        if bounds is not None and nearest is not None:
            reason = f"the engine of release {version} counts {words} from {bounds[0]:g} to {bounds[1]:g} seconds"
            yield Problem(f"{path}.seconds", objective.seconds, reason, Suggestion(values=[nearest]))
            return
