"""Flags that a stack gives to an engine as they are: each is one that the engine's pinned version knows, with a value
that it takes, and nothing else decides it.

The flags come from the engine's own parser (catalog, ``engine_flags.csv``), what decides a flag from
``engine_settings.csv``. How a flag is written is the adapters' (``serving.engines``).
"""

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, cast

from llm_serving import catalog
from llm_serving.catalog import EngineFlag, EngineSetting, FlagKind
from llm_serving.errors import LEAVE_OUT, Problem, Suggestion, nearest, nearest_or_few, shorten, shorten_text
from llm_serving.spec import EngineName, EngineRelease, EngineSpec

_NESTED = frozenset({EngineName.VLLM})
"""Engines that take the keys of a JSON value one by one: ``--compilation-config.mode=3``."""

_SIZE = re.compile(r"-?\d+(\.\d+)?[kKmMgGtT]i?")
"""With the suffixes that both engines' ``human_readable_int`` knows."""


def check_flags(path: str, engine: EngineRelease, options: EngineSpec) -> Iterator[Problem]:
    """Everything about ``engine.flags`` of a model whose release has this engine. ``path``: the model."""
    known = catalog.engine_flags(engine.name, engine.version)
    if not known:
        if options.flags and not catalog.engine_versions(engine.name):
            reason = f"no flags of {engine.name} are recorded, so none can be checked"
            yield Problem(
                f"{path}.engine.flags",
                ", ".join(sorted(options.flags)),
                reason,
                Suggestion("leave them out, or another engine", removal=True),
            )
        return
    for name, value in sorted(options.flags.items()):
        yield from _check(f"{path}.engine.flags.{name}", engine, known, name, value)
    firsts = [name.partition(".")[0] for name in sorted(options.flags) if "." in name]
    for name in sorted(set(firsts) & set(options.flags)):
        reason = "is given whole and in parts, and one would take the other's place"
        yield Problem(
            f"{path}.engine.flags.{name}", options.flags[name], reason, Suggestion("the parts alone", removal=True)
        )


def _check(
    path: str, engine: EngineRelease, known: Mapping[str, EngineFlag], name: str, value: Any
) -> Iterator[Problem]:
    first, dot, parts = name.partition(".")
    flag = known.get(first)
    first = (flag.alias_of or first) if flag is not None else first
    name = f"{first}{dot}{parts}"
    settings = catalog.engine_settings(engine.name)
    decision = settings.get(name) or settings.get(first)
    if decision is not None:
        reason = f"decided by {decision.setting}" if decision.setting else f"not a choice: {decision.why}"
        yield Problem(path, value, reason, _decided(decision))
        return
    if flag is None:
        yield _unknown(path, engine, known, first, value)
    elif dot and (flag.kind not in _WITH_PARTS or engine.name not in _NESTED):
        yield Problem(path, value, f"{engine.name} knows no parts of {first}", Suggestion(keys=[first]))
    elif dot:
        yield from _check_part(path, engine, known, name, value)
    elif problem := _wrong(path, engine, flag, value):
        yield problem
    elif flag.kind is FlagKind.JSON:
        whole = json.loads(str(value))
        if not isinstance(whole, dict):
            if any(known_name.startswith(f"{first}.") for known_name in known):
                instead = Suggestion(f"leave it out, or {first}.<part>, a flag for each part", removal=True)
                yield Problem(path, value, "takes a JSON object", instead)
            return
        for part, said in cast(dict[str, Any], whole).items():
            for problem in _check_part(f"{part}", engine, known, f"{first}.{part}", said):
                reason = f"{part} = {shorten(said)} in it: {problem.reason}"
                yield Problem(path, value, reason, _in_json(cast(dict[str, Any], whole), problem))


def _decided(decision: EngineSetting) -> Suggestion:
    return Suggestion(decision.setting, removal=True) if decision.setting else LEAVE_OUT


def _in_json(whole: Mapping[str, Any], problem: Problem) -> Suggestion:
    """The suggestion for a part of a flag's JSON, as one for the whole; ``problem.path`` is the part's."""
    suggestion = problem.suggestion
    if not isinstance(suggestion, Suggestion):
        return Suggestion(suggestion)
    steps = problem.path.split(".")

    def changed(change: Callable[[dict[str, Any], str], None]) -> str:
        document = json.loads(json.dumps(whole))
        holder = document
        for step in steps[:-1]:
            holder = holder[step]
        change(holder, steps[-1])
        return json.dumps(document)

    values = [changed(lambda holder, key, value=value: holder.update({key: value})) for value in suggestion.values]
    values += [changed(lambda holder, key, name=name: _rename(holder, key, name)) for name in suggestion.keys]
    values += [changed(lambda holder, key: _drop(holder, key))] if suggestion.removal else []
    return Suggestion(str(suggestion), values=values)


def _rename(holder: dict[str, Any], key: str, name: str) -> None:
    holder[name] = holder.pop(key)


def _drop(holder: dict[str, Any], key: str) -> None:
    del holder[key]


_WITH_PARTS = (FlagKind.JSON, FlagKind.JSON_OR_TEXT)


def _check_part(
    path: str, engine: EngineRelease, known: Mapping[str, EngineFlag], name: str, value: Any
) -> Iterator[Problem]:
    """A part of a flag's JSON, named ``flag.part``; a part of it may be an object again."""
    decision = catalog.engine_settings(engine.name).get(name)
    if decision is not None:
        reason = f"decided by {decision.setting}" if decision.setting else f"not a choice: {decision.why}"
        yield Problem(path, value, reason, _decided(decision))
        return
    whole, _, last = name.rpartition(".")
    siblings = [flag.rpartition(".")[2] for flag in known if flag.rpartition(".")[0] == whole]
    flag = known.get(name)
    if flag is None:
        # Where no part is recorded, the engine takes any: a dictionary has keys of its own.
        if siblings:
            reason = f"{engine.name} {engine.version} knows no {last} in {whole}"
            inside = [part if name.endswith(path) else f"{whole}.{part}" for part in nearest(last, siblings).values]
            yield Problem(path, value, reason if inside else f"{reason}: {_listed(siblings)}", Suggestion(keys=inside))
    elif value is None or value == "null":
        return
    elif isinstance(value, dict):
        for part, said in cast(dict[str, Any], value).items():
            yield from _check_part(f"{path}.{part}", engine, known, f"{name}.{part}", said)
        if flag.kind not in _WITH_PARTS:
            yield Problem(path, value, f"takes {_TAKES[flag.kind]}, not an object")
    elif flag.kind is FlagKind.SWITCH and value in ("true", "false"):
        return
    elif not isinstance(value, list) and (problem := _wrong(path, engine, flag, value)):
        yield problem


def _listed(names: Iterable[str]) -> str:
    """All names where none is near, cut where that are more than a reader looks through."""
    return shorten_text(", ".join(sorted(names)), 400)


def _unknown(path: str, engine: EngineRelease, known: Mapping[str, EngineFlag], name: str, value: Any) -> Problem:
    opposite = known.get(name.removeprefix("no-"))
    if name.startswith("no-") and opposite is not None and opposite.kind is FlagKind.SWITCH:
        instead = Suggestion(edits=[{"": None, opposite.flag: False}])
        return Problem(path, value, "the opposite of a switch is its name and false", instead)
    reason = f"{engine.name} {engine.version} knows no such flag"
    close = nearest(name, [flag for flag in known if "." not in flag])
    settings = catalog.engine_settings(engine.name)
    if not any(flag in settings for flag in close.values):
        return Problem(path, value, reason, close.as_keys())
    instead = (settings[flag].setting if flag in settings else flag for flag in close.values)
    text = ", ".join(dict.fromkeys(each for each in instead if each))
    flags = [flag for flag in close.values if flag not in settings]
    return Problem(path, value, reason, Suggestion(text, keys=flags, removal=not flags))


def _wrong(path: str, engine: EngineRelease, flag: EngineFlag, value: Any) -> Problem | None:
    """The refusal of a value that a flag does not take."""
    if reason := _wrong_kind(engine, flag, value):
        return Problem(path, value, reason, _example(flag, value))
    if flag.choices and str(value) not in flag.choices:
        if flag.kind is FlagKind.NAME and str(value).upper() in {choice.upper() for choice in flag.choices}:
            return None
        reason, near = "not one of the values that the engine takes", _example(flag, value)
        return Problem(path, value, reason if near else f"{reason}: {_listed(flag.choices)}", near)
    for bound in flag.bounds if _is_number(value) else ():
        sign, limit = _BOUND.fullmatch(bound).groups()  # pyright: ignore[reportOptionalMemberAccess]
        if not _COMPARISONS[sign](float(value), float(limit)):
            return Problem(path, value, f"the engine takes {_SAID[sign]} {limit}", _within(flag, sign, limit))
    return None


_BOUND = re.compile(r"([<>]=?)(.+)")
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SAID = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}


def _within(flag: EngineFlag, sign: str, limit: str) -> Suggestion:
    """The nearest value inside a bound; empty where there is no nearest one."""
    if sign in ("<=", ">="):
        return Suggestion(values=[int(limit) if limit.lstrip("-").isdecimal() else float(limit)])
    inside = int(float(limit)) + (1 if sign == ">" else -1)
    return Suggestion(values=[inside] if flag.kind is FlagKind.INTEGER else ())


def _example(flag: EngineFlag, value: Any) -> Suggestion:
    if flag.kind is FlagKind.SWITCH:
        return Suggestion(values=[True, False])
    if flag.kind is FlagKind.PRESENCE:
        return Suggestion(values=[True], removal=True)
    if (
        not flag.choices
        and flag.kind in (FlagKind.INTEGER, FlagKind.SIZE)
        and _is_number(value)
        and isfinite(float(value))
    ):
        return Suggestion(values=[round(float(value))])
    return nearest_or_few(str(value), flag.choices)


def _wrong_kind(engine: EngineRelease, flag: EngineFlag, value: Any) -> str:
    """Why a value is not of the flag's kind; empty where it is."""
    match flag.kind:
        case FlagKind.SWITCH:
            return "" if isinstance(value, bool) else "a switch: true or false"
        case FlagKind.PRESENCE:
            return "" if value is True else "there is nothing to turn off or to set: true, or leave it out"
        case _ if isinstance(value, bool):
            return f"takes {_TAKES[flag.kind]}, not true or false"
        case FlagKind.INTEGER if not _is_whole(value):
            return "takes a whole number"
        case FlagKind.SIZE if not _is_whole(value) and not _is_size(value):
            return "takes a whole number"
        case FlagKind.NUMBER if not _is_number(value) or not isfinite(float(value)):
            return "takes a number"
        case FlagKind.JSON if not _is_json(value):
            return "takes JSON, and this is none"
        case FlagKind.JSON_OR_TEXT if str(value).lstrip().startswith(("{", "[")) and not _is_json(value):
            return "takes JSON, and this is none"
        case _:
            return ""


_TAKES = {
    FlagKind.SWITCH: "true or false",
    FlagKind.PRESENCE: "true",
    FlagKind.INTEGER: "a whole number",
    FlagKind.SIZE: "a whole number",
    FlagKind.NUMBER: "a number",
    FlagKind.JSON: "JSON",
    FlagKind.JSON_OR_TEXT: "JSON",
    FlagKind.NAME: "a name",
    FlagKind.LIST: "a value",
    FlagKind.TEXT: "a value",
}


def _is_whole(value: Any) -> bool:
    # The plugin protocol sends 7 as 7.0, and the adapters write it as 7.
    return (isinstance(value, float) and value.is_integer()) or re.fullmatch(r"-?\d+", str(value)) is not None


def _is_size(value: Any) -> bool:
    return _SIZE.fullmatch(str(value)) is not None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_json(value: Any) -> bool:
    try:
        json.loads(str(value))
    except ValueError:
        return False
    return True
