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
from stacks.checkpoint.chat_template import QUESTION


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


def rendering_problem(template: str, path: str, messages: Sequence[Mapping[str, Any]]) -> Problem | None:
    """What is wrong with a template for a conversation that ends with :data:`QUESTION`, or ``None``."""
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
    if QUESTION not in text:
        return Problem(path, None, "leaves out what the user asks", "a template with {{ message['content'] }}")
    return None
