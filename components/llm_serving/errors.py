"""Errors about input of a user: the property path, the value, why it is refused and what would work.

One type serves every layer. A rule in ``planning`` raises or returns a :class:`Problem` whose path is relative to the
object it looked at; the layer above puts its own prefix in front (:meth:`Problem.under`); whoever knows the file adds
it when the problem is shown.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any


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
        where = f"{self.path}{value}: " if self.path or value else ""
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


def nearest(value: str, choices: Iterable[str]) -> str:
    """The choices that look like ``value``, or all of them where none does: what to suggest for a misspelt name."""
    known: Sequence[str] = sorted(choices)
    folded = {choice.lower(): choice for choice in known}
    close = [folded[name] for name in get_close_matches(value.lower(), folded, n=3, cutoff=0.6)]
    return ", ".join(close or known)


def shorten(value: Any, limit: int = 80) -> str:
    """``value`` as it is shown in a message: strings quoted, long ones cut to ``limit`` characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
