"""What keeps an object that has been asked to go: its finalizers, what is left of it and in it, who still uses it.

:func:`leaving` reads the object alone; :class:`Leftovers` also looks around on the API server, and leaves out what it
may not read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.cluster import rest
from local.providers.kubernetes.evidence import Evidence
from local.providers.kubernetes.readiness import condition

Object = dict[str, Any]

_MOST = 10
_NAMESPACE_CONDITIONS = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
)
_REMAINING = re.compile(r"([a-z0-9-]+)\.([a-z0-9.-]*) has \d+ resource instances")
"""Of the condition NamespaceContentRemaining: plural and group of what is left
(k8s.io/kubernetes/pkg/controller/namespace/deletion/status_condition_utils.go)."""


def leaving(thing: Mapping[str, Any]) -> str:
    """What keeps an object that is being deleted: its finalizers and what a namespace says is left in it."""
    parts: list[str] = []
    held = thing["metadata"].get("finalizers") or []
    if held:
        parts.append(f"finalizers {', '.join(held)}")
    for kind in _NAMESPACE_CONDITIONS:
        remaining = condition(thing, kind)
        if remaining.get("status") == "True" and remaining.get("message"):
            parts.append(str(remaining["message"]))
    return "; ".join(parts) or "waiting for the API server"


@dataclass(frozen=True)
class Leftovers:
    """Looks for what keeps an object.

    Args:
        client: connection.
    """

    client: rest.Kubernetes

    def of(self, thing: Mapping[str, Any]) -> list[str]:
        """One line for each thing that keeps the object, with finalizers and grace periods where it has some."""
        looks: Mapping[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
            "CustomResourceDefinition": self._instances,
            "Namespace": self._content,
            "PersistentVolume": self._claim,
            "PersistentVolumeClaim": self._users,
        }
        try:
            lines = list(looks.get(thing["kind"], self._pods)(thing))
        except (rest.ApiError, rest.UnreachableError, rest.UnknownKindError):
            return []
        return [*lines[:_MOST], *([f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])]

    def _pods(self, thing: Mapping[str, Any]) -> Iterable[str]:
        """With foreground deletion an object goes after its pods."""
        if thing["kind"] == "Pod":
            grace = thing["metadata"].get("deletionGracePeriodSeconds")
            return [f"its containers may take {grace} s to end"] if grace else []
        if thing["kind"] == "Service":
            return []
        return [_shown(pod) for pod in Evidence(self.client).pods(thing)]

    def _content(self, namespace: Mapping[str, Any]) -> Iterable[str]:
        message = str(condition(namespace, "NamespaceContentRemaining").get("message") or "")
        name = namespace["metadata"]["name"]
        for plural, group in _REMAINING.findall(message):
            for version in self._versions(group):
                path = f"{version}/namespaces/{name}/{plural}"
                for item in self.client.request("GET", path).get("items") or []:
                    yield _shown(item, plural)

    def _versions(self, group: str) -> list[str]:
        """The path of an API group in the version that its server likes best."""
        if not group:
            return ["/api/v1"]
        preferred = self.client.request("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
        return [f"/apis/{preferred}"]

    def _instances(self, definition: Mapping[str, Any]) -> Iterable[str]:
        spec = definition["spec"]
        served = next(version["name"] for version in spec["versions"] if version.get("served"))
        path = f"/apis/{spec['group']}/{served}/{spec['names']['plural']}"
        return [_shown(item, spec["names"]["kind"]) for item in self.client.request("GET", path).get("items") or []]

    def _users(self, claim: Mapping[str, Any]) -> Iterable[str]:
        name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
        for pod in self.client.list("v1", "Pod", namespace):
            volumes = pod["spec"].get("volumes") or []
            if any((volume.get("persistentVolumeClaim") or {}).get("claimName") == name for volume in volumes):
                yield f"used by {_shown(pod)}"

    def _claim(self, volume: Mapping[str, Any]) -> Iterable[str]:
        bound = (volume.get("spec") or {}).get("claimRef")
        return [f"bound to PersistentVolumeClaim {bound['namespace']}/{bound['name']}"] if bound else []


def _shown(thing: Mapping[str, Any], kind: str = "") -> str:
    meta = thing["metadata"]
    parts = [f"{kind or thing['kind']} {meta['name']}"]
    if held := meta.get("finalizers"):
        parts.append(f"with finalizers {', '.join(held)}")
    if not meta.get("deletionTimestamp"):
        parts.append("which nobody has asked to go")
    elif grace := meta.get("deletionGracePeriodSeconds"):
        parts.append(f"which may take {grace} s to end")
    return " ".join(parts)
