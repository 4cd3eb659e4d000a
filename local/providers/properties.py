"""Property values on the plugin protocol, as plain Python values and back.

Owns: the two directions (:func:`from_struct`, :func:`to_struct`), the three markers that plain JSON lacks
(:data:`UNKNOWN`, :class:`Secret`, :class:`Special`) and small walks over such values. Knows nothing of
resources.

Numbers travel as doubles; a whole number comes back as ``int``. Signatures and sentinels are those of
Pulumi's Go SDK, ``sdk/go/common/resource/plugin/rpc.go`` and ``sdk/go/common/resource/sig``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import struct_pb2

Properties = dict[str, Any]
"""Properties of a resource by their names on the wire (camelCase)."""

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS: Final = frozenset(
    {
        _UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


class Unknown:
    """A value that an operation has yet to compute; only in previews. There is one: :data:`UNKNOWN`."""

    def __repr__(self) -> str:
        return "<known after the update>"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that Pulumi encrypts in its state and hides in its output."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(<hidden>)"


@dataclass(frozen=True)
class Special:
    """An asset, archive or resource reference: handed through as it came, with its signature."""

    signature: str
    fields: Mapping[str, Any]


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """The properties in a protobuf struct as plain values and markers."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain values and markers as a protobuf struct.

    Raises:
        TypeError: a value is of a type that the protocol has no word for.
    """
    return struct_pb2.Struct(fields={key: _to_value(value) for key, value in properties.items()})


def _from_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "null_value" | None:
            return None
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case _:
            return _from_object(value.struct_value)


def _from_object(struct: struct_pb2.Struct) -> Any:
    if _SIGNATURE not in struct.fields:
        return from_struct(struct)
    signature = struct.fields[_SIGNATURE].string_value
    fields = {key: _from_value(item) for key, item in struct.fields.items() if key != _SIGNATURE}
    if signature == _SECRET:
        return Secret(fields.get("value"))
    if signature == _OUTPUT:
        inner = fields.get("value", UNKNOWN)
        return Secret(inner) if fields.get("secret") else inner
    return Special(signature, fields)


def _to_value(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=_UNKNOWN)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Secret):
        return _signed(_SECRET, {"value": value.value})
    if isinstance(value, Special):
        return _signed(value.signature, value.fields)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=to_struct(value))
    if isinstance(value, Sequence):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_to_value(item) for item in value]))
    raise TypeError(f"no property value for {type(value).__name__}: {value!r}")


def _signed(signature: str, fields: Mapping[str, Any]) -> struct_pb2.Value:
    return struct_pb2.Value(struct_value=to_struct({_SIGNATURE: signature, **fields}))


def walk(value: Any, replace: Callable[[Any], Any]) -> Any:
    """``value`` rebuilt from the leaves up, with each leaf, list, object and marker passed through
    ``replace``.
    """
    if isinstance(value, Secret):
        return replace(Secret(walk(value.value, replace)))
    if isinstance(value, Mapping):
        return replace({key: walk(item, replace) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return replace([walk(item, replace) for item in value])
    return replace(value)


def reveal(value: Any) -> Any:
    """``value`` without :class:`Secret` wrappers: what is inside them in the clear."""
    return walk(value, lambda item: item.value if isinstance(item, Secret) else item)


def without_nulls(value: Any) -> Any:
    """``value`` without object members that are ``None``: on the wire a null member means one that is not
    set.
    """
    return walk(
        value,
        lambda item: {k: v for k, v in item.items() if v is not None} if isinstance(item, dict) else item,
    )


def contains_unknown(value: Any) -> bool:
    """Whether :data:`UNKNOWN` is anywhere in ``value``."""
    return value is UNKNOWN or any(contains_unknown(item) for item in _children(value))


def contains_secret(value: Any) -> bool:
    """Whether a :class:`Secret` is anywhere in ``value``."""
    return isinstance(value, Secret) or any(contains_secret(item) for item in _children(value))


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, Secret):
        return [value.value]
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def secret_paths(value: Any, path: str = "") -> list[str]:
    """The property paths at which ``value`` has a :class:`Secret`."""
    if isinstance(value, Secret):
        return [path]
    if isinstance(value, Mapping):
        return [path_ for key, item in value.items() for path_ in secret_paths(item, child(path, key))]
    if isinstance(value, list):
        return [path_ for index, item in enumerate(value) for path_ in secret_paths(item, child(path, index))]
    return []


def keep_secret(inputs: Any, outputs: Any) -> Any:
    """``outputs`` with a :class:`Secret` wherever ``inputs`` has one at the same place.

    What a program gave as a secret must not lie in the clear in the state because a plugin echoed it.
    """
    if isinstance(outputs, Secret):
        return outputs
    if isinstance(inputs, Secret):
        return Secret(outputs)
    if isinstance(inputs, Mapping) and isinstance(outputs, Mapping):
        return {key: keep_secret(inputs[key], item) if key in inputs else item for key, item in outputs.items()}
    if isinstance(inputs, list) and isinstance(outputs, list):
        if len(inputs) != len(outputs) and contains_secret(inputs):
            return Secret(outputs)
        return [keep_secret(old, new) for old, new in zip(inputs, outputs, strict=False)] + outputs[len(inputs) :]
    return outputs


def child(path: str, step: str | int) -> str:
    """The property path one step further in: ``a.b``, ``a[0]``, or ``a["x.y/z"]``."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    if not step.replace("_", "").replace("-", "").replace("$", "").isalnum():
        return f'{path}["{step}"]'
    return f"{path}.{step}" if path else step
