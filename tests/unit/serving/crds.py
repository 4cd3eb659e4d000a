"""Custom resources checked by the schemas of their pinned definitions."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

DEFINITIONS = Path(__file__).resolve().parents[3] / ".tools" / "crds"


@cache
def _schema(file: str, version: str) -> dict[str, Any]:
    path = DEFINITIONS / file
    if not path.exists():
        pytest.skip(f"the definitions are not there: `make setup` fetches {file}")
    definition = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version_entry = next(item for item in definition["spec"]["versions"] if item["name"] == version)
    return _strict(version_entry["schema"]["openAPIV3Schema"])


def assert_valid(manifest: dict[str, Any], file: str) -> None:
    """The object has the fields that its definition knows, and no others: the API server would drop them."""
    jsonschema.validate(manifest, _schema(file, manifest["apiVersion"].rpartition("/")[2]))


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    known = strict.get("properties")
    keeps = strict.get("x-kubernetes-preserve-unknown-fields")
    # The definition leaves metadata to Kubernetes.
    if isinstance(known, dict) and "type" in strict and "additionalProperties" not in strict and not keeps:
        strict["additionalProperties"] = False
        if "metadata" in known:
            strict["properties"] = {**known, "metadata": {"type": "object"}}
    return strict
