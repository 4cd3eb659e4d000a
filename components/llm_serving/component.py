"""What every public component of this package has in common: the door through which its arguments come in."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyErrorDetails
from pydantic import BaseModel

from llm_serving.arguments import Frozen, M, as_in_the_file, parse
from llm_serving.credentials import HUB_TOKEN_KIND, KUBECONFIG_KIND, Location, check_credentials
from llm_serving.errors import Problem, ProblemsError, problems_under, shorten

PACKAGE = "llm-serving"
"""Name of the Pulumi package; the first part of every type token."""

T = TypeVar("T")


def token(component: str) -> str:
    """The type token of a public component. Tokens are flat (``<package>:index:<Class>``): the plugin protocol of
    Python component packages knows no modules."""
    return f"{PACKAGE}:index:{component}"


def validated(model: type[M], args: Any, component: str, name: str) -> M:
    """The arguments of a component as its frozen inner model. No message repeats a credential: arguments that hold one
    in plain text are refused first.

    Raises:
        InputPropertiesError: with the property path of every refused value, which the Pulumi engine shows.
    """
    source = f"{component} {name!r}"
    data = dict(args)
    try:
        plain = {key: value for key, value in data.items() if not _is_input(model, key)}
        if problems := [*credential_problems(plain, lambda location: as_in_the_file(model, location))]:
            raise ProblemsError(problems, source)
        return parse(model, data, source)
    except ProblemsError as error:
        raise to_input_errors(error) from None


def credential_problems(
    arguments: Mapping[str, Any], spelling: Callable[[Location], Location] = tuple
) -> Iterator[Problem]:
    """A problem for each credential that arguments hold in plain text.

    Args:
        arguments: plain ones; an input that Pulumi keeps, and that may be a secret, is not among them.
        spelling: the location as it is shown.
    """
    return check_credentials(arguments, _BELONGS_TO, "arguments", spelling)


_BELONGS_TO = {
    HUB_TOKEN_KIND: "hubToken of TeamNamespace, a secret",
    KUBECONFIG_KIND: "kubeconfig of ExistingCluster, a secret",
    "loader": "hubToken of TeamNamespace, a secret",
    "imagePull": "imagePullPassword, a secret",
    "prometheusAuth": "prometheusCredential of TeamNamespace, a secret",
    "prometheusUrl": "prometheusAuth of ModelService and TeamNamespace",
    "egress": "a proxy or mirror that knows its clients by their addresses",
}
"""Where a credential belongs, by its kind or by the argument that it stands below."""


def _is_input(model: type[BaseModel], key: str) -> bool:
    """Whether an argument is an input that goes into resources as it is, and may be a secret of Pulumi there."""
    return any(key in (name, field.alias) and field.annotation is Any for name, field in model.model_fields.items())


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


def after(ready: pulumi.Output[Any], value: pulumi.Output[T]) -> pulumi.Output[T]:
    """``value``, once ``ready`` is there."""
    return pulumi.Output.all(value, ready).apply(lambda known: known[0])


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
    "credential_problems",
    "parse_output",
    "raising_input_errors",
    "to_input_errors",
    "token",
    "validated",
]
