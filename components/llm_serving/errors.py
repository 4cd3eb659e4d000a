"""Errors about input of a user: the property path, the value, why it is refused and what would work.

One type serves every layer. A rule in ``planning`` raises or returns a :class:`Problem` whose path is relative to the
object it looked at; the layer above puts its own prefix in front (:meth:`Problem.under`); whoever knows the file adds
it when the problem is shown.
"""

import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from operator import mul
from typing import Any, Self, cast


class Needs(StrEnum):
    """What a suggestion in prose alone needs, that no program can put into the file."""

    FACT = "a fact of the reader's, such as a name, an account or an address"
    CHOICE = "a choice between settings that change what the stack costs or does"
    COMMAND = "a command, for what the file must not hold or cannot say"
    ELSEWHERE = "another release, image or kubeconfig"
    TEXT = "another spelling in the file's text"


class Suggestion(str):
    """What would work: the text that people read, and with it what a program can put into the file.

    Attributes:
        values: values that may stand in place of the refused one, the best first.
        keys: names that the refused key may have instead.
        removal: the setting may be left out.
        edits: changes of other settings, each one enough by itself: values by name beside the refused setting, or
            behind ``/`` by path in the stack. The empty name is the refused setting; what is ``None`` is left out.
        needs: why none of these says what would work; ``None`` where one does.
    """

    __slots__ = ("edits", "keys", "needs", "removal", "values")

    values: tuple[Any, ...]
    keys: tuple[str, ...]
    removal: bool
    edits: tuple[Mapping[str, Any], ...]
    needs: Needs | None

    def __new__(
        cls,
        text: str = "",
        values: Iterable[Any] = (),
        keys: Iterable[str] = (),
        removal: bool = False,
        edits: Sequence[Mapping[str, Any]] = (),
        needs: Needs | None = None,
    ) -> Self:
        """A suggestion; without a text values, names and edits are the text."""
        values, keys, edits = tuple(values), tuple(keys), tuple(edits)
        said = ", ".join([*map(_as_in_yaml, values), *keys])
        alternatives = [said, "leave it out" if removal else "", *map(_as_settings, edits)]
        suggestion = super().__new__(cls, text or ", or ".join(filter(None, alternatives)))
        suggestion.values, suggestion.keys, suggestion.removal = values, keys, removal
        suggestion.edits, suggestion.needs = edits, needs
        return suggestion

    def as_keys(self) -> "Suggestion":
        """The same names, for a key in place of a value."""
        return Suggestion(str(self), keys=map(str, self.values))


def _as_in_yaml(value: Any) -> str:
    """A value as it is written: a text that YAML would read as something else is in quotes."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        return f"[{', '.join(each if _is_plain(each) else json.dumps(each) for each in items)}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return f'"{value}", in quotes' if _NO_TEXT.fullmatch(value) else value


def _is_plain(value: Any) -> bool:
    """Whether a text needs no quotes inside a list."""
    return isinstance(value, str) and re.fullmatch(r"[\w./-]+", value) is not None and not _NO_TEXT.fullmatch(value)


def _as_settings(edit: Mapping[str, Any]) -> str:
    shown = {name.removeprefix("/"): value for name, value in edit.items() if name and value is not None}
    return " and ".join(f"{name}: {_as_in_yaml(value)}" for name, value in shown.items())


_NO_TEXT = re.compile(
    r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)(e[-+]?\d+)?|0[xob][\da-f_]+|\d+:\d+|\d{4}-\d{1,2}-\d{1,2}"
    r"|true|false|yes|no|on|off|null|~",
    re.IGNORECASE,
)


LEAVE_OUT = Suggestion(removal=True)


_LONGEST_PATH = 300
"""A path that is longer has a key that is no name of anything."""


@dataclass(frozen=True)
class Problem:
    """One reason why an input is refused.

    Attributes:
        path: property path in the user's own spelling, for example ``pools[1].capacity[0].machineType``.
        value: the value at the path; ``None`` where one is missing.
        reason: why it is refused, as a phrase without a full stop.
        suggestion: the nearest thing that would work, or an empty string where nothing is near.
    """

    path: str
    value: Any
    reason: str
    suggestion: str = ""

    def under(self, prefix: str) -> "Problem":
        """The same problem with ``prefix`` before its path."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return replace(self, path=f"{prefix}{joint}{self.path}" if prefix else self.path)

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {shorten(self.value)}"
        hint = f" (try: {self.suggestion})" if self.suggestion else ""
        path = shorten_text(self.path, _LONGEST_PATH)
        where = f"{path}{value}: " if path or value else ""
        return f"{where}{self.reason}{hint}"


class ProblemsError(ValueError):
    """Raised where an input is refused. Carries every problem found, not only the first.

    Attributes:
        problems: the problems, in the order in which they were found.
        source: the file or component that the paths are relative to; an empty string where it is unknown.
    """

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.source = source
        super().__init__(self._render())

    def _render(self) -> str:
        before = f"{self.source}: " if self.source else ""
        return "\n".join(f"{before}{problem}" for problem in self.problems)

    def from_source(self, source: str) -> "ProblemsError":
        """The same problems, attributed to ``source`` (a file, or a component and its name)."""
        return ProblemsError(self.problems, source)


@contextmanager
def problems_under(prefix: str) -> Generator[None]:
    """Put ``prefix`` before the paths of a :class:`ProblemsError` of the block."""
    try:
        yield
    except ProblemsError as error:
        raise ProblemsError([problem.under(prefix) for problem in error.problems], error.source) from None


MOST_CANDIDATES = 5
"""More names than that are a list to search, no suggestion."""


def nearest(value: str, choices: Iterable[str]) -> Suggestion:
    """The choices that ``value`` may mean, the likeliest first; none where none is near."""
    scores = {choice: _likeness(value, choice) for choice in choices}
    near = sorted((name for name, score in scores.items() if score >= _NEAR), key=lambda name: (-scores[name], name))
    # Beside one that is meant almost certainly, others only distract.
    best = [name for name in near if scores[name] >= scores[near[0]] - _BESIDE]
    return Suggestion(values=best[:MOST_CANDIDATES])


def nearest_or_few(value: str, choices: Iterable[str]) -> Suggestion:
    """The nearest choices, or all of them where none is near and they are few."""
    known = sorted(choices)
    return nearest(value, known) or Suggestion(values=known if len(known) <= MOST_CANDIDATES else ())


_NEAR = 0.6
_BESIDE = 0.15
_NUMBERS = re.compile(r"\d{1,18}", re.ASCII)
_NOISE = {"nvidia", "tesla", "amd"}
"""Makers, which the catalog's names of GPUs leave out."""


def _likeness(value: str, choice: str) -> float:
    """How likely a choice is meant, between 0 and 1."""
    left, right = value.casefold(), choice.casefold()
    said, known = _parts(value), _parts(choice)
    if left == right or "".join(said) == "".join(known):
        return 1.0
    # A name of which a part is left out, or to which one is added: A100 for A100-80GB.
    if said and known and (set(said) <= set(known) or set(known) <= set(said)):
        return 0.95 if said[0] == known[0] else 0.8
    # Sizes and versions that differ in numbers alone: the nearest number is the likeliest, and the first ones name the
    # family.
    if _NUMBERS.split(left) == _NUMBERS.split(right):
        pairs = [(int(a), int(b)) for a, b in zip(_NUMBERS.findall(left), _NUMBERS.findall(right), strict=True)]
        weights = range(len(pairs), 0, -1)
        differences = (0.05 if abs(a - b) == 1 else abs(a - b) / max(a, b, 1) for a, b in pairs)
        score = 0.95 - 0.4 * sum(map(mul, weights, differences)) / sum(weights)
        return max(score, min(0.85, SequenceMatcher(None, left, right).ratio()))
    # One letter is another.
    replaced = len(left) == len(right) > 1 and sum(a != b for a, b in zip(left, right, strict=True)) == 1
    matcher = SequenceMatcher(None, left, right)
    if matcher.real_quick_ratio() < _NEAR:  # of a long text each comparison would take milliseconds
        return 0.0
    return max(matcher.ratio(), _NEAR if replaced else 0.0)


def _parts(name: str) -> list[str]:
    """Words of a name, without case and without makers."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return [part for part in re.split(r"[^a-z0-9]+", words) if part and part not in _NOISE]


def shorten(value: Any, limit: int = 80) -> str:
    """``value`` as it is shown in a message: strings quoted, long ones cut to ``limit`` characters."""
    return shorten_text(repr(value) if isinstance(value, str) else str(value), limit)


def shorten_text(text: str, limit: int) -> str:
    """``text``, cut to ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
