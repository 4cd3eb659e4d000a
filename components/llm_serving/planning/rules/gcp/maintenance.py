"""When GKE may upgrade a cluster: the API refuses policies that leave it too little time.

GKE documentation, "Configure maintenance windows and exclusions" and "Maintenance windows and exclusions", read in
November 2026: 48 hours in every 92 days, of which only blocks of at least 4 hours count, exclusions of scope
``NO_UPGRADES`` of at most 90 days, at most 3 of them, and at most 20 exclusions. (Until 2025 it was 48 hours in 32 days
and 30 days.)
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, count

from dateutil.rrule import rrulestr

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.spec.gcp import GcpMaintenanceExclusion, GcpMaintenanceWindow

ROLLING = timedelta(days=92)
AVAILABLE = timedelta(hours=48)
SHORTEST_BLOCK = timedelta(hours=4)
LONGEST_FREEZE = timedelta(days=90)
ADVISABLE_FREEZE = timedelta(days=30)
LONGEST_SUPPORT = timedelta(days=2 * 366)
"""The extended channel supports a version for 24 months, every other one for less; exclusions of the other scopes end
with that support."""
MOST_FREEZES = 3
MOST_EXCLUSIONS = 20

PATH = "cluster.maintenance"

Span = tuple[datetime, datetime]


def check_maintenance(window: GcpMaintenanceWindow) -> Iterator[Problem]:
    """Everything about ``cluster.maintenance``."""
    problems = [*_exclusions(window.exclusions)]
    yield from problems
    if not problems:
        yield from _availability(window)


def note_maintenance(window: GcpMaintenanceWindow) -> Iterator[Problem]:
    """Exclusions that hold back security patches for longer than GKE advises."""
    for index, exclusion in enumerate(window.exclusions):
        if exclusion.scope == "all" and _length(exclusion) > ADVISABLE_FREEZE:
            reason = f"no security patch arrives for {_days(exclusion)}; GKE advises at most {ADVISABLE_FREEZE.days}"
            yield Problem(f"{PATH}.exclusions[{index}].end", exclusion.end, reason, _NODES_STAY)


def _exclusions(exclusions: Sequence[GcpMaintenanceExclusion]) -> Iterator[Problem]:
    names: set[str] = set()
    freezes = 0
    if len(exclusions) > MOST_EXCLUSIONS:
        reason = f"GKE takes at most {MOST_EXCLUSIONS} exclusions"
        yield Problem(
            f"{PATH}.exclusions",
            f"{len(exclusions)} exclusions",
            reason,
            Suggestion("drop those that have ended", needs=Needs.CHOICE),
        )
    for index, exclusion in enumerate(exclusions):
        path = f"{PATH}.exclusions[{index}]"
        if exclusion.name in names:
            taken = {other.name for other in exclusions}
            free = next(name for number in count(2) if (name := f"{exclusion.name[:60]}-{number}") not in taken)
            reason = "another exclusion has the same name"
            yield Problem(f"{path}.name", exclusion.name, reason, Suggestion(values=[free]))
        names.add(exclusion.name)
        if exclusion.end <= exclusion.start:
            yield Problem(
                f"{path}.end", exclusion.end, f"not after the start, {exclusion.start}", _until(exclusion, _DAY)
            )
        if exclusion.scope != "all":
            if _length(exclusion) > LONGEST_SUPPORT:
                reason = f"{_days(exclusion)}, and no version is supported for longer than 24 months"
                yield Problem(f"{path}.end", exclusion.end, reason, _until(exclusion, LONGEST_SUPPORT))
            continue
        freezes += 1
        if _length(exclusion) > LONGEST_FREEZE:
            reason = f"{_days(exclusion)} without any upgrade; GKE takes at most {LONGEST_FREEZE.days}"
            last = _until(exclusion, LONGEST_FREEZE)
            instead = Suggestion(values=last.values, edits=_NODES_STAY.edits if last else ())
            yield Problem(f"{path}.end", exclusion.end, reason, instead)
        if freezes > MOST_FREEZES:
            reason = f"GKE takes at most {MOST_FREEZES} exclusions of this scope"
            yield Problem(f"{path}.scope", exclusion.scope, reason, Suggestion(values=["minor-and-nodes"]))


def _availability(window: GcpMaintenanceWindow) -> Iterator[Problem]:
    rule = f"GKE wants {_hours(AVAILABLE)} in every {ROLLING.days} days, in blocks of {_hours(SHORTEST_BLOCK)} or more"
    try:
        least = _least_available(window, ())
    except ValueError as error:
        reason = f"not a rule of RFC 5545: {error}"
        weekly = Suggestion(values=["FREQ=WEEKLY;BYDAY=SA,SU"])
        yield Problem(f"{PATH}.recurrence", window.recurrence, reason, weekly)
        return
    if least < AVAILABLE:
        reason = f"with {window.hours} hours each time GKE may upgrade for {_hours(least)}; {rule}"
        yield Problem(f"{PATH}.recurrence", window.recurrence, reason, Suggestion(values=["FREQ=DAILY"]))
        return
    freezes = [_span(exclusion) for exclusion in window.exclusions if exclusion.scope == "all"]
    least = _least_available(window, freezes)
    if least < AVAILABLE:
        reason = f"beside them the windows leave {_hours(least)}; {rule}"
        freezing = {number: each for number, each in enumerate(window.exclusions) if each.scope == "all"}
        names = ", ".join(exclusion.name for exclusion in freezing.values())
        scopes = {f"/{PATH}.exclusions[{number}].scope": "minor-and-nodes" for number in freezing}
        instead = Suggestion("shorter ones, scope: minor-and-nodes, or longer windows", edits=[scopes])
        yield Problem(f"{PATH}.exclusions", names, reason, instead)


_DAY = timedelta(days=1)
_NODES_STAY = Suggestion(edits=[{"scope": "minor-and-nodes"}])


def _until(exclusion: GcpMaintenanceExclusion, length: timedelta) -> Suggestion:
    """The end that is so long after the start; none where that is no moment."""
    try:
        end = datetime.fromisoformat(exclusion.start) + length
    except OverflowError:
        return Suggestion()
    return Suggestion(values=[f"{end:%Y-%m-%dT%H:%M:%SZ}"])


def _least_available(window: GcpMaintenanceWindow, freezes: Sequence[Span]) -> timedelta:
    """The least time for upgrades in any 92 days from the first window on.

    Raises:
        ValueError: the recurrence is none.
    """
    start = datetime.fromisoformat(window.start)
    horizon = max([start, *(end for _, end in freezes)]) + 2 * ROLLING
    length = timedelta(hours=window.hours)
    recurrence = rrulestr(window.recurrence, dtstart=start)
    windows = [(begin, begin + length) for begin in recurrence.between(start, horizon, inc=True)]
    blocks = [block for block in _without(_joined(windows), freezes) if block[1] - block[0] >= SHORTEST_BLOCK]
    begins = [begin for begin, _ in blocks]
    sums = list(accumulate((end - begin for begin, end in blocks), initial=timedelta(0)))

    def until(moment: datetime) -> timedelta:
        """Time for upgrades before ``moment``."""
        count = bisect_right(begins, moment)
        if count == 0:
            return timedelta(0)
        begin, end = blocks[count - 1]
        return sums[count - 1] + min(moment, end) - begin

    # The sum is least where the 92 days begin with the end of a block, or end with the beginning of one.
    moments = [start, *(end for _, end in blocks), *(begin - ROLLING for begin in begins)]
    return min(until(moment + ROLLING) - until(moment) for moment in moments if start <= moment <= horizon - ROLLING)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans in order of their beginnings; those that touch are one."""
    joined: list[Span] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _without(spans: Sequence[Span], cut: Sequence[Span]) -> list[Span]:
    """What is left of the spans."""
    left = list(spans)
    for first, last in cut:
        parts = [part for begin, end in left for part in ((begin, min(end, first)), (max(begin, last), end))]
        left = [(begin, end) for begin, end in parts if begin < end]
    return left


def _span(exclusion: GcpMaintenanceExclusion) -> Span:
    return datetime.fromisoformat(exclusion.start), datetime.fromisoformat(exclusion.end)


def _length(exclusion: GcpMaintenanceExclusion) -> timedelta:
    begin, end = _span(exclusion)
    return end - begin


def _days(exclusion: GcpMaintenanceExclusion) -> str:
    return f"{_length(exclusion) / timedelta(days=1):g} days"


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):g} hours"
