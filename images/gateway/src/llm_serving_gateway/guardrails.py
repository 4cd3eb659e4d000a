"""Personal data, secrets and attempts to change a model's orders: what is looked for, with LiteLLM's content filter.

It needs no model and costs little: 0.7 ms of CPU for 1,460 characters with twelve patterns, where Presidio took 39 ms.
LiteLLM's own detection of prompt injection compares every substring with every phrase (``SequenceMatcher``), which
takes seconds for a page; patterns of ours are used in its place.

Of streams the last characters are held back. A pattern must therefore match before they are let go (the rest is then
swallowed as it comes), which is why those of keys are ours: some of LiteLLM's match only a whole key. And none may take
more time than in proportion to the text: while it is looked for, the gateway does nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llm_serving_gateway.configuration import Guardrails, Sensitive

LONG = 20_000
"""Characters from which on texts are looked at in a thread beside the event loop. A megabyte takes two seconds, and one
that is nothing but addresses as many as ten: others' streams must not stand still for it."""
_beside = ThreadPoolExecutor(1, "guardrails")

_Pattern = Mapping[str, str]


def _ready(name: str) -> _Pattern:
    """One of LiteLLM's patterns."""
    return {"pattern_type": "prebuilt", "pattern_name": name}


def _own(name: str, expression: str) -> _Pattern:
    return {"pattern_type": "regex", "name": name, "pattern": expression}


PATTERNS: Mapping[Sensitive, Sequence[_Pattern]] = {
    # LiteLLM's begins anew at each dot of a run, and reads it to its end: 40 kB of "a." hold a gateway up for 16 s.
    "email": (_own("email", r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b"),),
    "phone": (_ready("us_phone"), _own("phone", r"(?<![\w+])\+[1-9](?:[ .()-]{0,2}\d){6,14}\b")),
    "credit-card": (_ready("credit_card"),),
    "iban": (_ready("iban"), _own("iban", r"\b[A-Z]{2}\d{2}(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?\b")),
    "us-ssn": (_ready("us_ssn"),),
    "ip-address": (_ready("ipv4"), _ready("ipv6")),
    "api-key": (
        _ready("aws_access_key"),
        _ready("generic_api_key"),
        _own("api_key", r"\bsk-[A-Za-z0-9_-]{20,}"),
        _own("api_key", r"\b(?:gh[a-z]_|github_pat_|glpat-|hf_|AIza)[A-Za-z0-9_-]{20,}"),
        _own("api_key", r"\bxox[a-z]-[A-Za-z0-9-]{10,}"),
        _own("api_key", r"\beyJ[A-Za-z0-9_-]{17,}(?:\.[A-Za-z0-9_-]+){0,2}"),
    ),
    "private-key": (
        _own("private_key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    ),
}
"""What is looked for, by the names that settings have."""

_ORDERS = r"(?:instructions?|prompts?|rules|directions|guidelines|orders)"
_LEAVE = (
    r"(?i)\b(?:ignore|disregard|forget|neglect|overlook|override|bypass|pay no attention to|"
    r"(?:do not|don't) (?:follow|obey)|stop (?:following|obeying))\s{1,5}"
)
_WORDS = r"(?:\S{1,30}\s{1,5})"
INJECTION: Sequence[_Pattern] = (
    _own(
        "prompt_injection",
        rf"{_LEAVE}{_WORDS}{{0,4}}?(?:previous|prior|preceding|above|foregoing|earlier|initial|original|system|all|any|"
        rf"your)\s{{1,5}}{_WORDS}{{0,3}}?(?:{_ORDERS}|messages|training)\b",
    ),
    _own("prompt_injection", rf"{_LEAVE}(?:the|my|these|those)\s{{1,5}}{_ORDERS}\b"),
    _own(
        "prompt_injection",
        rf"(?i)\b(?:reveal|show|print|repeat|output|tell|give|leak|display)\s{{1,5}}{_WORDS}{{0,3}}?"
        rf"(?:your|the)\s{{1,5}}(?:hidden|initial|original|secret|system|developer)\s{{1,5}}{_ORDERS}\b",
    ),
    _own(
        "prompt_injection",
        rf"(?i)\b(?:you are now|act as|pretend (?:to be|you are)|enter|enable|switch to)\s{{1,5}}{_WORDS}{{0,2}}?"
        r"(?:DAN\b|jailbroken|unrestricted|unfiltered|developer mode|god mode|jailbreak)",
    ),
    # What chat templates set before a turn: a text that has it pretends to be another one's.
    _own("prompt_injection", r"<\|(?:im_start|im_end|start_header_id|system|user|assistant)\|>|<<SYS>>|\[/?INST\]"),
)
"""How attempts look to make a model forget its orders, or say them: English phrases, and marks of chat templates."""


class BlockedError(Exception):
    """A text has something in it that is not let through."""


class TextFilter:
    """LiteLLM's content filter with some patterns, all with one action."""

    def __init__(self, patterns: Sequence[_Pattern], action: str, look_ahead: int) -> None:
        from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter import (  # pyright: ignore[reportMissingImports]
            content_filter,
        )
        from litellm.types.guardrails import ContentFilterPattern  # pyright: ignore[reportMissingImports]

        # LiteLLM has a constant of 50 characters.
        content_filter.CONTENT_FILTER_STREAMING_HOLDBACK_CHARS = look_ahead
        self._filter = content_filter.ContentFilterGuardrail(
            guardrail_name="llm-serving",
            patterns=[ContentFilterPattern(**pattern, action=action.upper()) for pattern in patterns],
            event_hook="post_call",
            default_on=True,
        )

    async def apply(self, texts: Sequence[str], tool_calls: Sequence[dict[str, Any]] = ()) -> Sequence[str]:
        """The texts with placeholders for what was found; arguments of tool calls are changed in place.

        Raises:
            BlockedError: something was found, and the action is to block.
        """
        from fastapi import HTTPException  # pyright: ignore[reportMissingImports]

        given = {"texts": list(texts), "tool_calls": list(tool_calls)}
        found = self._filter.apply_guardrail(given, {}, "request")
        try:
            if sum(map(len, texts)) + sum(map(_length, tool_calls)) < LONG:
                return (await found)["texts"]
            return (await asyncio.get_running_loop().run_in_executor(_beside, asyncio.run, found))["texts"]
        except HTTPException:
            raise BlockedError from None

    async def stream(
        self, pieces: AsyncIterator[Sequence[tuple[int, str, bool]]]
    ) -> AsyncIterator[Sequence[tuple[int, str]]]:
        """What may be let go of several texts that come in pieces.

        Args:
            pieces: each some triples: which text, its next piece, and whether it is its last. One result follows each,
                and in the end perhaps another one with the rest of texts that had no last piece.

        Raises:
            BlockedError: something was found, and the action is to block.
        """
        from fastapi import HTTPException  # pyright: ignore[reportMissingImports]
        from litellm.proxy._types import UserAPIKeyAuth  # pyright: ignore[reportMissingImports]
        from litellm.types.utils import ModelResponseStream  # pyright: ignore[reportMissingImports]

        async def chunks() -> AsyncIterator[Any]:
            async for triples in pieces:
                choices = [
                    {"index": number, "delta": {"content": text}, "finish_reason": "stop" if is_last else None}
                    for number, text, is_last in triples
                ]
                yield ModelResponseStream(id="c", model="m", choices=choices)

        try:
            async for chunk in self._filter.async_post_call_streaming_iterator_hook(UserAPIKeyAuth(), chunks(), {}):
                yield [(choice.index, choice.delta.content or "") for choice in chunk.choices]
        except HTTPException:
            raise BlockedError from None


def _length(tool_call: Mapping[str, Any]) -> int:
    function = tool_call.get("function")
    return len(str(function.get("arguments"))) if isinstance(function, Mapping) else 0


def filters(guardrails: Guardrails | None) -> tuple[TextFilter | None, TextFilter | None, TextFilter | None]:
    """What looks at prompts, at prompts for injections, and at answers; ``None`` where nothing is looked for."""
    if guardrails is None:
        return None, None, None

    def of(kinds: Sequence[Sensitive]) -> TextFilter | None:
        patterns = [pattern for kind in kinds for pattern in PATTERNS[kind]]
        return TextFilter(patterns, guardrails.action, guardrails.stream_look_ahead) if patterns else None

    injection = TextFilter(INJECTION, "block", guardrails.stream_look_ahead) if guardrails.prompt_injection else None
    return of(guardrails.input), injection, of(guardrails.output)
