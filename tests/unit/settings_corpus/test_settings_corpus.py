"""Every wrong settings file of the corpus is refused in plain words at the right place, and every right one is not.

All rows of a file are one test: a test for each would take longer to set up than to run.
"""

import re

import pytest

from llm_serving.errors import ProblemsError
from stacks.settings import NAMESPACE
from tests.unit.settings_corpus.corpus import Row, refusal, rows, subjects


@pytest.mark.parametrize("subject", subjects())
def test_wrong_settings_are_refused_at_their_path_with_their_reason(subject: str) -> None:
    failures = [failure for row in rows(subject)[0] if (failure := _failure(row, refusal(row)))]
    assert not failures, "\n".join([f"{len(failures)} rows:", *failures])


@pytest.mark.parametrize("subject", subjects())
def test_right_settings_are_accepted(subject: str) -> None:
    failures = [f"{row.line}\n    {error}" for row in rows(subject)[1] if (error := refusal(row))]
    assert not failures, "\n".join([f"{len(failures)} rows:", *failures])


def test_the_corpus_has_rows() -> None:
    """A folder that is not found would pass."""
    assert sum(len(rows(subject)[0]) for subject in subjects()) >= 300
    assert sum(len(rows(subject)[1]) for subject in subjects()) >= 80


def _failure(row: Row, error: ProblemsError | None) -> str:
    """What is wrong with the message; an empty string for nothing."""
    if error is None:
        return f"{row.line}\n    is accepted"
    path = f"{NAMESPACE}:{row.path}"
    fits = any(problem.path in (path, row.path) and re.search(row.reason, problem.reason) for problem in error.problems)
    if fits and not (row.hides and row.hides in str(error)):
        return ""
    said = "repeats what it must hide" if fits else f"has not {row.path} with {row.reason!r}"
    return f"{row.line}\n    {said}: {error}"
