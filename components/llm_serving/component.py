"""What every public component of this package has in common: the door through which its arguments come in."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyErrorDetails

from llm_serving.arguments import Frozen, M, parse
from llm_serving.errors import Problem, ProblemsError, problems_under, shorten

PACKAGE = "llm-serving"
"""Name of the Pulumi package; the first part of every type token."""


def token(component: str) -> str:
    """The type token of a public component. Tokens are flat (``<package>:index:<Class>``): the plugin protocol of
    Python component packages knows no modules."""
    return f"{PACKAGE}:index:{component}"


def validated(model: type[M], args: Any, component: str, name: str) -> M:
    """The arguments of a component as its frozen inner model.

    Raises:
        InputPropertiesError: with the property path of every refused value, which the Pulumi engine shows.
    """
    try:
        return parse(model, dict(args), f"{component} {name!r}")
    except ProblemsError as error:
        raise to_input_errors(error) from None


def to_input_errors(error: ProblemsError) -> InputPropertiesError:
    """The same problems in the form that the Pulumi engine shows as a diagnostic with property paths."""
    details: list[InputPropertyErrorDetails] = [
        {"property_path": problem.path, "reason": _reason(problem)} for problem in error.problems
    ]
    return InputPropertiesError(str(error), details)


@contextmanager
def raising_input_errors(source: str) -> Generator[None]:
    """Turn a :class:`ProblemsError` of the block into an ``InputPropertiesError`` that names ``source``."""
    try:
        yield
    except ProblemsError as error:
        raise to_input_errors(error.from_source(source)) from None


def parse_output(
    contract: type[M], value: Any, source: str, field: str, check: Callable[[M], Iterable[Problem]] | None = None
) -> pulumi.Output[M]:
    """The output of another component as a model of the contract. It may be unknown before the deployment, so a refusal
    surfaces when the first object that needs it is registered.

    Args:
        contract: model to validate the value into.
        value: a dictionary, or an output of one.
        source: component and name, for messages.
        field: the argument that holds the value; property paths begin with it.
        check: problems of a valid value, with paths below ``field``.
    """

    def read(data: Any) -> M:
        with raising_input_errors(source), problems_under(field):
            model = parse(contract, data)
            problems = () if check is None else tuple(check(model))
            if problems:
                raise ProblemsError(problems)
        return model

    return pulumi.Output.from_input(value).apply(read)


def child(parent: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
    """Options of a component's child resource; ``options`` are those of ``pulumi.ResourceOptions``."""
    return pulumi.ResourceOptions(parent=parent, **options)


def _reason(problem: Problem) -> str:
    value = "" if problem.value is None else f"{shorten(problem.value)}: "
    hint = f" (try: {problem.suggestion})" if problem.suggestion else ""
    return f"{value}{problem.reason}{hint}"


__all__ = [
    "PACKAGE",
    "Frozen",
    "child",
    "parse_output",
    "raising_input_errors",
    "to_input_errors",
    "token",
    "validated",
]
