"""Runs in the gateway's Python: masks texts with the patterns that the gateway configures, whole and as streams.

Reads ``{kind: text}`` as JSON from standard input and writes for each kind the masked text and what streams of chunks
of several sizes said: as an answer, and as what a model thinks, as what it answers and as arguments of a tool call, one
after the other.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from llm_serving_gateway.configuration import Guardrails
from llm_serving_gateway.encoding import DONE
from llm_serving_gateway.guardrails import TextFilter, filters
from llm_serving_gateway.guards import GuardedStream

SIZES = (1, 2, 3, 7, 49, 1000)
PARTS = ("reasoning_content", "content", "arguments")


def text_filter(kind: str) -> TextFilter:
    """The filter of answers that looks for one kind."""
    *_, found = filters(Guardrails.model_validate({"output": [kind], "action": "mask"}))
    assert found is not None
    return found


def delta(part: str, text: str) -> Mapping[str, Any]:
    if part == "arguments":
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
    return {part: text}


def event(change: Mapping[str, Any], finish: str | None = None) -> bytes:
    return (
        b"data: "
        + json.dumps({"id": "c", "choices": [{"index": 0, "delta": change, "finish_reason": finish}]}).encode()
    )


async def streamed(kind: str, text: str, size: int, *, ends: bool) -> list[str]:
    """What a stream says of each part."""
    stream = GuardedStream(text_filter(kind))
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    events = [event(delta(part, piece)) for part in PARTS for piece in pieces]
    events += [event({}, "stop")] if ends else []
    sent = b"".join([await stream.next(each) for each in (*events, DONE)])
    said = dict.fromkeys(PARTS, "")
    for each in sent.split(b"\n\n"):
        if each.startswith(b"data: {"):
            (choice,) = json.loads(each[6:])["choices"]
            for part in PARTS[:2]:
                said[part] += choice["delta"].get(part) or ""
            for call in choice["delta"].get("tool_calls", ()):
                said["arguments"] += call["function"]["arguments"]
    return list(said.values())


async def main() -> None:
    masked = {}
    for kind, text in json.load(sys.stdin).items():
        (whole,) = await text_filter(kind).apply([text])
        streams = [await streamed(kind, text, size, ends=size != 7) for size in SIZES]
        masked[kind] = [whole, *[said for parts in streams for said in parts]]
    json.dump(masked, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
