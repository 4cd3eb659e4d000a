"""Objects as a program writes them, as they are applied and as they lie in the state. Pure functions."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from llm_serving.planning.simulation import parse_quantity
from local.providers.properties import UNKNOWN, Properties, Secret, reveal, without_nulls

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY = "pulumi.com/replaceUnready"
PATCH_FORCE = "pulumi.com/patchForce"
PATCH_MANAGER = "pulumi.com/patchFieldManager"
WAIT_FOR = "pulumi.com/waitFor"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

PROPAGATIONS = ("foreground", "background", "orphan")

FIELD_MANAGER = "__fieldManager"
INITIAL_VERSION = "__initialApiVersion"

_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_QUANTITIES = frozenset(
    {"limits", "requests", "hard", "capacity", "allocatable", "default", "defaultRequest", "max", "min"}
)
"""Members that hold amounts by the names of resources."""
_QUANTITY = frozenset({"averageValue", "divisor", "sizeLimit"})
"""Members that are amounts."""
_LIST_KEYS = (
    ("name",),
    ("mountPath",),
    ("devicePath",),
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("ip",),
    ("topologyKey", "whenUnsatisfiable"),
    ("type",),
)
"""What tells the items of a list apart (``x-kubernetes-list-map-keys`` of the API's schemas)."""


def metadata(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata, empty where there is none or where it is not known yet."""
    meta = inputs.get("metadata")
    meta = meta.value if isinstance(meta, Secret) else meta
    return dict(meta) if isinstance(meta, Mapping) else {}


def annotations(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations, empty where there are none or where they are not known yet."""
    values = reveal(metadata(inputs).get("annotations"))
    return dict(values) if isinstance(values, Mapping) else {}


def flagged(inputs: Mapping[str, Any], annotation: str) -> bool:
    """An annotation says "true"."""
    return str(annotations(inputs).get(annotation, "")).lower() == "true"


def skips_await(thing: Mapping[str, Any]) -> bool:
    """Nobody waits for the object to become ready."""
    return str(annotations(thing).get(SKIP_AWAIT, "")).lower() in ("true", "ready")


def autonamed(name: str, seed: bytes, proposed: str) -> str:
    """The generated name of an object: ``proposed``, or the name in the program and eight hexadecimal
    digits.
    """
    if proposed:
        return proposed
    digits = hashlib.sha256(seed + name.encode()).hexdigest()[:8]
    return f"{name.lower()}-{digits}"


def field_manager(urn: str) -> str:
    """Who owns the fields of a resource. The same for every attempt, so that an interrupted creation is known
    again.
    """
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def manager_of(urn: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> str:
    """Who owns the fields of a resource: whom its annotation names, who has owned them so far, else the one of its
    name in the state.
    """
    named = annotations(inputs).get(PATCH_MANAGER)
    if isinstance(named, str) and named:
        return named
    return reveal((outputs or {}).get(FIELD_MANAGER)) or field_manager(urn)


def propagation(inputs: Mapping[str, Any]) -> str:
    """What happens to the dependents of an object that is deleted, as the API spells it."""
    wanted = str(annotations(inputs).get(PROPAGATION) or "").lower()
    return (wanted if wanted in PROPAGATIONS else PROPAGATIONS[0]).capitalize()


def managed_by(live: Mapping[str, Any], manager: str) -> bool:
    """The manager has applied the object."""
    entries = live["metadata"].get("managedFields") or []
    return any(entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in entries)


def manifest(inputs: Properties, api_version: str, kind: str) -> dict[str, Any]:
    """What is sent to the API server: no secrets' wrappers, no unset members."""
    body = without_nulls(reveal(inputs))
    return {**body, "apiVersion": api_version, "kind": kind}


def identity(thing: Mapping[str, Any]) -> str:
    """The id in the state: ``namespace/name``, or the name alone."""
    meta = thing["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]


def split_identity(id: str) -> tuple[str | None, str]:
    """Namespace and name of an id."""
    namespace, _, name = id.rpartition("/")
    return namespace or None, name


def protect(inputs: Properties, kind: str) -> Properties:
    """Inputs in which the content of a Secret is secret, whoever wrote it in the clear."""
    if kind != "Secret":
        return inputs
    return {k: _secret(v) if k in ("data", "stringData") else v for k, v in inputs.items()}


def _secret(value: Any) -> Any:
    return value if isinstance(value, Secret) or value in (None, UNKNOWN) else Secret(value)


def state(live: Mapping[str, Any], manager: str) -> Properties:
    """The outputs of an object that exists."""
    outputs: Properties = {k: v for k, v in live.items() if k != "metadata"}
    outputs["metadata"] = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
    outputs[FIELD_MANAGER] = manager
    outputs[INITIAL_VERSION] = live["apiVersion"]
    return protect(outputs, live["kind"])


def planned(dry: Mapping[str, Any] | None, inputs: Properties, *, new: bool) -> Properties:
    """The outputs of an object in a preview: what the API server would store, without what it makes up each
    time. An object that is there already keeps what was made up; one unknown field in ``metadata`` would make all of
    it unknown to the program, and what reads the name from there would look replaced.
    """
    if dry is None:
        return {**inputs, "status": UNKNOWN}
    if not new:
        metadata = {key: value for key, value in dry["metadata"].items() if key != "managedFields"}
        return protect({**dry, "metadata": metadata, "status": UNKNOWN}, dry["kind"])
    outputs: Properties = {k: v for k, v in dry.items() if k not in ("metadata", "status")}
    outputs["metadata"] = {k: v for k, v in dry["metadata"].items() if k not in _SERVER_METADATA}
    outputs["metadata"] |= dict.fromkeys(("uid", "resourceVersion", "creationTimestamp", "generation"), UNKNOWN)
    outputs["status"] = UNKNOWN
    if dry["kind"] == "Service":
        requested = reveal(inputs.get("spec")) or {}
        assigned = [
            k for k in ("clusterIP", "clusterIPs", "healthCheckNodePort") if k in dry["spec"] and k not in requested
        ]
        outputs["spec"] = {**dry["spec"], **dict.fromkeys(assigned, UNKNOWN)}
    return protect(outputs, dry["kind"])


def inputs_of(live: Mapping[str, Any], old: Mapping[str, Any]) -> Properties:
    """What a program would have to say to get the object as it is.

    Fields that the program never set are left out: their values are the API server's. In an import there is
    no program yet, so everything stays but what only the server writes.
    """
    if not old:
        body = {k: v for k, v in live.items() if k not in ("status", "metadata")}
        body["metadata"] = {k: v for k, v in live["metadata"].items() if k not in _SERVER_METADATA}
        return protect(body, live["kind"])
    inputs = _pruned(reveal(dict(old)), dict(live), ())
    if live["kind"] == "Secret" and "stringData" in old:
        # The API server answers in base64 whatever was written as text.
        inputs["stringData"] = _as_text(reveal(old["stringData"]) or {}, live.get("data") or {})
    return protect(inputs, live["kind"])


def _pruned(old: Any, live: Any, path: tuple[str, ...]) -> Any:
    if isinstance(old, Mapping) and isinstance(live, Mapping):
        return {key: _pruned(value, live[key], (*path, key)) for key, value in old.items() if key in live}
    if isinstance(old, list) and isinstance(live, list):
        return _pruned_list(old, live, path)
    if (_QUANTITIES & set(path[-2:-1]) or _QUANTITY & set(path[-1:])) and _same_quantity(old, live):
        return old
    return live


def _pruned_list(old: list[Any], live: list[Any], path: tuple[str, ...]) -> list[Any]:
    """The live items in the order of the program. In a list whose items have keys, those that the program never set
    belong to others (a service mesh's container, an injected variable) and are left out.
    """
    for keys in _LIST_KEYS:
        before, now = _by_key(old, keys), _by_key(live, keys)
        if before is not None and now is not None:
            return [_pruned(item, now[key], path) for key, item in before.items() if key in now]
    if len(old) == len(live):
        return [_pruned(item, other, path) for item, other in zip(old, live, strict=True)]
    return live


def _by_key(items: list[Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], Any] | None:
    """The items by what tells them apart; ``None`` where that does not tell them apart."""
    defaults = {"protocol": "TCP"}
    if not items or not all(isinstance(item, Mapping) and keys[0] in item for item in items):
        return None
    by_key = {tuple(item.get(key, defaults.get(key)) for key in keys): item for item in items}
    return by_key if len(by_key) == len(items) else None


def _same_quantity(old: Any, live: Any) -> bool:
    try:
        return parse_quantity(old) == parse_quantity(live)
    except ValueError:
        return False


def _as_text(old: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for key in old:
        if key not in data:
            continue
        try:
            decoded[key] = base64.b64decode(data[key]).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded[key] = data[key]
    return decoded
