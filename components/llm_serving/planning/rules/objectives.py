"""Service level objectives: each is about something that the engine measures, and there is one for each thing."""

from collections.abc import Iterator

from llm_serving.errors import Problem, Suggestion
from llm_serving.metrics.engines import EngineMetrics, engine_metrics
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import LatencyObjective, ModelSpec, Task

_WORDS = {
    "time_to_first_token": ("timeToFirstToken", "the time to the first token"),
    "inter_token_latency": ("interTokenLatency", "the time between tokens"),
    "latency": ("latency", "the time to the last token"),
}


def check_objectives(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``models[].slo``."""
    for index, model in enumerate(stack.models):
        path = f"models[{index}]"
        yield from _two_for_one_thing(path, model)
        for name, (key, words) in _WORDS.items():
            objective: LatencyObjective | None = getattr(model.slo, name)
            if objective is not None:
                yield from _measured(f"{path}.slo.{key}", name, words, objective, model, stack)


def _two_for_one_thing(path: str, model: ModelSpec) -> Iterator[Problem]:
    own = None if model.autoscaling is None else model.autoscaling.ttft_seconds
    if own is not None and model.slo.time_to_first_token is not None:
        reason = "slo.timeToFirstToken is the objective for the same thing, and scaling follows it"
        yield Problem(f"{path}.autoscaling.ttftSeconds", own, reason, Suggestion("leave it out", removal=True))


def _measured(
    path: str, name: str, words: str, objective: LatencyObjective, model: ModelSpec, stack: StackShape
) -> Iterator[Problem]:
    for version in (version for _, version in releases_of(model)):
        release = stack.releases.get((model.name, version))
        if release is None:
            continue
        if release.task is not Task.GENERATE and name != "latency":
            reason = f"release {version} writes no text, so there is no such time"
            yield Problem(path, None, reason, Suggestion("leave it out, or slo.latency", removal=True))
            return
        metrics = engine_metrics(release.engine.name)
        if _metric(metrics, name) is None:
            reason = f"{release.engine.name.value}, the engine of release {version}, does not measure {words}"
            yield Problem(path, None, reason, Suggestion("leave it out", removal=True))
            return
        bounds = _bounds(metrics, name)
        if bounds is not None and not bounds[0] <= objective.seconds < bounds[1]:
            # A histogram says nothing below its first bound, nor above its last one.
            reason = f"the engine of release {version} counts {words} from {bounds[0]:g} to {bounds[1]:g} seconds"
            nearest_bound = bounds[0] if objective.seconds < bounds[0] else bounds[1] / 2
            yield Problem(f"{path}.seconds", objective.seconds, reason, Suggestion(values=[nearest_bound]))
            return


def _metric(metrics: EngineMetrics, name: str) -> str | None:
    return metrics.request_latency if name == "latency" else getattr(metrics, name)


def _bounds(metrics: EngineMetrics, name: str) -> tuple[float, float] | None:
    return metrics.request_latency_bounds if name == "latency" else getattr(metrics, f"{name}_bounds")
