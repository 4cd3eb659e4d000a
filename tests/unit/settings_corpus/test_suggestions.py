"""What a message suggests works: each suggestion is put into the file, and the same refusal is gone. Where another one
of the same setting appears, its suggestions lead on, and to an end.

A suggestion in prose alone says why: what a reader must know, choose or do elsewhere.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_serving import catalog
from llm_serving.errors import MOST_CANDIDATES, Needs, Problem, ProblemsError, Suggestion, nearest, nearest_or_few
from stacks.settings import NAMESPACE, read_settings_file, resolve
from tests.unit.settings_corpus.corpus import Row, refusal, rows, subjects


class _Quoting(yaml.CSafeDumper):
    """Writes every text in quotes: PyYAML leaves them out of what only the Pulumi engine takes for a number."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))

_Edit = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("subject", subjects())
def test_a_suggestion_that_is_applied_passes_the_check_that_made_it(subject: str, tmp_path: Path) -> None:
    failures = [failure for row in rows(subject)[0] for failure in _failures(row, tmp_path)]
    assert not failures, "\n".join([f"{len(failures)} suggestions:", *failures])


def test_most_messages_suggest_what_can_be_applied_and_prose_alone_says_what_it_needs() -> None:
    problems = [
        problem
        for subject in subjects()
        for row in rows(subject)[0]
        if (error := refusal(row))
        for problem in error.problems
    ]
    kinds = Counter(_kind(problem) for problem in problems)
    unexplained = [str(problem) for problem in problems if _kind(problem) == "prose"]
    assert not unexplained, "\n".join(unexplained)
    in_prose = {need.name: kinds[need] for need in Needs}
    assert sum(in_prose.values()) < 0.25 * len(problems), in_prose
    assert kinds["data"] > 0.65 * len(problems), kinds


def test_no_message_of_the_corpus_names_more_candidates_than_a_reader_compares() -> None:
    for subject in subjects():
        for row in rows(subject)[0]:
            error = refusal(row)
            for problem in error.problems if error else ():
                assert len([*_edits(problem)]) <= MOST_CANDIDATES, f"{row.line}\n    {problem}"
                assert not re.search(r"\\[dwsS]|\(\?|pydantic|<class|NoneType", str(problem)), problem


@pytest.mark.parametrize("typed", ["L5", "l4", "L44", "LL4", "14", "nvidia-l4", "NVIDIA L4"])
def test_a_misspelt_l4_is_an_l4(typed: str) -> None:
    assert nearest(typed, [gpu.name for gpu in catalog.accelerators()]).values[0] == "L4"


def test_a_name_without_its_size_is_every_size_of_it() -> None:
    gpus = [gpu.name for gpu in catalog.accelerators()]
    assert nearest("a100", gpus).values == ("A100-40GB", "A100-80GB")
    assert nearest("H100", gpus).values == ("H100-80GB", "H100-NVL")


def test_where_nothing_is_near_nothing_is_suggested_unless_there_are_few() -> None:
    assert nearest("mainframe", [gpu.name for gpu in catalog.accelerators()]) == ""
    assert nearest("mainframe", ["chat", "search"]) == ""
    assert nearest_or_few("mainframe", ["search", "chat"]).values == ("chat", "search")


def test_a_suggested_text_that_yaml_reads_as_something_else_is_in_quotes() -> None:
    assert Suggestion(values=["1.35", "1.0.0", "on", "l4", 3, True]) == (
        '"1.35", in quotes, 1.0.0, "on", in quotes, l4, 3, true'
    )


def _failures(row: Row, folder: Path) -> Iterator[str]:
    error = refusal(row)
    problems = error.problems if error else ()
    edits = [(problem, *shown_and_edit) for problem in problems for shown_and_edit in _edits(problem)]
    if not edits:
        return
    path = folder / f"Pulumi.{row.stack}.yaml"
    try:
        text = row.content.decode()
        document = yaml.load(text, yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    if not isinstance(document, dict) or len(text) * 100 < len(str(document)):
        return
    for problem, shown, edit in edits:
        _edit_file(path, text, edit)
        if again := _dead_end(path, problem, [each for each in problems if each is not problem]):
            yield f"{row.line}\n    {problem}\n    {shown}: {again}"


_MOST_STEPS = 3


def _dead_end(path: Path, problem: Problem, before: Sequence[Problem]) -> Problem | None:
    """The refusal of the same property at which the suggestions end: the same one again, or one after too many."""
    seen = {problem.reason}
    for _ in range(_MOST_STEPS):
        again = _refusal_of(path, problem.path, before)
        if again is None:
            return None
        edit = next(_edits(again), None)
        if again.reason in seen or edit is None:
            return again if again.reason in seen else None
        seen.add(again.reason)
        _edit_file(path, path.read_text(encoding="utf-8"), edit[1])
    return _refusal_of(path, problem.path, before)


def _refusal_of(path: Path, place: str, before: Sequence[Problem]) -> Problem | None:
    """Why the property is refused, beside what was refused of it before for another reason."""
    others = {(problem.path, problem.reason) for problem in before}
    try:
        resolve(read_settings_file(path), path.name)
    except ProblemsError as error:
        same = (each for each in error.problems if _bare(each.path) == _bare(place))
        return next((each for each in same if (each.path, each.reason) not in others), None)
    return None


def _edit_file(path: Path, text: str, edit: _Edit) -> None:
    document = yaml.load(text, yaml.CSafeLoader)
    edit(document)
    path.write_text(yaml.dump(document, Dumper=_Quoting, sort_keys=False), encoding="utf-8")


def _bare(path: str) -> str:
    return path.removeprefix(f"{NAMESPACE}:")


def _kind(problem: Problem) -> Needs | str:
    """Whether a message suggests something that can be applied, ``data``; else what its prose needs."""
    if not problem.suggestion or [*_edits(problem)]:
        return "data" if problem.suggestion else "nothing"
    return (problem.suggestion.needs if isinstance(problem.suggestion, Suggestion) else None) or "prose"


def _edits(problem: Problem) -> Iterator[tuple[str, _Edit]]:
    """What a problem's suggestion changes in a document, each candidate on its own."""
    suggestion = problem.suggestion
    if not isinstance(suggestion, Suggestion):
        return
    for value in suggestion.values:
        yield f"set to {value!r}", lambda document, value=value: _set(document, problem.path, value)
    for key in suggestion.keys:
        yield f"renamed to {key!r}", lambda document, key=key: _rename(document, problem.path, key)
    if suggestion.removal:
        yield "left out", lambda document: _remove(document, problem.path)
    for edit in suggestion.edits:
        yield f"with {edit}", lambda document, edit=edit: _apply(document, problem.path, edit)


def _set(document: dict[str, Any], path: str, value: Any) -> None:
    container, key = _place(document, path)
    container[key] = value


def _rename(document: dict[str, Any], path: str, name: str) -> None:
    container, key = _place(document, path)
    value = container.pop(key)
    holder, last = _inside(container, name)
    holder[last] = value


def _remove(document: dict[str, Any], path: str) -> None:
    container, key = _place(document, path)
    del container[key]


def _apply(document: dict[str, Any], path: str, edit: Mapping[str, Any]) -> None:
    """All changes of an edit; the refused setting itself goes last, so that indices before it stay."""
    container, _ = _place(document, path)
    for name, value in sorted(edit.items(), key=lambda item: item[0] == ""):
        if name == "":
            holder, key = _place(document, path)
        else:
            holder, key = _place(document, name[1:]) if name.startswith("/") else _inside(container, name)
        if value is None:
            if isinstance(holder, list) or key in holder:
                del holder[key]
        else:
            holder[key] = value


def _place(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Where a message's path points: the list or object, and the index or key in it."""
    if path in document:
        return document, path
    config = document["config"]
    return _inside(config, path if ":" in path.partition(".")[0] or path in config else f"{NAMESPACE}:{path}")


def _said(key: Any) -> str:
    """A key as it stands in the corpus; PyYAML makes a truth value of ``yes``."""
    return ("yes" if key else "no") if isinstance(key, bool) else str(key)


def _inside(value: Any, path: str) -> tuple[Any, Any]:
    if match := re.match(r"\[(\d+)\]\.?", path):
        rest = path[match.end() :]
        return _inside(value[int(match[1])], rest) if rest else (value, int(match[1]))
    # Keys have dots themselves, those of labels: the longest one that fits.
    said = {_said(key): key for key in value}
    for name in sorted((name for name in said if path.startswith(name)), key=len, reverse=True):
        key, rest = said[name], path[len(name) :]
        if not rest:
            return value, key
        if rest[0] in ".[":
            return _inside(value[key], rest.removeprefix("."))
    key, _, rest = path.partition(".")
    return _inside(value.setdefault(key, {}), rest) if rest else (value, key)
