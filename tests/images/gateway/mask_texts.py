"""Runs in the gateway's Python: masks texts with the patterns that the gateway configures, whole and as streams.

Reads ``{kind: text}`` as JSON from standard input and writes for each kind the masked text and what streams of chunks
of several sizes said.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

from litellm.proxy._types import UserAPIKeyAuth  # pyright: ignore[reportMissingImports]
from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter.content_filter import (  # pyright: ignore[reportMissingImports]
    ContentFilterGuardrail,
)
from litellm.types.guardrails import ContentFilterPattern  # pyright: ignore[reportMissingImports]
from litellm.types.utils import ModelResponseStream  # pyright: ignore[reportMissingImports]
from llm_serving_gateway.configuration import Guardrails
from llm_serving_gateway.guardrails import install, render

SIZES = (1, 2, 3, 7, 49, 1000)


def guardrail(kind: str) -> ContentFilterGuardrail:
    """The guardrail of answers that looks for one kind."""
    settings = Guardrails.model_validate({"output": [kind], "action": "mask"})
    install(settings)
    (rendered,) = render(settings)
    patterns = [ContentFilterPattern(**pattern) for pattern in rendered["litellm_params"]["patterns"]]
    return ContentFilterGuardrail(guardrail_name=kind, patterns=patterns, event_hook="post_call", default_on=True)


async def chunks(text: str, size: int) -> AsyncIterator[ModelResponseStream]:
    for start in range(0, len(text), size):
        finish = "stop" if start + size >= len(text) else None
        choice = {"index": 0, "delta": {"content": text[start : start + size]}, "finish_reason": finish}
        yield ModelResponseStream(id="c", model="m", choices=[choice])


async def streamed(kind: str, text: str, size: int) -> str:
    stream = guardrail(kind).async_post_call_streaming_iterator_hook(UserAPIKeyAuth(), chunks(text, size), {})
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def main() -> None:
    masked = {}
    for kind, text in json.load(sys.stdin).items():
        whole = await guardrail(kind).apply_guardrail({"texts": [text]}, {}, "response")
        masked[kind] = [whole["texts"][0], *[await streamed(kind, text, size) for size in SIZES]]
    json.dump(masked, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
