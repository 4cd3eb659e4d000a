"""The installable Pulumi package: the host that serves every public component to programs in any language.

The SDK's host loses what a user needs most when something is wrong, so this one differs from it in three ways:

- An error of a component keeps its property paths (the SDK wraps it and shows a traceback).
- Every argument is checked before a component sees it: unknown keys (the SDK drops them), missing ones, wrong types.
- An Output where only a plain value can be used is refused (the SDK passes on an empty object, or fails without path).

``python -m llm_serving.plugin schema`` writes ``components/schema.json``, the contract with other languages, and
``python -m llm_serving.plugin arguments`` the types of the components' arguments (``argument_types``).
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.provider import ConstructResult, main
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError
from pulumi.runtime import known_types

import llm_serving
from llm_serving import argument_types
from llm_serving.component import PACKAGE, to_input_errors
from llm_serving.errors import Problem, ProblemsError, nearest

SCHEMA = Path(__file__).parents[1] / "schema.json"
"""Where the schema is committed, in a source tree."""

_JSON_TYPES: dict[PropertyType, tuple[type | tuple[type, ...], str]] = {
    PropertyType.STRING: (str, "a string"),
    PropertyType.INTEGER: ((int, float), "a whole number"),
    PropertyType.NUMBER: ((int, float), "a number"),
    PropertyType.BOOLEAN: (bool, "true or false"),
    PropertyType.ARRAY: (list, "a list"),
    PropertyType.OBJECT: (dict, "an object"),
}

_NOT_PLAIN = (
    "is an output of a resource or a secret, but it decides what is created and must be a plain value, known before "
    "the deployment"
)


def public_components() -> list[type[pulumi.ComponentResource]]:
    """Every component of the package, in the order of the schema."""
    return [getattr(llm_serving, name) for name in llm_serving.__all__]


class Host(ComponentProvider):
    """Constructs components for the Pulumi engine."""

    def __init__(self) -> None:
        super().__init__(public_components(), PACKAGE, version=package_version())

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: pulumi.Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Check the arguments, then let the component do the rest.

        Raises:
            InputPropertiesError: with the property path of everything that is refused.
        """
        self.validate_resource_type(self._name, resource_type)
        component = resource_type.rsplit(":", maxsplit=1)[-1]
        if component not in self._component_defs:
            close = nearest(component, self._component_defs)
            # Without the empty list the SDK fails to make a status of the error.
            raise InputPropertiesError(f"{resource_type}: no such component (try: {close})", [])
        problems = self.problems(inputs, self._component_defs[component].inputs)
        if problems:
            raise to_input_errors(ProblemsError(problems, f"{component} {name!r}"))
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as error:
            if isinstance(error.inner, ProblemsError):
                raise to_input_errors(error.inner) from error.inner
            if isinstance(error.inner, (InputPropertiesError, InputPropertyError, pulumi.RunError)):
                raise error.inner from None
            raise

    def problems(
        self, values: Mapping[str, Any], properties: Mapping[str, PropertyDefinition], path: str = ""
    ) -> list[Problem]:
        """Problems of the shape of an object: keys and types, as far as the protocol shows them.

        Args:
            values: the object; its keys are spelt as on the wire.
            properties: what the schema says of it.
            path: property path of the object.
        """
        problems: list[Problem] = []
        for key, value in values.items():
            value_path = f"{path}.{key}" if path else key
            if key in properties:
                problems += self._value_problems(value, properties[key], value_path)
            elif not key.startswith("__"):  # `__defaults` and the like are the Pulumi engine's own
                problems.append(Problem(value_path, _shown(value), "unknown key", nearest(key, properties)))
        for key, definition in properties.items():
            if values.get(key) is None and not definition.optional:
                problems.append(Problem(f"{path}.{key}" if path else key, None, "required, but not given"))
        return problems

    def _value_problems(
        self, value: Any, definition: PropertyDefinition, path: str, plain: bool = True
    ) -> list[Problem]:
        """``plain``: the value is in no `Input`; in one, outputs are resolved with it."""
        if value is None:
            return []
        plain = plain and bool(definition.plain)
        type_definition = self.get_type_definition(definition) if definition.ref else None
        if known_types.is_output(value) or known_types.is_unknown(value):
            # The SDK takes objects of a type of ours apart and converts integers, and cannot do either with an output.
            is_converted = type_definition is not None or definition.type is PropertyType.INTEGER
            return [Problem(path, None, _NOT_PLAIN)] if plain or is_converted else []
        if type_definition is not None:
            if not isinstance(value, dict):
                return [Problem(path, _shown(value), "is not an object")]
            return self.problems(cast(dict[str, Any], value), type_definition.properties, path)
        if definition.type is None:
            return []
        wanted, description = _JSON_TYPES[definition.type]
        fits = isinstance(value, wanted) and (definition.type is PropertyType.BOOLEAN or not isinstance(value, bool))
        if definition.type is PropertyType.INTEGER and isinstance(value, float) and not value.is_integer():
            fits = False
        if not fits:
            return [Problem(path, _shown(value), f"is not {description}")]
        problems: list[Problem] = []
        if definition.items is not None:
            for index, item in enumerate(cast(list[Any], value)):
                problems += self._value_problems(item, definition.items, f"{path}[{index}]", plain)
        if definition.additional_properties is not None:
            for key, item in cast(dict[str, Any], value).items():
                problems += self._value_problems(item, definition.additional_properties, f"{path}.{key}", plain)
        return problems


def _shown(value: Any) -> Any:
    """What a message may show: scalars. Objects are long, and an output's value may be a secret."""
    return value if isinstance(value, str | int | float | bool) else None


def package_version() -> str:
    """Version of the package; 0.0.0 where its source runs without being installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "0.0.0"


def schema() -> str:
    """The package's Pulumi schema as it is committed."""
    document = json.loads(Host().schema or "{}")
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def serve() -> None:
    """Serve the components to the Pulumi engine that started this process, until it ends it."""
    main(Host(), sys.argv[1:])


def command_line(arguments: Sequence[str]) -> int:
    """``arguments`` writes the types of arguments, ``schema`` the schema; exit status 2 for anything else."""
    if list(arguments) == ["arguments"]:
        for path, text in argument_types.generate().items():
            path.write_text(text)
    elif list(arguments) == ["schema"]:
        SCHEMA.write_text(schema())
    else:
        print("usage: python -m llm_serving.plugin arguments|schema", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(command_line(sys.argv[1:]))
