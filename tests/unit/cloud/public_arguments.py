"""Public arguments of a component beside the model that checks them."""

from types import UnionType
from typing import Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import pulumi
from pydantic import BaseModel


def compare(public: Any, inner: type[BaseModel], path: str) -> None:
    """The same names, the same of them required, and so on inwards."""
    required, optional = set(public.__required_keys__), set(public.__optional_keys__)
    fields = inner.model_fields
    assert required | optional == set(fields), path
    assert required == {name for name, field in fields.items() if field.is_required()}, path
    for name, hint in get_type_hints(public, localns=vars(pulumi.output)).items():
        nested, model = inner_type(hint, is_typeddict), inner_type(fields[name].annotation, is_model)
        assert (nested is None) == (model is None), f"{path}.{name}"
        if nested is not None and model is not None:
            compare(nested, model, f"{path}.{name}")


def inner_type(hint: Any, wanted: Any) -> Any:
    """The TypedDict or model in `NotRequired[list[X]]`, `tuple[X, ...]`, `X | None` and the like."""
    if wanted(hint):
        return hint
    if get_origin(hint) in (NotRequired, Required, Union, UnionType, list, tuple):
        return next((inner for arg in get_args(hint) if (inner := inner_type(arg, wanted)) is not None), None)
    return None


def is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)
