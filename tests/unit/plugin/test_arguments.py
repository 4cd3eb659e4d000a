"""The public arguments of every component say the same as the models that they are validated into."""

import json
import sys
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import is_input, unwrap_input
from pydantic import BaseModel

from llm_serving import argument_types
from llm_serving.plugin import public_components, schema
from llm_serving.spec import ReleaseSpec
from llm_serving.spec.network import Cidr

COMPONENTS = public_components()


def pair(component: type[pulumi.ComponentResource]) -> tuple[Any, Any]:
    module = sys.modules[component.__module__]
    return getattr(module, f"{component.__name__}Args"), getattr(module, f"{component.__name__}Inputs")


def public_shape(hint: Any) -> Any:
    """A public annotation, reduced to scalars, lists, maps and objects; ``Any`` for what passes through unread."""
    if get_origin(hint) is NotRequired:
        hint = get_args(hint)[0]
    if is_input(hint):
        inner = unwrap_input(hint)
        return Any if inner in (str, dict[str, Any]) else public_shape(inner)
    if is_typeddict(hint):
        hints = get_type_hints(hint, localns=vars(pulumi.output), include_extras=True)
        return {name: (name in hint.__required_keys__, public_shape(inner)) for name, inner in hints.items()}
    if get_origin(hint) is list:
        return [public_shape(get_args(hint)[0])]
    if get_origin(hint) is dict:
        return {"*": public_shape(get_args(hint)[1])}
    return hint


def inner_shape(hint: Any) -> Any:
    """The annotation of a model's field, reduced likewise; the values of literals and enums are strings outside."""
    if hint == Cidr:
        return str
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return inner_shape(arguments[0])
    if origin in (Union, UnionType):
        return inner_shape(next(argument for argument in arguments if argument is not type(None)))
    if origin is Literal:
        return type(arguments[0])
    if origin is tuple:
        return [inner_shape(arguments[0])]
    if origin is dict:
        return {"*": inner_shape(arguments[1])}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return str
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        hints = get_type_hints(hint, include_extras=True)
        return {name: (field.is_required(), inner_shape(hints[name])) for name, field in hint.model_fields.items()}
    return hint


@pytest.mark.parametrize("component", COMPONENTS, ids=[component.__name__ for component in COMPONENTS])
def test_public_arguments_and_inner_model_agree_in_names_types_and_what_is_required(component):
    public, inner = pair(component)
    public_form, inner_form = public_shape(public), inner_shape(inner)
    assert set(public_form) == set(inner_form)
    for name, argument in public_form.items():
        required, shape = inner_form[name]
        if shape is Any:  # passes through unread
            assert argument[0] == required, name
            continue
        assert argument == (required, shape), name


def test_everything_in_the_schema_is_documented():
    document = json.loads(schema())
    for token, entry in {**document["resources"], **document["types"]}.items():
        assert entry.get("description"), token
        for part in ("properties", "inputProperties"):
            for name, documented in entry.get(part, {}).items():
                assert documented.get("description"), f"{token} {name}"


def test_the_types_of_arguments_are_generated_from_the_models():
    for path, text in argument_types.generate().items():
        assert path.read_text() == text, "run: python -m llm_serving.plugin arguments"


def test_a_field_without_a_description_cannot_be_generated():
    class Undescribed(BaseModel):
        """A model."""

        described: int
        """A field."""
        bare: int

    assert set(argument_types.field_descriptions(ReleaseSpec)) == set(ReleaseSpec.model_fields)
    with pytest.raises(KeyError, match="bare"):
        argument_types.typed_dict("UndescribedArgs", Undescribed, {})
