"""The settings as JSON Schema, for editors that complete and check ``Pulumi.<stack>.yaml``."""

from typing import Any

from pydantic import TypeAdapter

from stacks.images.lock import NAME
from stacks.settings.common import NAMESPACE
from stacks.settings.document import FILE_KEYS, NAMESPACES
from stacks.settings.models import GATEWAY_IMAGES, Settings
from stacks.settings.secrets import SECRETS


def settings_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a settings file: our keys, and those of Pulumi itself."""
    inner = TypeAdapter(Settings).json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = inner.pop("$defs")
    # Settings may name an image of the lock; components, which know no lock, get what it stands for.
    named = {"type": "string", "pattern": f"^{NAME}$"}
    for owner, keys in {
        "LoaderSpec": ("image",),
        "QuantizationSpec": ("image",),
        "GatewaySpec": GATEWAY_IMAGES,
    }.items():
        for key in keys:
            image = definitions[owner]["properties"][key]
            alternatives = image.get("anyOf", [{"$ref": image["$ref"]}] if "$ref" in image else [])
            definitions[owner]["properties"][key] = {
                "anyOf": [named, *alternatives],
                **{name: value for name, value in image.items() if name not in ("$ref", "anyOf")},
            }
    variants = [definitions[ref["$ref"].rsplit("/", 1)[1]] for ref in inner["anyOf"]]
    for variant in variants:
        _add_secrets(variant["properties"], definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of an llm-serving stack",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {"anyOf": [_in_namespace(variant) for variant in variants]},
            **dict.fromkeys(sorted(FILE_KEYS - {"config"}), True),
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


_ENCRYPTED = {"type": "object", "required": ["secure"], "properties": {"secure": {"type": "string"}}}


def _add_secrets(properties: dict[str, Any], definitions: dict[str, Any]) -> None:
    """The secrets of a file, which are no settings, as Pulumi writes them."""
    for path in SECRETS:
        key, _, inner = path.partition(".")
        if not inner:
            properties[key] = _ENCRYPTED
            continue
        reference = next(option["$ref"] for option in properties[key]["anyOf"] if "$ref" in option)
        definitions[reference.rsplit("/", 1)[1]]["properties"][inner] = _ENCRYPTED


def _in_namespace(variant: dict[str, Any]) -> dict[str, Any]:
    properties = {f"{NAMESPACE}:{key}": value for key, value in variant["properties"].items()}
    return {
        "title": variant["title"],
        "type": "object",
        "properties": properties,
        "required": [f"{NAMESPACE}:{key}" for key in variant["required"]],
        "patternProperties": {f"^{namespace}:": {} for namespace in sorted(NAMESPACES - {NAMESPACE})},
        "additionalProperties": False,
    }
