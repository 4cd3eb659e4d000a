"""Schedules of autoscaling, as KEDA reads them.

KEDA reads cron expressions with github.com/robfig/cron (five fields): lists, ranges, steps, names of months and days,
``?`` for ``*``. Sunday is 0, never 7. Where both days, of the month and of the week, are named, either one will do.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property


@dataclass(frozen=True)
class _Field:
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """A number or a name; three letters, in any case.

        Raises:
            ValueError: neither, or outside of the field's bounds.
        """
        lower = text.lower()
        value = self.first + self.names.index(lower) if lower in self.names else int(text) if text.isdigit() else -1
        if not self.first <= value <= self.last:
            known = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"{text!r} is not a {self.name}: {self.first} to {self.last}{known}")
        return value


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, tuple(name.lower() for name in calendar.month_abbr[1:])),
    _Field("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_LONGEST_YEAR = 2024
"""A year with a 29th of February."""

_ITEM = re.compile(r"^(?P<from>[^-/]+)(-(?P<to>[^-/]+))?(/(?P<step>\d+))?$")


@dataclass(frozen=True)
class Cron:
    """Moments of a cron expression, by the values that each field takes."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @property
    def happens(self) -> bool:
        """Whether there is such a moment in any year: the 31st of February never comes."""
        if self.either_day or len(self.days) == len(range(1, 32)):
            return True
        return any(min(self.days) <= calendar.monthrange(_LONGEST_YEAR, month)[1] for month in self.months)

    @cached_property
    def times(self) -> tuple[int, ...]:
        """Minutes of a day on which it happens, in order."""
        return tuple(sorted(60 * hour + minute for hour in self.hours for minute in self.minutes))

    def is_on(self, day: date) -> bool:
        """Whether it happens on a day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (of_month or of_week if self.either_day else of_month and of_week)


def interruption(start: Cron, end: Cron) -> str:
    """Why a window is not what lies between its starts and its ends; an empty string where it is.

    KEDA counts a moment as inside while the next end comes before the next start (its cron scaler), so a second start
    before an end closes the window, and a second end before a start opens it.
    """
    last: tuple[date, int, bool] | None = None
    for moment in _moments(start, end):
        if last is not None and moment[:2] == last[:2]:
            return f"start and end are the same moment, {_clock(moment)}"
        if last is not None and moment[2] == last[2]:
            name, other = ("start", "end") if moment[2] else ("end", "start")
            return f"{name} comes at {_clock(last)} and again at {_clock(moment)}, with no {other} between them"
        last = moment
    return ""


_YEARS = 4
"""Every date of the calendar comes in four years, the 29th of February among them."""


def _moments(start: Cron, end: Cron) -> Iterator[tuple[date, int, bool]]:
    """Day, minute, and whether it is a start, in order."""
    first = date(_LONGEST_YEAR, 1, 1)
    both = sorted([*((minute, True) for minute in start.times), *((minute, False) for minute in end.times)])
    for number in range(_YEARS * 366):
        day = first + timedelta(days=number)
        starts, ends = start.is_on(day), end.is_on(day)
        if starts or ends:
            yield from ((day, minute, is_start) for minute, is_start in both if (starts if is_start else ends))


def _clock(moment: tuple[date, int, bool]) -> str:
    day, minute, _ = moment
    return f"{minute // 60}:{minute % 60:02} on a {calendar.day_name[day.weekday()]}"


def parse_cron(expression: str) -> Cron:
    """A cron expression of five fields.

    Raises:
        ValueError: which field is wrong, and why.
    """
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"has {len(texts)} fields and not {len(_FIELDS)}: minute, hour, day, month, day of the week")
    values = [_values(field, text) for field, text in zip(_FIELDS, texts, strict=True)]
    starred = any(text.startswith(("*", "?")) for text in (texts[2], texts[4]))
    return Cron(*values, either_day=not starred)


def _values(field: _Field, text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for item in text.split(","):
        match = _ITEM.match(item)
        if match is None:
            raise ValueError(f"{item!r} is not a {field.name}")
        begin, end, step = match["from"], match["to"], match["step"]
        if begin in ("*", "?"):
            if end is not None:
                raise ValueError(f"{item!r} is not a range of {field.name}s")
            first, last = field.first, field.last
        else:
            first = field.number(begin)
            # A step without an end goes on to the field's last value.
            last = field.number(end) if end is not None else field.last if step is not None else first
        if first > last:
            raise ValueError(f"{item!r} ends before it begins")
        if step is not None and int(step) == 0:
            raise ValueError(f"{item!r} has a step of 0")
        numbers.update(range(first, last + 1, int(step or 1)))
    return frozenset(numbers)
