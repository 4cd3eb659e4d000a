"""The rules of ``planning`` as a component asks them of its own arguments.

Whoever uses the whole stack has them checked before, with the paths of the settings file. A component checks for
itself, so that it is as safe when it is used alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_serving.component import to_input_errors
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.rules import StackShape, check


def obey_rules(
    component: str,
    name: str,
    paths: Mapping[str, str],
    **shape: Any,
) -> None:
    """Raise unless the part of a stack that ``shape`` describes obeys every rule.

    Args:
        component: class of the component, for the message.
        name: name of the component, for the message.
        paths: beginnings of paths in the settings and what they are called among the component's arguments, for
            example ``network`` and ``ranges``.
        shape: fields of :class:`StackShape`; ``cloud`` is one of them.

    Raises:
        InputPropertiesError: with the property path of every refused value.
    """
    problems = [_renamed(problem, paths) for problem in check(StackShape(**shape))]
    if problems:
        raise to_input_errors(ProblemsError(problems, f"{component} {name!r}"))


def _renamed(problem: Problem, paths: Mapping[str, str]) -> Problem:
    for before, after in paths.items():
        if problem.path == before or problem.path.startswith((f"{before}.", f"{before}[")):
            return replace(problem, path=after + problem.path[len(before) :])
    return problem
