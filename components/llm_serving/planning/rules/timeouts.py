"""Time-outs: no shorter than what they wait for, and told where an update does not wait."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.models import plans_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.timeouts import is_awaited, load_timeout_problems, timeout_problems


def check_timeouts(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``timeouts`` of models, and that of the loader."""
    plans, _ = plans_of(stack)
    for index, model_plans in plans.items():
        model = stack.models[index]
        node = stack.node(model.pool)
        slowest = max(plan.cold_start_seconds for plan in model_plans.values())
        if node is not None:
            yield from (problem.under(f"models[{index}]") for problem in timeout_problems(model, slowest, node))
        for version in model_plans:
            release = stack.releases[model.name, version]
            if stack.loader is not None:
                yield from (problem.under("loader") for problem in load_timeout_problems(stack.loader, release))


def note_timeouts(stack: StackShape) -> Iterator[Problem]:
    """Models that an update does not wait for."""
    for index, model in enumerate(stack.models):
        node = stack.node(model.pool)
        if node is not None and not is_awaited(model.timeouts, node):
            reason = (
                f"nodes of pool {model.pool} may come from the queue of flex-start, which names no end: an update does "
                "not wait for the instances, and its summary says which of them wait"
            )
            hint = Suggestion("a number of seconds, for which it waits", needs=Needs.CHOICE)
            yield Problem(f"models[{index}].timeouts.capacitySeconds", None, reason, hint)
