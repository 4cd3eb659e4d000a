"""Lines of a batch's file, in OpenAI's form: one request each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from llm_serving_gateway import encoding, requests
from llm_serving_gateway.configuration import Model
from llm_serving_gateway.key_file import Key
from llm_serving_gateway.refusals import RefusalError, invalid

MOST_ERRORS = 20
"""Wrong lines of a file that its batch names."""

Check = Callable[[Key, str, Mapping[str, Any]], Model]
"""The model that a request asks, which the key may use."""


class Line(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid")

    custom_id: Annotated[StrictStr, Field(min_length=1, max_length=512)]
    method: StrictStr
    url: StrictStr
    body: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A line that may be sent: where it is in the file, and what its task has to know of it."""

    offset: int
    length: int
    custom_id: str
    model: str


def spans(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the lines are that have something on them: offset and length."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if content[start:end].strip():
            yield start, end - start
        start = end + 1


def parse(line: bytes) -> dict[str, Any]:
    """The fields of a line.

    Raises:
        RefusalError: 400.
    """
    return requests.parse_as(Line, line)


def check_request(key: Key, path: str, body: bytes, check: Check) -> tuple[dict[str, Any], Model]:
    """A request as it would be checked at once, which must not ask for a stream.

    Raises:
        RefusalError: 400, 403, 404.
    """
    fields = requests.parse(path, body)
    model = check(key, path, fields)
    if fields.get("stream"):
        raise invalid("stream: there is nobody to stream to", "stream", "invalid_value")
    return fields, model


def check_line(line: bytes, key: Key, path: str, body_bytes: int, check: Check) -> tuple[str, str]:
    """Custom id and model of a line.

    Raises:
        RefusalError: 400, 403, 404, 413.
    """
    if len(line) > body_bytes:
        raise RefusalError(413, f"The line is longer than {body_bytes} bytes.", "request_too_large")
    fields = parse(line)
    if fields["method"] != "POST":
        raise invalid("method: is POST", "method", "invalid_value")
    if fields["url"] != path:
        raise invalid(f"url: is {path}, as the batch says", "url", "mismatched_endpoint")
    _, model = check_request(key, path, requests.dumps(fields["body"]), check)
    return fields["custom_id"], model.name


def error(line: int, refusal: RefusalError) -> Mapping[str, Any]:
    """What a batch says of a wrong line, counted from 1."""
    return {"code": refusal.code, "message": refusal.message, "line": line, "param": refusal.param}


def result(public_id: str, custom_id: str, status: int, body: Any) -> bytes:
    """A line of the output or error file."""
    response = {"status_code": status, "request_id": public_id, "body": body}
    value = {"id": public_id, "custom_id": custom_id, "response": response, "error": None}
    return encoding.dumps(value)
