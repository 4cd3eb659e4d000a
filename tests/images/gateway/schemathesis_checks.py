"""What schemathesis is to look at besides its own checks; runs in the clients' Python."""

import re
from collections.abc import Iterator
from typing import Any

import schemathesis  # pyright: ignore[reportMissingImports]

_INSIDE = re.compile(
    r"traceback|litellm|vllm|exception|\.py\b|127\.0\.0\.1|localhost|10\.0\.0\.7|secret internals", re.IGNORECASE
)
_NOT_IN_A_SCHEMA = ("context_length_exceeded", "request_too_large")
_AT_MOST = re.compile(r"^max_(completion_)?tokens: at most \d+$")


@schemathesis.check
def nothing_of_the_inside(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """An error says nothing of how the gateway is made, but for what the client said first."""
    found = _INSIDE.search(response.text) if response.status_code >= 400 else None
    if found is not None and found[0].lower() not in f"{case.body!r} {case.path_parameters!r}".lower():
        raise AssertionError(f"the answer says {found[0]}")


@schemathesis.check
def described_requests_are_answered(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """What the description allows is refused for what no schema can say, and for nothing else."""
    generation = case.meta.generation if case.meta is not None else None
    if generation is None or generation.mode is not schemathesis.GenerationMode.POSITIVE or response.status_code != 400:
        return
    error = response.json()["error"]
    if error["code"] in _NOT_IN_A_SCHEMA or _AT_MOST.match(error["message"]):
        return
    # JSON has one kind of number: 1.0 is an integer to a schema, and not to the gateway, nor to engines.
    if any(isinstance(each, float) and each.is_integer() for each in _leaves(case.body)):
        return
    raise AssertionError(f"refused: {error['message']}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for each in value:
        yield from _leaves(each)
