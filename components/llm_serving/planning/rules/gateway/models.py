"""What differs between models: fallbacks that exist, answer the same task and end; time-outs in their order."""

from collections.abc import Iterator, Mapping
from math import ceil

from llm_serving.errors import LEAVE_OUT, Problem, Suggestion, nearest_or_few
from llm_serving.planning.gateway import why_without_router
from llm_serving.planning.rules.models import plans_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewayModelSpec, GatewaySpec, GatewayTimeoutsSpec, ModelSpec, ReleaseSpec, Routing, Task


def check_models(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.models`` and ``gateway.timeouts``."""
    served = {model.name: model for model in stack.models}
    seen: dict[str, int] = {}
    for index, model in enumerate(gateway.models):
        path = f"models[{index}]"
        if model.name not in served:
            yield Problem(f"{path}.name", model.name, "no such model", nearest_or_few(model.name, served))
        elif model.name in seen:
            reason = f"gateway.models[{seen[model.name]}] is about the same model"
            others = sorted(served.keys() - {each.name for each in gateway.models})
            edits = [{"": others[0]}] if others else []
            hint = Suggestion(f"{path} left out", edits=[*edits, {f"/gateway.{path}": None}])
            yield Problem(f"{path}.name", model.name, reason, hint)
        else:
            seen[model.name] = index
            yield from (problem.under(path) for problem in _fallbacks(stack, model, served))
            yield from (problem.under(path) for problem in _routing(stack, model, served[model.name]))
        if model.timeouts is not None:
            yield from (problem.under(f"{path}.timeouts") for problem in _timeouts(model.timeouts))
    yield from _cycles(gateway)
    yield from (problem.under("timeouts") for problem in _timeouts(gateway.timeouts))


def _fallbacks(stack: StackShape, model: GatewayModelSpec, served: Mapping[str, ModelSpec]) -> Iterator[Problem]:
    task = task_of(stack, served[model.name])
    for number, name in enumerate(model.fallbacks):
        path = f"fallbacks[{number}]"
        if name == model.name:
            yield Problem(path, name, "is the model itself", LEAVE_OUT)
        elif name in model.fallbacks[:number]:
            yield Problem(path, name, "is asked already", LEAVE_OUT)
        elif name not in served:
            others = served.keys() - {model.name, *model.fallbacks}
            near = nearest_or_few(name, (each for each in others if task_of(stack, served[each]) is task))
            yield Problem(path, name, "no such model", near or LEAVE_OUT)
        elif (other := task_of(stack, served[name])) is not None and task is not None and other is not task:
            reason = f"is a model to {other}, and {model.name} one to {task}: its answer would be of another kind"
            yield Problem(path, name, reason, LEAVE_OUT)


def task_of(stack: StackShape, model: ModelSpec) -> Task | None:
    """What the stable release of a model is asked for; ``None`` where it is not known."""
    release = _release(stack, model)
    return None if release is None else release.task


def _release(stack: StackShape, model: ModelSpec) -> ReleaseSpec | None:
    return stack.releases.get((model.name, model.releases.stable))


def _cycles(gateway: GatewaySpec) -> Iterator[Problem]:
    """A fallback that leads back to where a request came from: two models that fail would ask each other."""
    fallbacks = {model.name: model.fallbacks for model in gateway.models}
    kept: dict[str, set[str]] = {}
    for index, model in enumerate(gateway.models):
        for number, name in enumerate(model.fallbacks):
            if name == model.name or name not in fallbacks:
                continue
            if model.name in _reached_from(name, kept):
                reason = f"falls back to {model.name} itself, so that a request would go round"
                yield Problem(f"models[{index}].fallbacks[{number}]", name, reason, LEAVE_OUT)
            else:
                kept.setdefault(model.name, set()).add(name)


def _reached_from(name: str, fallbacks: Mapping[str, set[str]]) -> set[str]:
    reached, open_ = {name}, [name]
    while open_:
        more = fallbacks.get(open_.pop(), set()) - reached
        reached |= more
        open_ += more
    return reached


def _routing(stack: StackShape, model: GatewayModelSpec, served: ModelSpec) -> Iterator[Problem]:
    reason = why_without_router(served, task_of(stack, served))
    if model.routing is Routing.ROUTER and reason is not None:
        yield Problem("routing", model.routing.value, reason, Suggestion(values=[Routing.SERVICE.value]))


def _timeouts(timeouts: GatewayTimeoutsSpec) -> Iterator[Problem]:
    """Each is part of the next."""
    first, total = timeouts.first_token_seconds, timeouts.total_seconds
    if timeouts.connect_seconds > first:
        reason = f"is longer than firstTokenSeconds, {first:g}, which begins with it"
        yield Problem("connectSeconds", timeouts.connect_seconds, reason, Suggestion(values=[first]))
    for name, value in (("firstTokenSeconds", first), ("betweenTokensSeconds", timeouts.between_tokens_seconds)):
        if value > total:
            reason = f"is longer than totalSeconds, {total:g}, and never comes to pass"
            yield Problem(name, value, reason, Suggestion(values=[total]))


def _note_wake(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Who wakes a model is refused where the gateway waits for less than its cold start."""
    plans, _ = plans_of(stack)
    for index, model in enumerate(stack.models):
        plan = plans.get(index, {}).get(model.releases.stable)
        wait = gateway.timeouts_of(model.name).wake_seconds
        if model.may_sleep and plan is not None and 0 < wait < plan.cold_start_seconds:
            seconds = plan.cold_start_seconds
            reason = (
                f"{model.name} is planned to take {seconds:g} s from 0 instances to its first answer: who asks it then "
                "waits in vain, and must ask again"
            )
            own = (number for number, each in enumerate(gateway.models) if each.name == model.name and each.timeouts)
            place = next((f"models[{number}]." for number in own), "")
            yield Problem(f"{place}timeouts.wakeSeconds", wait, reason, Suggestion(values=[ceil(seconds), 0]))


def note_models(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Answers that are cut off, and fallbacks that hold less."""
    for model in stack.models:
        longest, total = model.drain.longest_request_seconds, gateway.timeouts_of(model.name).total_seconds
        if longest is not None and longest > total:
            reason = f"the longest request of {model.name} takes {longest} s (drain.longestRequestSeconds), and is cut"
            yield Problem("timeouts.totalSeconds", total, reason, Suggestion(f"{longest}"))
    yield from _note_wake(stack, gateway)
    for index, model in enumerate(gateway.models):
        if model.max_requests is not None and gateway.redis.limits is None:
            share = max(1, model.max_requests // gateway.replicas.max)
            reason = f"without redis.limits pods know nothing of each other: each takes {share} at once"
            yield Problem(f"models[{index}].maxRequests", model.max_requests, reason)
    served = {model.name: model for model in stack.models}
    for index, model in enumerate(gateway.models):
        own = _release(stack, served[model.name])
        for number, name in enumerate(model.fallbacks):
            other = _release(stack, served[name])
            if own is not None and other is not None and other.context_length < own.context_length:
                reason = (
                    f"takes {other.context_length} tokens, and {model.name} {own.context_length}: longer requests have "
                    "no fallback"
                )
                yield Problem(f"models[{index}].fallbacks[{number}]", name, reason)
