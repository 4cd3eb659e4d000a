"""Functions of a simulated cloud: what a program can look up. Arguments are checked against the SDK first. A function
that is not there is an error that says so: an invented answer would be worse."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from llm_serving.errors import ProblemsError
from local.providers.properties import Properties
from local.providers.provider import CloudError
from local.providers.schema import Sdk, check


def call(
    sdk: Sdk,
    title: str,
    functions: Mapping[str, Callable[[Mapping[str, Any]], Properties]],
    token: str,
    arguments: Properties,
) -> Properties:
    """Run a function.

    Args:
        sdk: the cloud's SDK.
        title: the cloud as people call it.
        functions: what answers, by token.
        token: the function.
        arguments: what it is asked with.

    Raises:
        ProblemsError: the arguments are not those that the SDK knows.
        CloudError: the SDK or the local cloud has no such function, or the cloud refuses.
    """
    schema = sdk.function(token)
    if schema is None:
        raise CloudError(f"{token}: the SDK has no such function", grpc.StatusCode.NOT_FOUND)
    problems, _ = check(schema.inputs, arguments)
    if problems:
        raise ProblemsError(problems, token)
    function = functions.get(token)
    if function is None:
        raise CloudError(
            f"{token}: the local {title} does not answer this function; it knows {', '.join(sorted(functions))}",
            grpc.StatusCode.UNIMPLEMENTED,
        )
    return {**arguments, **function(arguments)}
