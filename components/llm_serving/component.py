"""What every public component of this package has in common: the door through which its arguments come in."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyErrorDetails

from llm_serving.arguments import Frozen, M, parse
from llm_serving.errors import Problem, ProblemsError, shorten

PACKAGE = "llm-serving"
"""Name of the Pulumi package; the first part of every type token."""


def token(component: str) -> str:
    """The type token of a public component. Tokens are flat (``<package>:index:<Class>``): the plugin protocol of
    Python component packages knows no modules."""
    return f"{PACKAGE}:index:{component}"


def validated(model: type[M], args: Any, component: str, name: str) -> M:
    """The arguments of a component as its frozen inner model.

    Raises:
        InputPropertiesError: with the property path of every refused value, which the engine shows as such.
    """
    try:
        return parse(model, dict(args), f"{component} {name!r}")
    except ProblemsError as error:
        raise refused(error) from None


def refused(error: ProblemsError) -> InputPropertiesError:
    """The same problems in the form that the engine shows as a diagnostic with property paths."""
    details: list[InputPropertyErrorDetails] = [
        {"property_path": problem.path, "reason": _reason(problem)} for problem in error.problems
    ]
    return InputPropertiesError(str(error), details)


@contextmanager
def refusing(source: str) -> Generator[None]:
    """Problems that are found inside surface as the engine shows them, under the name of what they were found in."""
    try:
        yield
    except ProblemsError as error:
        raise refused(error.from_source(source)) from None


def reading(contract: type[M], given: Any, source: str) -> pulumi.Output[M]:
    """What another component says, as the contract's model. It may not be known before the deployment, so a refusal
    surfaces, under the name of ``source``, when the first object that needs it is registered."""

    def read(data: Any) -> M:
        with refusing(source):
            return parse(contract, data)

    return pulumi.Output.from_input(given).apply(read)


def child(parent: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:
    """Options of a component's child: ``parent`` cannot be forgotten, everything else is passed on."""
    return pulumi.ResourceOptions(parent=parent, **options)


def _reason(problem: Problem) -> str:
    found = "" if problem.value is None else f"{shorten(problem.value)}: "
    hint = f" (try: {problem.suggestion})" if problem.suggestion else ""
    return f"{found}{problem.reason}{hint}"


__all__ = ["PACKAGE", "Frozen", "child", "reading", "refused", "refusing", "token", "validated"]
