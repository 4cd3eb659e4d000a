"""What a request may be: paths, size of the body, types and ranges of its fields. All else is refused here.

Only fields that are known pass. LiteLLM takes orders from a body (``api_base``, ``mock_response``, ``cache``,
``fallbacks``, ``metadata`` and some hundred more), and an engine some that touch others (``priority``,
``chat_template``): none of them is a client's to set.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from llm_serving_gateway import encoding
from llm_serving_gateway.configuration import Task
from llm_serving_gateway.refusals import RefusalError, invalid, unavailable

BODY_SECONDS = 60.0
"""How long a client may take to send its request."""
HELD_BYTES = 128 * 1024 * 1024
"""Most bytes of bodies that one gateway holds, over all requests: each is there some five times until its answer ends
(as it came, its fields, as LiteLLM gets it), and a pod has a gigabyte for them."""

Item = TypeVar("Item")


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    if all(type(value) in (int, float) and math.isfinite(value) for value in values.values()):
        return values
    raise PydanticCustomError("numbers", "Every value should be a number")


def _booleans(values: dict[str, Any]) -> dict[str, Any]:
    if all(type(value) is bool for value in values.values()):
        return values
    raise PydanticCustomError("booleans", "Every value should be true or false")


_PARTS = ("text", "image_url", "input_audio", "audio_url", "video_url", "file", "refusal")
"""Types of the parts of a message. LiteLLM refuses others too, and logs what they are."""


def _parts(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if all(value.get("type") in _PARTS for value in values):
        return values
    raise PydanticCustomError("parts", "Every part should have a type that messages have")


_OF_PARTS = WithJsonSchema(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"type": {"type": "string", "enum": [*_PARTS]}},
            "required": ["type"],
            "additionalProperties": True,
        },
    }
)


def _of(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "object", "additionalProperties": {"type": kind}})


# pydantic keeps an error of every part that is wrong, of which a body of 4 MB has a million: lists end at their first,
# and dictionaries, which cannot, are looked at here.
List = Annotated[list[Item], Field(fail_fast=True)]
Numbers = Annotated[dict[str, Any], AfterValidator(_numbers), _of("number")]
Booleans = Annotated[dict[str, Any], AfterValidator(_booleans), _of("boolean")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[StrictInt, Field(ge=1, le=2**31)]
Tokens = Annotated[List[Annotated[StrictInt, Field(ge=0, le=2**31)]], Field(min_length=1)]
Text = Annotated[StrictStr, Field(min_length=1)]
Texts = Text | Tokens | Annotated[List[Text], Field(min_length=1)] | Annotated[List[Tokens], Field(min_length=1)]


class Body(BaseModel):
    """What all bodies have; a field that is null is one that is left out."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    user: StrictStr | None = None
    cache: Booleans | None = None


class Sampling(Body):
    """How an answer is generated: OpenAI's fields, and vLLM's that concern this request alone."""

    max_tokens: Count | None = None
    n: Annotated[StrictInt, Field(ge=1, le=128)] | None = None
    stream: StrictBool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: Numbers | None = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StrictStr | Annotated[List[StrictStr], Field(max_length=64)] | None = None
    response_format: dict[str, Any] | None = None

    top_k: Annotated[StrictInt, Field(ge=-1, le=2**31)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0, le=10)] | None = None
    length_penalty: Number | None = None
    stop_token_ids: Annotated[List[StrictInt], Field(max_length=256)] | None = None
    include_stop_str_in_output: StrictBool | None = None
    ignore_eos: StrictBool | None = None
    min_tokens: Annotated[StrictInt, Field(ge=0, le=2**31)] | None = None
    skip_special_tokens: StrictBool | None = None
    spaces_between_special_tokens: StrictBool | None = None
    truncate_prompt_tokens: Annotated[StrictInt, Field(ge=-1, le=2**31)] | None = None
    prompt_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    allowed_token_ids: List[StrictInt] | None = None
    bad_words: List[StrictStr] | None = None
    add_special_tokens: StrictBool | None = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: str | dict[str, Any] | None = None
    guided_regex: StrictStr | None = None
    guided_choice: List[StrictStr] | None = None
    guided_grammar: StrictStr | None = None
    return_tokens_as_token_ids: StrictBool | None = None


class Message(BaseModel):
    """One message; what else it has (``name``, ``tool_calls``, ``reasoning_content``) is the engine's."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    content: StrictStr | Annotated[List[dict[str, Any]], AfterValidator(_parts), _OF_PARTS] | None = None


class NamedFunction(BaseModel):
    """A function by its name."""

    name: Text


class NamedTool(BaseModel):
    """The tool that is to be called."""

    type: Literal["function"]
    function: NamedFunction


class Chat(Sampling):
    """The body of ``/v1/chat/completions``."""

    messages: Annotated[List[Message], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    tools: List[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: StrictBool | None = None
    reasoning_effort: StrictStr | None = None
    add_generation_prompt: StrictBool | None = None
    continue_final_message: StrictBool | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class Completion(Sampling):
    """The body of ``/v1/completions``."""

    prompt: Texts
    logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    echo: StrictBool | None = None
    suffix: StrictStr | None = None


class Embedding(Body):
    """The body of ``/v1/embeddings``."""

    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Count | None = None
    truncate_prompt_tokens: Annotated[StrictInt, Field(ge=-1, le=2**31)] | None = None


class Rerank(Body):
    """The body of ``/v1/rerank``."""

    query: Text
    documents: Annotated[List[StrictStr | dict[str, Any]], Field(min_length=1)]
    top_n: Count | None = None
    return_documents: StrictBool | None = None


BODIES: Mapping[str, type[Body]] = {
    "/v1/chat/completions": Chat,
    "/v1/completions": Completion,
    "/v1/embeddings": Embedding,
    "/v1/rerank": Rerank,
}
"""The paths that requests to models have, all with POST."""

TASKS: Mapping[str, Task] = {
    "/v1/chat/completions": Task.CHAT,
    "/v1/completions": Task.CHAT,
    "/v1/embeddings": Task.EMBED,
    "/v1/rerank": Task.CLASSIFY,
}

LEFT_OUT = ("metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
"""Fields of OpenAI's service that its clients send; they mean nothing here and are taken away."""


class HeldBytes:
    """Bytes of the bodies that are held, up to ``most``: many clients that send slowly hold no more together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[int], None]]:
        """What one request adds to by a call, and gives back at its end.

        The call raises :class:`RefusalError`, 503, where there would be more than allowed.
        """
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            if self.now + size > self._most:
                raise unavailable("The gateway holds as many requests as it can.", retry_after=1)
            mine += size
            self.now += size

        try:
            yield hold
        finally:
            self.now -= mine


_COMPLETIONS = "/v1/completions"
_UNDERSTOOD = frozenset({"model", "prompt", "max_tokens", "n", "stream", "stream_options"})
"""Fields of a completion that LiteLLM (1.110) reads as an engine does; it fails over ``response_format``, say."""
_PLACEHOLDER = "tokens"


def divide(path: str, fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What LiteLLM gets of a request, and what goes past it to the back ends: of completions, what it would misread.

    For engines of vLLM it refuses prompts that are tokens: in their place it gets a word, which nobody sees.
    """
    if path != _COMPLETIONS:
        return fields, {}
    shown = {name: value for name, value in fields.items() if name in _UNDERSTOOD}
    withheld = {name: value for name, value in fields.items() if name not in _UNDERSTOOD}
    prompt = fields["prompt"]
    if isinstance(prompt, list) and not isinstance(prompt[0], str):
        shown["prompt"], withheld["prompt"] = _PLACEHOLDER, prompt
    return shown, withheld


async def read_body(
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    headers: Mapping[str, str],
    limit: int,
    hold: Callable[[int], None],
) -> bytes | None:
    """The body of a request, or ``None`` where the client went away.

    Args:
        receive: ASGI's.
        headers: by their names in lower case.
        limit: most bytes.
        hold: called for each part, before it is kept.

    Raises:
        RefusalError: 413 as soon as it is known to be too large, 408, 415, and what ``hold`` raises.
    """
    too_large = RefusalError(413, f"The body is larger than {limit} bytes.", "request_too_large")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    if headers.get("content-encoding", "identity") != "identity":
        raise RefusalError(415, "Compressed bodies are not taken.", "unsupported_encoding")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return None
                part = event.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large
                hold(len(part))
                parts.append(part)
                if not event.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise RefusalError(408, f"The body did not arrive within {BODY_SECONDS:.0f} s.", "request_timeout") from None


def too_deep() -> RefusalError:
    """What is said of a body that is read and cannot be written again: the parser takes more levels than the writer."""
    return invalid("The body is nested too deeply.")


def dumps(value: Any) -> bytes:
    """JSON of what a client sent.

    Raises:
        RefusalError: 400, it is nested too deeply.
    """
    try:
        return encoding.dumps(value)
    except encoding.JSONEncodeError:
        raise too_deep() from None


def parse(path: str, body: bytes) -> dict[str, Any]:
    """The checked fields of the body of a request to a model that are set.

    Raises:
        RefusalError: 400, with the field that is to blame.
    """
    return parse_as(BODIES[path], body)


def parse_as(form: type[BaseModel], body: bytes) -> dict[str, Any]:
    """The checked fields of a body of this form that are set.

    Raises:
        RefusalError: 400, with the field that is to blame.
    """
    try:
        fields = encoding.loads(body)
    except encoding.JSONDecodeError:
        raise invalid("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise invalid("The body is not a JSON object.", code="invalid_json")
    fields = {name: value for name, value in fields.items() if value is not None and name not in LEFT_OUT}
    unknown = next((name for name in fields if name not in form.model_fields), None)
    if unknown is not None:
        raise invalid(f"Unknown field: {unknown[:100]}", unknown[:100], "unknown_parameter")
    try:
        form.model_validate(fields)
    except ValidationError as error:
        raise _problem(error, fields) from None
    return fields


def _problem(error: ValidationError, fields: object) -> RefusalError:
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = _place(problem["loc"], fields)
    name = ".".join(str(part) for part in place)
    if problem["type"] == "missing":
        return invalid(f"{name}: missing", name, "missing_required_parameter")
    return invalid(f"{name}: {problem['msg']}", name, "invalid_value")


def _place(location: tuple[int | str, ...], fields: object) -> list[int | str]:
    """The part of pydantic's location that the client sent: it also names the members of unions."""
    place: list[int | str] = []
    for number, part in enumerate(location):
        if isinstance(part, int) and isinstance(fields, list):
            fields = fields[part]
        elif isinstance(part, str) and isinstance(fields, dict) and (part in fields or number == len(location) - 1):
            fields = fields.get(part)
            part = part[:100]
        else:
            continue
        place.append(part)
    return place
