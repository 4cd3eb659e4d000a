"""Which requests may be given the answer of one that means the same, and what must be equal besides its meaning.

Of two requests, all but the last message of the user must be equal: whose they are, model and release, system prompt,
earlier turns, every parameter. Embeddings see numbers, names, negations, opposites and the order of words badly
("convert usd to eur" is 0.99 similar to "convert eur to usd" with all-MiniLM-L6-v2): these must be equal too, whatever
the similarity. The doubtful case is another question.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_serving_gateway.answer_keys import FIELD, VERSION

LONGEST = 1000
"""Characters of a question at most: small embedding models read some 256 tokens, and what comes after counts nothing.
"""
FEWEST_WORDS = 3
"""Shorter replies mean what the turn before them says."""
MAX_TEMPERATURE = 1.0
"""Above it a client asks for variety."""

_PATH = "/v1/chat/completions"
_EXACT_ONLY = (
    "tools", "tool_choice", "parallel_tool_calls", "seed", "logprobs", "top_logprobs", "prompt_logprobs",
    "continue_final_message", "add_generation_prompt", "truncate_prompt_tokens", "return_tokens_as_token_ids",
)  # fmt: skip
"""With these a request wants its own answer: tools act, a seed asks for the same draw, log probabilities are of these
words."""

_CODE = re.compile(r"[{}<>=|\\;`_\[\]#$^~@]|://")
"""Programs, formulas and addresses, in which one character changes all."""
_WORD = re.compile(r"\w+(?:['’.,:/-]\w+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STARTERS = _words(
    "a about after am an and any are as at be before but by can compare could define describe did do does each every "
    "explain find for from give had has have hello help hey hi how i if in is it its list let may me my need of on one "
    "or our please provide say shall should show some suggest summarize tell thank thanks that the their then there "
    "these they this those to translate under until want was we were what when where which while who whom whose why "
    "will with would write you your"
)
"""Words that are no names where they begin a sentence."""
_WEAK = _STARTERS | _words("been being way")
"""Words whose place in a question says little."""
_TURNING = _words(
    # Negations.
    "no not never none nothing nobody without except unless cannot can't don't doesn't didn't isn't aren't wasn't "
    "won't wouldn't shouldn't couldn't neither nor hardly "
    # Numbers.
    "zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy "
    "eighty ninety hundred thousand million billion first second third last half double twice once "
    # Times.
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december today tomorrow yesterday before after morning evening am pm "
    # One of two.
    "more less most least min max minimum maximum over under above below increase decrease raise lower enable disable "
    "on off in out up down left right start stop open close buy sell add remove install uninstall import export "
    "upload download send receive allow deny block unblock lock unlock true false yes best worst better worse good bad "
    "high low hot cold big small large larger smaller largest smallest long short longest shortest new old newest "
    "oldest always only all any both either advantages disadvantages pros cons input output public private read write "
    "create delete male female he she him her his hers push pull win lose true positive negative north south east "
    "west"
)
"""Words that turn a question round, or say how much or when."""


@dataclass(frozen=True)
class Question:
    """A request whose last message may be compared by its meaning.

    Attributes:
        text: that message.
        rest: all else that must be equal, as JSON.
    """

    text: str
    rest: str

    def group(self, embedding: Sequence[str | None]) -> str:
        """Hash of what questions have in common that are compared, also of who made their embeddings."""
        return hashlib.sha256(json.dumps([self.rest, *embedding]).encode()).hexdigest()

    def signature(self) -> bytes:
        """16 bytes: two texts with the same first half and another second half have the same words in another order."""
        words = [word.lower() for word in _WORD.findall(self.text)]
        words = [word for word in words if word not in _WEAK]
        return _short_hash(sorted(words)) + _short_hash(words)


def is_turned(one: bytes, other: bytes) -> bool:
    """Whether two signatures are of the same words in another order."""
    return one[:8] == other[:8] and one[8:] != other[8:]


def question(
    space: str,
    path: str,
    release: str | None,
    body: Mapping[str, Any],
    made_under: str,
    *,
    max_tokens_left_open: bool,
) -> Question | None:
    """What of a request is compared by meaning; ``None`` where it wants its own answer.

    Args:
        space: who shares the answer.
        path: of the request.
        release: the one that it names.
        body: as it was parsed.
        made_under: what else answers depend on, as JSON.
        max_tokens_left_open: the client set none; the gateway's then depend on the length of the prompt.
    """
    if path != _PATH or any(name in body for name in _EXACT_ONLY) or body.get("n", 1) != 1:
        return None
    if body.get("temperature", 0) > MAX_TEMPERATURE:
        return None
    *earlier, last = body["messages"]
    if not all(_is_text_alone(message) for message in (*earlier, last)) or last["role"] != "user":
        return None
    text = _text(last["content"])
    if text is None or len(text) > LONGEST or len(_WORD.findall(text)) < FEWEST_WORDS or _CODE.search(text):
        return None
    left_out = {FIELD, "messages"} | ({"max_tokens"} if max_tokens_left_open else set())
    parameters = {name: value for name, value in body.items() if name not in left_out}
    of_last = {name: value for name, value in last.items() if name != "content"}
    rest = [VERSION, made_under, space, path, release, parameters, earlier, of_last, marks(text)]
    return Question(text, json.dumps(rest, sort_keys=True, separators=(",", ":")))


def marks(text: str) -> Sequence[str]:
    """Numbers, names, negations and opposites in the order of the text. A name is a word with a capital letter, but for
    the usual first words of sentences."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word, low = match[0], match[0].lower().replace("’", "'")
        if any(letter.isdigit() for letter in word) or low in _TURNING or low.endswith("n't"):
            found.append(low)
        elif word != low and word != "I" and not low.startswith(("i'", "i’")):
            before = text[: match.start()].rstrip(" \t\"'“(")
            begins = not before or before[-1] in ".!?:\n"
            if not (begins and low.partition("'")[0] in _STARTERS):
                found.append(low)
    return found


def _is_text_alone(message: Mapping[str, Any]) -> bool:
    if message["role"] in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
        return False
    content = message.get("content")
    return isinstance(content, str) or (
        isinstance(content, list) and all(set(part) == {"type", "text"} and part["type"] == "text" for part in content)
    )


def _text(content: str | Sequence[Mapping[str, Any]]) -> str | None:
    if isinstance(content, str):
        return content
    return content[0]["text"] if len(content) == 1 and isinstance(content[0]["text"], str) else None


def _short_hash(words: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(words).encode()).digest()[:8]
