"""Answers of the API server that are no success, in the words of the program: property paths, owners of fields, what
to do. Pure functions."""

import re
from collections.abc import Mapping
from typing import Any

import grpc

from local.cluster import rest
from local.providers.kubernetes import objects
from local.providers.provider import CloudError

_TYPED = re.compile(r"failed to create typed patch object \(.*?\): (?:errors:\s*)?(.*)", re.DOTALL)
_PATH = re.compile(r"(\.[^:]+?): (.+)", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_OWNER = re.compile(r'conflict with "([^"]+)"( with subresource)?')
_KUBECTL_MANAGERS = ("kubectl", "before-first-apply", "pulumi-kubernetes", "pulumi-resource-kubernetes")
"""Managers whose fields the provider takes over in an update, by the beginnings of their names: people with kubectl,
and itself in its days of client-side apply (provider/pkg/await/await.go, fixCSAFieldManagers)."""
_VALUE_CHARACTERS = 200


def as_cloud_error(subject: str, operation: str, error: Exception, body: Mapping[str, Any] | None = None) -> CloudError:
    """An answer of the API server as an error for the user.

    Args:
        subject: the resource, as the user knows it.
        operation: ``apply``, ``preview``, ``delete``, as the message names it.
        error: what the client raised.
        body: what was sent, to find the values that were refused.
    """
    if isinstance(error, rest.UnreachableError):
        return CloudError(f"{subject}: {error}", grpc.StatusCode.UNAVAILABLE)
    if isinstance(error, rest.UnknownKindError):
        return CloudError(
            f"{subject}: {error}: its CustomResourceDefinition is not installed. Let this resource depend on "
            "what installs it",
            grpc.StatusCode.NOT_FOUND,
        )
    if isinstance(error, rest.ApiError):
        if error.status == 409 and error.causes:
            return CloudError(f"{subject}: {_conflict(error)}", grpc.StatusCode.ABORTED)
        if typed := _TYPED.search(str(error)):
            problem = _typed_problem(typed[1], body or {})
            return CloudError(
                f"{subject}: {operation} refused by the API server: {problem}", grpc.StatusCode.INVALID_ARGUMENT
            )
        if error.status == 422 and error.causes:
            causes = "; ".join(dict.fromkeys(_cause(cause) for cause in error.causes))
            return CloudError(
                f"{subject}: {operation} refused by the API server: {causes}", grpc.StatusCode.INVALID_ARGUMENT
            )
    return CloudError(f"{subject}: {operation} refused by the API server: {error}")


def belongs_to_kubectl(error: rest.ApiError) -> bool:
    """The fields in conflict belong to people with kubectl, from whom an update takes them back, as the provider
    does. What they changed through a subresource (``kubectl scale``) stays with them.
    """
    matches = [_OWNER.search(cause.get("message", "")) for cause in error.causes]
    by_kubectl = [match is not None and match[1].startswith(_KUBECTL_MANAGERS) and not match[2] for match in matches]
    return error.status == 409 and bool(by_kubectl) and all(by_kubectl)


def owners(error: rest.ApiError) -> dict[str, list[str]]:
    """Manager -> the fields of a conflict that it owns."""
    fields: dict[str, list[str]] = {}
    for cause in error.causes:
        match = _OWNER.search(cause.get("message", ""))
        fields.setdefault(match[1] if match else cause.get("message", ""), []).append(cause.get("field", ""))
    return fields


def immutable_fields(error: rest.ApiError) -> list[str]:
    """The fields of which a refusal says that they cannot change."""
    if error.status != 422:
        return []
    return [c["field"] for c in error.causes if _immutable(c.get("message", "")) and c.get("field")]


def is_transient(error: rest.ApiError) -> bool:
    """The same request will soon be accepted: the namespace's service account is still being made."""
    text = str(error)
    return error.status == 403 and "serviceaccount" in text and "not found" in text


def property_path(path: str, body: Any) -> tuple[str, Any]:
    """A path of server-side apply (``.spec.containers[name="c"].image``) as a property path, and the value there;
    ``None`` where there is none.
    """
    property_, value = "", body
    for name, index in _STEP.findall(path):
        if name:
            property_ += f".{name}" if property_ else name
            value = value.get(name) if isinstance(value, Mapping) else None
            continue
        position = _position(index, value)
        property_ += f"[{index if position is None else position}]"
        value = value[position] if position is not None and isinstance(value, list) else None
    return property_, value


def _position(index: str, value: Any) -> int | None:
    """Which item of a list is meant by ``0``, ``name="c"`` or ``containerPort=80,protocol="TCP"``."""
    if not isinstance(value, list):
        return None
    if index.isdigit():
        return int(index) if int(index) < len(value) else None
    wanted = [part.partition("=") for part in index.split(",")]
    for position, item in enumerate(value):
        # A key that the item leaves out has its default there.
        known = [str(item[k]) == v.strip('"') for k, _, v in wanted if k in item] if isinstance(item, Mapping) else []
        if known and all(known):
            return position
    return None


def _typed_problem(text: str, body: Mapping[str, Any]) -> str:
    """What server-side apply says of an object that does not fit its schema; one line for each problem."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        match = _PATH.match(line.strip())
        if match is None:
            lines.append(line.strip())
            continue
        path, value = property_path(match[1], body)
        shown = "" if value is None or isinstance(value, Mapping | list) else f" ({value!r})"
        reason = match[2]
        if "field not declared in schema" in reason:
            reason = "Kubernetes knows no such field"
        elif duplicate := re.match(r"duplicate entries for key \[(.*)\]", reason):
            reason = f"two items have {duplicate[1].replace('=', ' ')}"
        lines.append(f"{path}{shown}: {reason}")
    return "; ".join(lines)


def _conflict(error: rest.ApiError) -> str:
    parts = [f"{manager!r} owns {', '.join(fields)}" for manager, fields in owners(error).items()]
    return (
        f"server-side apply conflict: {'; '.join(parts)}. Let the other manager go, leave these fields out, or take "
        f'them over with the annotation {objects.PATCH_FORCE}: "true"'
    )


def _cause(cause: Mapping[str, str]) -> str:
    """A problem with a field. Whole objects and Go's comparisons of them say nothing to the user."""
    message = cause.get("message", "").split("\n", 1)[0]
    value = re.match(r"Invalid value: (\{.*\}): (.*)", message)
    if value and len(value[1]) > _VALUE_CHARACTERS:
        message = value[2]
    return f"{cause.get('field', '')}: {message}"


def _immutable(message: str) -> bool:
    return "immutable" in message or "may not change" in message or "are forbidden" in message
