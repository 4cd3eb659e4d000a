"""Flags that a stack gives to an engine as they are: each is one that the engine's pinned version knows, with a value
that it takes, and nothing else decides it.

The flags come from the engine's own parser (catalog, ``engine_flags.csv``), what decides a flag from
``engine_settings.csv``. How a flag is written is the adapters' (``serving.engines``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llm_serving import catalog
from llm_serving.catalog import EngineFlag, FlagKind
from llm_serving.errors import Problem, nearest
from llm_serving.spec import EngineName, EngineRelease, EngineSpec

_NESTED = frozenset({EngineName.VLLM})
"""Engines that take the keys of a JSON value one by one: ``--compilation-config.mode=3``."""

_INTEGER = re.compile(r"-?\d+(\.\d+)?[kKmMgGtT]?i?")
"""With the suffixes that both engines' ``human_readable_int`` knows."""


def check_flags(path: str, engine: EngineRelease, options: EngineSpec) -> Iterator[Problem]:
    """Everything about ``engine.flags`` of a model whose release has this engine. ``path``: the model."""
    known = catalog.engine_flags(engine.name, engine.version)
    if not known:
        if options.flags and not catalog.engine_versions(engine.name):
            reason = f"no flags of {engine.name} are recorded, so none can be checked"
            yield Problem(f"{path}.engine.flags", ", ".join(sorted(options.flags)), reason, "none, or another engine")
        return
    for name, value in sorted(options.flags.items()):
        yield from _check(f"{path}.engine.flags.{name}", engine, known, name, value)


def _check(
    path: str, engine: EngineRelease, known: Mapping[str, EngineFlag], name: str, value: Any
) -> Iterator[Problem]:
    first, dot, _ = name.partition(".")
    settings = catalog.engine_settings(engine.name)
    decision = settings.get(name) or settings.get(first)
    if decision is not None:
        reason = f"decided by {decision.setting}" if decision.setting else f"not a choice: {decision.why}"
        yield Problem(path, value, reason, decision.setting or "leave it out")
        return
    flag = known.get(first)
    if flag is None:
        yield _unknown(path, engine, known, first, value)
    elif dot and (flag.kind is not FlagKind.JSON or engine.name not in _NESTED):
        yield Problem(path, value, f"{engine.name} knows no parts of {first}", first)
    elif reason := _wrong(flag, value, nested=bool(dot)):
        yield Problem(path, value, reason, nearest(str(value), flag.choices) if flag.choices else "")


def _unknown(path: str, engine: EngineRelease, known: Mapping[str, EngineFlag], name: str, value: Any) -> Problem:
    opposite = known.get(name.removeprefix("no-"))
    if name.startswith("no-") and opposite is not None and opposite.kind is FlagKind.SWITCH:
        return Problem(path, value, "the opposite of a switch is its name and false", f"{opposite.flag}: false")
    reason = f"{engine.name} {engine.version} knows no such flag"
    settings = catalog.engine_settings(engine.name)
    close = nearest(name, [flag for flag in known if flag not in settings])
    return Problem(path, value, reason, close if close.count(",") < _MOST_NAMES else "")


_MOST_NAMES = 3
"""Where no name is near, every name would be suggested: hundreds."""


def _wrong(flag: EngineFlag, value: Any, nested: bool) -> str:
    """Why a flag does not take this value; empty where it does."""
    if nested:
        return ""
    match flag.kind:
        case FlagKind.SWITCH:
            return "" if isinstance(value, bool) else "a switch: true or false"
        case FlagKind.PRESENCE:
            return "" if value is True else "there is nothing to turn off or to set: true, or leave it out"
        case _ if isinstance(value, bool):
            return f"takes {_TAKES[flag.kind]}, not true or false"
        case FlagKind.INTEGER if not _INTEGER.fullmatch(str(value)):
            return "takes a whole number"
        case FlagKind.NUMBER if not _is_number(value):
            return "takes a number"
        case FlagKind.JSON if not _is_json(value):
            return "takes JSON, and this is none"
        case _:
            pass
    if flag.choices and str(value) not in flag.choices:
        return "not one of the values that the engine takes"
    return ""


_TAKES = {
    FlagKind.INTEGER: "a whole number",
    FlagKind.NUMBER: "a number",
    FlagKind.JSON: "JSON",
    FlagKind.LIST: "a value",
    FlagKind.TEXT: "a value",
}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_json(value: Any) -> bool:
    """Some flags of this kind take a plain word too; what looks like JSON must be JSON."""
    text = str(value).strip()
    if not text.startswith(("{", "[")):
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
