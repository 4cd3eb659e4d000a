"""How plain data becomes a frozen model: one base class and one door, used by settings and by components alike.

Keys may be written as in YAML and in other languages (``machineType``) or as in Python (``machine_type``); problems
always name the first spelling, because that is what stands in the file.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from llm_serving.errors import LEAVE_OUT, MOST_CANDIDATES, Problem, ProblemsError, Suggestion, nearest
from llm_serving.other_names import meant_settings, meant_value


class Frozen(BaseModel):
    """A frozen model that refuses unknown keys. Integers that arrive as ``3.0`` are accepted: the plugin protocol
    has no integers."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: Any, source: str = "") -> M:
    """Validate ``data`` into ``model``.

    Raises:
        ProblemsError: one problem for each refused value, with its property path; ``source`` is put in front.
    """
    if isinstance(data, model):
        return data
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ProblemsError([_problem(model, item) for item in _without_echoes(error.errors())], source) from None


def plain(model: BaseModel) -> Any:
    """The model as plain data, in the form in which public components take their arguments."""
    return model.model_dump(mode="json")


def plain_set(model: BaseModel) -> Any:
    """What was given of the model, as it stands in files."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def property_path(location: tuple[int | str, ...]) -> str:
    """``("pools", 1, "machineType")`` as ``pools[1].machineType``."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


def _without_echoes(errors: list[Any]) -> list[Any]:
    """Without "too short" of a sequence whose items were refused: it counts only the good ones."""
    locations = [tuple(error["loc"]) for error in errors]

    def echoes(error: Any) -> bool:
        location = tuple(error["loc"])
        return error["type"] == "too_short" and any(p[: len(location)] == location and p != location for p in locations)

    return [error for error in errors if not echoes(error)]


def _problem(model: type[BaseModel], error: Any) -> Problem:
    location = as_in_the_file(model, tuple(error["loc"]))
    kind: str = error["type"]
    value: Any = error.get("input")
    path = property_path(location)
    if kind == "extra_forbidden":
        return Problem(path, value, "unknown key", _meant_key(model, location, value))
    if kind == "missing":
        return Problem(path, None, "required, but not given")
    if kind == "value_error":
        inner = error["ctx"]["error"]
        if isinstance(inner, ProblemsError) and inner.problems:
            problem = inner.problems[0].under(path)
            if error["loc"][-1:] == ("[key]",) and isinstance(problem.suggestion, Suggestion):
                return replace(problem, suggestion=problem.suggestion.as_keys())
            return problem
        return Problem(path, _plain(value), str(inner))
    field = _type_at(model, location)
    if kind in ("literal_error", "enum"):
        return _not_a_choice(path, value, re.findall(r"'([^']*)'", str(error["ctx"]["expected"])))
    reason = _reason(kind, error.get("ctx", {})) or error["msg"][:1].lower() + error["msg"][1:]
    if kind == "string_type" and isinstance(value, bool | int | float):
        # A version that YAML read as a number. In quotes it may be refused for another reason, which is the one to say.
        quoted = str(value).lower() if isinstance(value, bool) else str(value)
        problem = _refusal(field, quoted)
        return Problem(path, value, reason, Suggestion(values=[quoted])) if problem is None else problem.under(path)
    near = [*_candidates(kind, error.get("ctx", {}), value), *_times_near(path, value)]
    candidates = [each for each in near if _refusal(field, each) is None]
    return Problem(path, _plain(value), reason, Suggestion(values=candidates) or _if_optional(kind, value, field))


def _meant_key(model: type[BaseModel], location: tuple[int | str, ...], value: Any) -> Suggestion:
    """What an unknown key may be: another tool's name of a setting beside it or inside one beside it, a misspelt one,
    or another tool's name of a setting elsewhere."""
    paths = meant_settings(str(location[-1]))
    for steps in (path.split(".")[start:] for path in paths for start in range(path.count(".") + 1)):
        field = _type_at(model, (*location[:-1], *steps))
        if field is not Any:
            name = ".".join(steps)
            return Suggestion(keys=[name]) if _refusal(field, value) is None else Suggestion(name, removal=True)
    if near := nearest(str(location[-1]), _sibling_keys(model, location[:-1])).as_keys():
        return near
    elsewhere = [path for path in paths if _type_at(model, tuple(path.split("."))) is not Any]
    return Suggestion(elsewhere[0], removal=True) if elsewhere else Suggestion()


def _not_a_choice(path: str, value: Any, choices: list[str]) -> Problem:
    reason = "not one of the values that are known"
    meant = meant_value(str(value))
    near = Suggestion(values=[meant]) if meant in choices else nearest(str(value), choices)
    if near or len(choices) <= MOST_CANDIDATES:
        return Problem(path, _plain(value), reason, near or Suggestion(values=choices))
    return Problem(path, _plain(value), f"{reason}: {', '.join(choices)}")


def _reason(kind: str, limits: Mapping[str, Any]) -> str:
    """A refusal of pydantic in words of the file; an empty string for one that has none here."""
    template = _WORDS.get(kind, "")
    return template.format(**{name: _number(limit) for name, limit in limits.items()}) if template else ""


def _number(limit: Any) -> Any:
    """A limit as people write it: 1, and not 1.0."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _candidates(kind: str, limits: Mapping[str, Any], value: Any) -> Iterable[Any]:
    """Values that may do in place of a refused one, the nearest first."""
    if kind == "less_than_equal" and limits["le"] == 1 and 2 <= float(value) <= 100:
        # A share in percent. The value may be a text, of which pydantic has read the number.
        yield float(value) / 100
    elif kind in ("greater_than_equal", "less_than_equal"):
        yield _number(limits["ge" if kind == "greater_than_equal" else "le"])
    elif kind == "greater_than":
        yield _number(limits["gt"]) + 1
    elif kind in ("int_from_float", "int_parsing", "float_parsing"):
        yield from _numbers_near(value)
    elif kind in ("bool_parsing", "bool_type"):
        yield from (True, False)
    elif kind in ("tuple_type", "list_type") and not isinstance(value, Mapping):
        yield value.replace(",", " ").split() if isinstance(value, str) and "," in value else [value]
    elif kind == "dict_type" and isinstance(value, list):
        yield from filter(None, (_as_keys(cast(list[Any], value)),))


def _as_keys(items: list[Any]) -> dict[str, Any]:
    """A list of names with values as Kubernetes has it, or of flags as a command line has them; empty for another."""
    keys: dict[str, Any] = {}
    for item in items:
        if isinstance(item, dict) and cast(dict[str, Any], item).keys() == {"name", "value"}:
            named = cast(dict[str, Any], item)
            keys[str(named["name"])] = named["value"]
        elif isinstance(item, str) and item.startswith("--"):
            name, equals, value = item.removeprefix("--").partition("=")
            keys[name] = value if equals else True
        else:
            return {}
    return keys


_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
"""Units that the names of settings end with, in seconds."""


def _times_near(name: str, value: Any) -> Iterable[int]:
    """A time as Go and Kubernetes write it, in the unit that the setting's name says: 10m is 600 seconds."""
    match = re.fullmatch(r"(\d{1,9})(s|sec|m|min|h|d)", str(value).strip(), re.ASCII)
    unit = next((seconds for end, seconds in _UNITS.items() if name.lower().endswith(end)), None)
    if match and unit is not None and not int(match[1]) * _SECONDS[match[2]] % unit:
        yield int(match[1]) * _SECONDS[match[2]] // unit


def _numbers_near(value: Any) -> Iterable[int | float]:
    """The numbers that a text or a fraction is near to: ``1_000``, ``2 GiB``, 1.5."""
    if isinstance(value, float):
        yield from (math.ceil(value), math.floor(value))
        return
    text = str(value).strip().replace("_", "").replace(",", "")
    match = re.fullmatch(r"([-+]?\d{1,15}(?:\.\d{1,15})?) ?(m|Gi|GiB|G|GB)?", text, re.ASCII)
    if match:
        # Kubernetes writes half a CPU as 500m.
        number = float(match[1]) / (1000 if match[2] == "m" else 1)
        yield from (int(number),) if number.is_integer() else (number, math.ceil(number))


def _if_optional(kind: str, value: Any, field: Any) -> str:
    """An emptied key may as well not be there, where it has to have no value."""
    return LEAVE_OUT if value is None and kind.endswith("_type") and field is not Any else ""


_WORDS = {
    "string_type": "takes a text",
    "int_type": "takes a whole number",
    "int_parsing": "takes a whole number",
    "int_parsing_size": "has more digits than a setting can have",
    "int_from_float": "takes a whole number",
    "float_type": "takes a number",
    "float_parsing": "takes a number",
    "finite_number": "is not a number that a setting can have",
    "bool_type": "takes true or false",
    "bool_parsing": "takes true or false",
    "tuple_type": "takes a list",
    "list_type": "takes a list",
    "dict_type": "takes keys with values",
    "model_type": "takes keys with values",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have {min_length} or more entries (has {actual_length})",
    "too_long": "must have at most {max_length} entries (has {actual_length})",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
}
"""Refusals of pydantic in words of the file, by their type."""


def _refusal(field: Any, value: Any) -> Problem | None:
    """Why a type refuses a value; ``None`` where it does not, and where the type is not known."""
    if field is Any:
        return None
    try:
        TypeAdapter(field).validate_python(value)
    except ValidationError as error:
        return _problem(_Nothing, {**error.errors()[0], "loc": ()})
    return None


class _Nothing(BaseModel):
    """A model without fields: the place of a value whose own place is put in front later."""


def _type_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """The type of the value at a location, with its limits; ``Any`` where it is not known."""
    current: Any = model
    for step in location:
        current = next((inner for option in _options(current) if (inner := _inner(option, step)) is not None), Any)
    return current if location else Any


def scalar_types_at(model: type[BaseModel], path: str) -> frozenset[type]:
    """Types of the single values (``bool``, ``int``, ``float``, ``str``) that a model takes at a property path; empty
    where it has no such property."""
    steps = [int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.\[\]]+", path)]
    kinds: set[type] = set()
    for option in _options(_type_at(model, tuple(steps))):
        kinds |= {kind for kind in (bool, int, float, str) if isinstance(option, type) and issubclass(option, kind)}
    return frozenset(kinds - ({int} if bool in kinds else set()))


def _options(annotation: Any) -> Iterable[Any]:
    """The types in ``Annotated``, ``X | None`` and the like."""
    if isinstance(annotation, type) or get_origin(annotation) in (list, tuple, dict):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    else:
        for option in get_args(annotation):
            yield from _options(option)


def _inner(annotation: Any, step: int | str) -> Any:
    if isinstance(step, int):
        return get_args(annotation)[0] if get_origin(annotation) in (list, tuple) else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    for name, field in annotation.model_fields.items():
        if step in (name, field.alias):
            return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return None


def _plain(value: Any) -> Any:
    return None if isinstance(value, Mapping | BaseModel) else value


def as_in_the_file(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The location with Python's spelling of a field (``machine_type``) replaced by the other (``machineType``), and
    without pydantic's mark of a dictionary's key."""
    location = location[:-1] if location[-1:] == ("[key]",) else location
    steps: list[int | str] = []
    current: Any = model
    for step in location:
        if isinstance(step, int):
            steps.append(step)
            continue
        key, current = _field(current, step)
        steps.append(key)
    return tuple(steps)


def _sibling_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed where an unknown one was found."""
    current: Any = model
    for step in location:
        if not isinstance(step, int):
            _, current = _field(current, step)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [field.alias or name for name, field in current.model_fields.items()]
    return []


def _field(model: Any, key: str) -> tuple[str, Any]:
    """A field of ``model`` by either spelling: as it stands in a file, and the model inside it. Where there is no such
    field, or ``model`` is none, the key as it is."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        fields: dict[str, Any] = model.model_fields
        for name, field in fields.items():
            if key in (name, field.alias):
                return field.alias or name, _model_inside(field.annotation)
    return key, None


def _model_inside(annotation: Any) -> Any:
    """The model in ``list[Model]``, ``Model | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in cast(tuple[Any, ...], getattr(cast(Any, annotation), "__args__", ())):
        nested = _model_inside(inner)
        if nested is not None:
            return nested
    return None
