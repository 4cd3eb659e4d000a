"""The interface as OpenAPI describes it, made of the checks of requests: ``python -m llm_serving_gateway.openapi``.

It is for people and generators of clients; the gateway serves it nowhere.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from llm_serving_gateway.refusals import STATUSES
from llm_serving_gateway.requests import BODIES, LEFT_OUT, TASKS

_ANSWER = {"type": "object"}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by", "max_model_len"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
        "max_model_len": {"type": "integer", "description": "Most tokens of prompt and answer together."},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_STREAM = {"text/event-stream": {}}
_ERRORS = {
    str(status): {
        "description": meaning,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, meaning in STATUSES.items()
}
_OF_LISTS = ("401", "403", "404", "405")


def describe() -> Mapping[str, Any]:
    """The whole description."""
    definitions = [(body, "validation") for body in BODIES.values()]
    _, schemas = models_json_schema(definitions, ref_template="#/components/schemas/{model}")  # pyright: ignore[reportArgumentType]
    bodies = schemas["$defs"]
    for body in BODIES.values():
        schema = bodies[body.__name__]
        schema["properties"] |= {name: {"description": "Taken, and without effect."} for name in LEFT_OUT}
        # A docstring's markup is for readers of the code.
        schema["description"] = schema["description"].replace("`", "")
    paths: dict[str, Any] = {
        path: {"post": _operation(path, {"$ref": f"#/components/schemas/{body.__name__}"})}
        for path, body in BODIES.items()
    }
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for path, schema, parameters in (("/v1/models", _MODELS, []), ("/v1/models/{name}", _MODEL, [name])):
        answers = {"200": _answer("Models that the key may ask.", {"application/json": {"schema": schema}})}
        operation = {"parameters": parameters, "responses": answers | _errors(_OF_LISTS)}
        paths[path] = {"get": {"summary": "Models", **operation}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The gateway", "version": "1", "description": "What clients may ask: docs/gateway.md."},
        "servers": [{"url": "http://gateway.llm-gateway.svc"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**bodies, "Error": _ERROR},
            "responses": _ERRORS,
        },
    }


def _operation(path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    media: dict[str, Any] = {"application/json": {"schema": _ANSWER}}
    if "stream" in BODIES[path].model_fields:
        media |= _STREAM
    return {
        "summary": f"For models of the task {TASKS[path]}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _answer("The model's answer.", media), **_errors(_ERRORS)},
    }


def _answer(description: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"description": description, "content": content}


def _errors(statuses: Iterable[str]) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


if __name__ == "__main__":
    json.dump(describe(), sys.stdout, indent=1)
    print()
