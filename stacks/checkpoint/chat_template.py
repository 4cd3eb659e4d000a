"""Chat templates, compiled and run as transformers does it: Jinja in a sandbox that changes nothing, with its filters,
functions and the tag for what the model itself said (``transformers/utils/chat_template_utils.py``, 5.19)."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as LoopControls  # noqa: N812  it is a class
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_serving.errors import Problem

_QUESTION = "What is the capital of France?"

SAMPLE: Sequence[dict[str, str]] = (
    {"role": "user", "content": "Good morning."},
    {"role": "assistant", "content": "Good morning. How can I help?"},
    {"role": "user", "content": _QUESTION},
)
"""A conversation that every chat template must take: turns of both sides, no system prompt, which some refuse."""


class _Generation(Extension):
    """The tag ``generation``, which marks what the model itself said: its body is rendered as it is."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def template_problem(template: str, path: str) -> Problem | None:
    """What is wrong with a chat template, or ``None``: it is no Jinja, it fails on a sample conversation, or it leaves
    out what the user asked. Contents are texts or, where the template reads them so, lists of parts: vLLM finds out
    which and gives it that (``_detect_content_format`` of ``vllm/renderers/hf.py``, 0.32.0)."""
    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in SAMPLE]
    problem = _problem_with(template, path, SAMPLE)
    return None if problem is None or _problem_with(template, path, parts) is None else problem


def _problem_with(template: str, path: str, messages: Sequence[Mapping[str, Any]]) -> Problem | None:
    environment: Any = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControls]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        text = environment.from_string(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
            tools=None,
            documents=None,
        )
    except TemplateSyntaxError as error:
        return Problem(path, None, f"is no Jinja template: line {error.lineno}: {error.message}")
    except UndefinedError as error:
        return Problem(path, None, f"fails on a conversation of two turns: {error.message}")
    except Exception as error:  # whatever the template's own expressions raise
        return Problem(path, None, f"fails on a conversation of two turns: {error}")
    if _QUESTION not in text:
        return Problem(path, None, "leaves out what the user asks", "a template with {{ message['content'] }}")
    return None
