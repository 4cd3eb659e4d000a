"""Moments as settings write them."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

from llm_serving.errors import Problem, ProblemsError, Suggestion


def _check_instant(value: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", value):
        reason = "not a moment in UTC: year-month-day, T, hour:minute:second and Z, in quotes"
        raise ProblemsError([Problem("", value, reason, _nearest_instant(value))])
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise ProblemsError([Problem("", value, f"no such moment: {error}", _nearest_instant(value))]) from None
    if value[:4] not in _YEARS:
        reason = f"no such moment in the life of a cluster: the years {_YEARS[0]} to {_YEARS[-1]}"
        raise ProblemsError([Problem("", value, reason, Suggestion(values=[f"2026{value[4:]}"]))])
    return value


_YEARS = [str(year) for year in range(2015, 2100)]
"""From the first GKE on; whatever is computed beyond these years still is a date."""


def _nearest_instant(value: str) -> Suggestion:
    """The same moment as UTC, where it is one; else any."""
    try:
        moment = datetime.fromisoformat(value.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = datetime(2026, 1, 3, 2, tzinfo=UTC)
    return Suggestion(values=[f"{moment:%Y-%m-%dT%H:%M:%SZ}"])


Instant = Annotated[str, AfterValidator(_check_instant)]
"""RFC 3339 in UTC, for example ``2026-01-03T02:00:00Z``."""
