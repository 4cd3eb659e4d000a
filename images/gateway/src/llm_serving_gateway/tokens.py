"""How many tokens a request has, as far as that can be known without its model's tokenizer.

The engine alone counts exactly. Here there are three numbers: one that is never above the truth, to refuse what cannot
fit; one near it, to reserve by until the engine has counted; one that is hardly ever below it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_RUN = re.compile(r"(.)\1+", re.DOTALL)
_SLICE = 65_536
_PER_MESSAGE = 8
"""Tokens that a chat template adds around a message, at most about."""


@dataclass(frozen=True)
class PromptSize:
    """Tokens of the prompts of one request together.

    Attributes:
        estimate: four bytes a token, OpenAI's rule of thumb.
        most: two and a half bytes a token, and the template.
        prompts: how many answers are generated for one ``n``.
        tokens: those that came as numbers.
        texts: all else.
    """

    estimate: int
    most: int
    prompts: int
    tokens: int
    texts: Sequence[str]

    def surely_exceeds(self, tokens: int) -> bool:
        """Whether no tokenizer in use makes so few of it.

        No text has more than eight bytes a token on average, runs of one character left out: a token can be a hundred
        spaces. It stops reading as soon as it is sure.
        """
        least = self.tokens * 8
        if least > tokens * 8:
            return True
        for text in self.texts:
            for start in range(0, len(text), _SLICE):
                least += len(_RUN.sub(r"\1", text[start : start + _SLICE]))
                if least > (tokens + 1) * 8:
                    return True
        return False


def measure(fields: Mapping[str, Any]) -> PromptSize:
    """The size of the prompts in the checked fields of a body."""
    tokens, prompts, messages, more = 0, 1, 0, 0
    texts: list[str] = []
    if "messages" in fields:
        messages = len(fields["messages"])
        texts = [*_texts(fields["messages"]), *_texts(fields.get("tools", []))]
    elif "documents" in fields:
        # Every document is read together with the question.
        texts = [*_texts(fields["documents"]), fields["query"]]
        more = _bytes(fields["query"]) * (len(fields["documents"]) - 1)
    else:
        prompt = fields.get("prompt", fields.get("input"))
        if isinstance(prompt, str):
            texts = [prompt]
        elif isinstance(prompt, list) and isinstance(prompt[0], int):
            tokens = len(prompt)
        elif isinstance(prompt, list):
            prompts = len(prompt)
            texts = [each for each in prompt if isinstance(each, str)]
            tokens = sum(len(each) for each in prompt if isinstance(each, list))
    size = more + sum(_bytes(text) for text in texts)
    return PromptSize(
        estimate=tokens + -(-size // 4) + messages,
        most=tokens + -(-size * 2 // 5) + messages * _PER_MESSAGE,
        prompts=prompts,
        tokens=tokens,
        texts=texts,
    )


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _texts(value: object) -> Iterator[str]:
    """Every text in it, but images and sounds, whose size says nothing of their tokens."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in ("image_url", "input_audio", "video_url", "audio_url", "file"):
                yield from _texts(each)
