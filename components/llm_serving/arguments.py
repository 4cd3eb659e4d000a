"""How plain data becomes a frozen model: one base class and one door, used by settings and by components alike.

Keys may be written as in YAML and in other languages (``machineType``) or as in Python (``machine_type``); problems
always name the first spelling, because that is what stands in the file.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from llm_serving.errors import Problem, ProblemsError, nearest


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
    location = _as_in_the_file(model, tuple(error["loc"]))
    kind: str = error["type"]
    value: Any = error.get("input")
    path = property_path(location)
    if kind == "extra_forbidden":
        siblings = _sibling_keys(model, location[:-1])
        return Problem(path, value, "unknown key", nearest(str(location[-1]), siblings) if siblings else "")
    if kind == "missing":
        return Problem(path, None, "required, but not given")
    if kind == "value_error":
        inner = error["ctx"]["error"]
        if isinstance(inner, ProblemsError) and inner.problems:
            return inner.problems[0].under(path)
        return Problem(path, _plain(value), str(inner))
    if kind in ("literal_error", "enum"):
        expected = str(error["ctx"]["expected"])
        choices = re.findall(r"'([^']*)'", expected)
        near = nearest(str(value), choices)
        # Where none is near, all are named.
        suggestion = near if near.count(",") + 1 < len(choices) else expected
        return Problem(path, value, "not one of the values that are known", suggestion)
    message: str = _WORDS.get(kind) or error["msg"]
    # A version that YAML read as a number.
    quoted = f'"{value}", in quotes' if kind == "string_type" and isinstance(value, int | float) else ""
    return Problem(path, _plain(value), message[:1].lower() + message[1:], quoted)


_WORDS = {
    "string_type": "takes a text",
    "string_pattern_mismatch": "not in the form that this setting has (docs/settings.md)",
    "int_type": "takes a whole number",
    "int_parsing": "takes a whole number",
    "int_from_float": "takes a whole number",
    "float_type": "takes a number",
    "float_parsing": "takes a number",
    "bool_type": "takes true or false",
    "bool_parsing": "takes true or false",
    "tuple_type": "takes a list",
    "list_type": "takes a list",
    "dict_type": "takes keys with values",
    "model_type": "takes keys with values",
}
"""Refusals of pydantic in words of the file, by their type."""


def _plain(value: Any) -> Any:
    return None if isinstance(value, Mapping | BaseModel) else value


def _as_in_the_file(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[int | str, ...]:
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
