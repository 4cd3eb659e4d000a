"""What the Pulumi engine reads otherwise than this package in the YAML of a settings file.

The engine reads with Go's yaml.v3, which follows YAML 1.2 in most, and hands the values over as JSON; PyYAML follows
YAML 1.1. What both read alike is a small language, and a large one for people: texts, decimals, true, false and null.
Everything else is refused with what to write in its place. ``tests/engine/test_settings_reading.py`` compares both
readings of what is accepted.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import yaml
from yaml.resolver import Resolver

from llm_serving.errors import Needs, Problem, Suggestion
from stacks.documents import MERGE_TAG

MAX_VALUES = 100_000
"""Values of a file, each alias counted as what it stands for: ten lines of aliases of aliases are a billion values."""

MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?")
"""Numbers that both read alike: Go's integers have 64 bits, and larger ones become floats."""
_LONG_NUMBER = re.compile(r"[-+]?\d{19,}(\.\d*)?|[-+]?\d+\.\d{18,}")
_GO_NUMBER = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?)", re.ASCII
)
"""Numbers of yaml.v3 (``resolve.go``), once ``_`` is left out, which none begins with."""
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]|$)", re.ASCII)
_SLASH_ESCAPE = re.compile(r"([^\\]|\\[^/])*\\/", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_COLON_WITHOUT_SPACE = re.compile(r"\s*:[,\[\]{}]")
"""To Go's yaml.v3 the colon is a part of the text before it."""
_WORDS = {"true": "bool", "false": "bool", "null": "null", "~": "null", "": "null"}
"""Words that are no texts, in small letters, and what they are."""


Types = Callable[[str], frozenset[type]]
"""Types of the single values that a property takes, by its path; none for one that is not known."""


def _unknown_types(path: str) -> frozenset[type]:
    return frozenset()


def check_reading(root: yaml.Node, types: Types | None = None) -> Iterator[Problem]:
    """What the engine would read otherwise; paths are those of the file, without ``config``.

    Args:
        root: the document.
        types: decides what is suggested: to whom a number is wanted no quotes help.
    """
    yield from _Walk(types or _unknown_types).check(root, "", 0)


class _Walk:
    """One pass over a document."""

    def __init__(self, types: Types) -> None:
        self.values = 0
        self.types = types

    def check(self, node: yaml.Node, path: str, depth: int) -> Iterator[Problem]:
        self.values += 1
        if self.values == MAX_VALUES:
            yield Problem("", None, f"has more than {MAX_VALUES} values, aliases counted as what they stand for")
        if self.values >= MAX_VALUES:
            return
        if depth > MAX_DEPTH:
            line = node.start_mark.line + 1
            yield Problem("", None, f"is nested more than {MAX_DEPTH} levels deep, by line {line}")
        elif isinstance(node, yaml.ScalarNode):
            yield from _check_scalar(node, path, self.types)
        elif isinstance(node, yaml.SequenceNode):
            yield from _check_collection(node, path)
            for index, item in enumerate(cast(list[yaml.Node], node.value)):
                yield from self.check(item, f"{path}[{index}]", depth + 1)
        elif isinstance(node, yaml.MappingNode):
            yield from _check_collection(node, path)
            for key, value in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
                yield from self._check_entry(key, value, path, depth)

    def _check_entry(self, key: yaml.Node, value: yaml.Node, path: str, depth: int) -> Iterator[Problem]:
        if key.tag == MERGE_TAG:
            yield from self.check(value, path, depth + 1)
            return
        if not isinstance(key, yaml.ScalarNode):
            yield Problem(
                path,
                None,
                "has a key that is a list or an object",
                _spelt("a text as key; no template is filled in"),
            )
            return
        if _SURROGATE.search(key.value):
            yield Problem(path, None, "has a key with half a character (a surrogate)", _spelt("the character itself"))
            return
        inner = key.value if path == "" or (depth == 1 and path == "config") else f"{path}.{key.value}"
        yield from _check_key(key, inner)
        if key.style is None and _COLON_WITHOUT_SPACE.match(cast(str, key.start_mark.buffer), key.end_mark.pointer):
            yield Problem(inner, None, "has no space after its colon", _spelt(f"{key.value}: with a space"))
        if depth == 1 and path == "config" and isinstance(value, yaml.ScalarNode):
            yield from _check_single_value(value, inner)
        yield from self.check(value, inner, depth + 1)


def _check_collection(node: yaml.CollectionNode, path: str) -> Iterator[Problem]:
    if node.tag not in (f"{_TAG}seq", f"{_TAG}map"):
        yield Problem(path, None, f"has the tag {_shown(node.tag)}, which the Pulumi engine ignores", _spelt("no tag"))


def _check_key(key: yaml.ScalarNode, path: str) -> Iterator[Problem]:
    if key.tag != f"{_TAG}str":
        yield Problem(path, None, "is a key that YAML does not read as a text", _quoted(key.value).as_keys())
    else:
        yield from _check_scalar(key, path, _unknown_types)


def _check_single_value(node: yaml.ScalarNode, path: str) -> Iterator[Problem]:
    """The engine hands over a value that is no list and no object as a text, and an empty one as ``""``."""
    if node.tag == f"{_TAG}null":
        yield Problem(path, None, "has no value, which the Pulumi engine reads as an empty text", _REMOVE)
    elif node.tag == f"{_TAG}bool" or (_NUMBER.fullmatch(node.value) and node.style is None):
        yield Problem(path, node.value, "is a text to the Pulumi engine", _quoted(node.value))


_REMOVE = Suggestion("a value, or remove the key", removal=True)


def _spelt(text: str) -> Suggestion:
    return Suggestion(text, needs=Needs.TEXT)


def _quoted(text: str) -> Suggestion:
    return Suggestion(f'"{text}", in quotes', values=[text])


def _check_scalar(node: yaml.ScalarNode, path: str, types: Types) -> Iterator[Problem]:
    text: str = node.value
    if _SURROGATE.search(text):
        yield Problem(path, None, "holds half a character (a surrogate)", _spelt("the character itself"))
        return
    if node.style == '"' and _SLASH_ESCAPE.match(_source(node)):
        bare = _spelt("/ without the backslash")
        yield Problem(path, text, r"holds the escape \/, which the Pulumi engine refuses", bare)
    is_plain = node.style is None
    implied: str = cast(Any, Resolver()).resolve(yaml.ScalarNode, text, (is_plain, not is_plain))
    if node.tag != implied:
        yield Problem(path, None, f"has the tag {_shown(node.tag)}, which the Pulumi engine ignores", _spelt("no tag"))
    elif is_plain and (reason := _differs(text, node.tag.removeprefix(_TAG), lambda: types(path))):
        yield Problem(path, text, *reason)


def _differs(text: str, kind: str, types_here: Callable[[], frozenset[type]]) -> tuple[str, Suggestion] | None:
    """Why both read a text without quotes differently, and what to write in its place; ``None`` where they do not.

    Args:
        text: as it stands in the file.
        kind: what PyYAML makes of it: ``int``, ``str``, ``timestamp``.
        types_here: what the setting takes; empty where that is not known. Asked where something is refused alone.
    """
    if _WORDS.get(text.lower()) == kind or _NUMBER.fullmatch(text):
        return None
    if kind == "str" and not (_GO_NUMBER.fullmatch(text.replace("_", "")) or _DATE.match(text)):
        return None
    types = types_here()
    if kind == "bool":
        other = [text.lower() in ("yes", "on")] if not types or bool in types else []
        return "is a truth value in YAML 1.1 and a text to the Pulumi engine", _instead(text, other, types)
    if text.lower().lstrip("+-") in (".inf", ".nan"):
        return "is not a number that a setting can have, and the Pulumi engine cannot read it", Suggestion(
            "a number", needs=Needs.FACT
        )
    if _LONG_NUMBER.fullmatch(text):
        return "is a number of more digits than the Pulumi engine keeps", _instead(text, [], types) or _SHORTER
    if kind == "timestamp" or _DATE.match(text):
        return "is a date in YAML, which the Pulumi engine writes in another form", _quoted(text)
    if kind in ("int", "float") or (not text.startswith("_") and _GO_NUMBER.fullmatch(text.replace("_", ""))):
        numbers = _decimals(text) if not types or types & {int, float} else []
        instead = _instead(text, numbers, types) or Suggestion("a number in decimals", needs=Needs.FACT)
        return "is a number that the Pulumi engine may read otherwise", instead
    return None if kind == "str" else ("has a meaning of its own in YAML 1.1", _quoted(text))


_SHORTER = Suggestion("a shorter one", needs=Needs.FACT)


def _instead(text: str, values: list[Any], types: frozenset[type]) -> Suggestion:
    """The values, and the text in quotes where the setting takes a text."""
    quoted = [text] if not types or str in types else []
    shown = [*(str(value).lower() for value in values), *(f'"{each}", in quotes' for each in quoted)]
    return Suggestion(", or ".join(shown), values=[*values, *quoted])


def _decimals(text: str) -> list[int | float]:
    """What a number in another form may be meant as, written in decimals that both read alike."""
    digits = text.replace("_", "").lower().lstrip("+")
    meant: list[float] = []
    if ":" in digits:
        meant = [float(yaml.safe_load(text))]
    elif re.fullmatch(r"-?0[xob][0-9a-f]+", digits):
        meant = [float(int(digits, 0))]
    else:
        # A number with a zero before it: people count in decimals, and YAML 1.1 in octal digits.
        octal = [float(int(digits, 8))] if re.fullmatch(r"-?0[0-7]+", digits) else []
        meant = [float(digits), *octal]
    numbers = [int(number) if number.is_integer() else number for number in dict.fromkeys(meant)]
    return [number for number in numbers if _NUMBER.fullmatch(str(number))]


def _source(node: yaml.ScalarNode) -> str:
    """The text of a node as it stands in the file."""
    return cast(str, node.start_mark.buffer)[node.start_mark.pointer : node.end_mark.pointer]


def _shown(tag: str) -> str:
    return tag.replace(_TAG, "!!")
