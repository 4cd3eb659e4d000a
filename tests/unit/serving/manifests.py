"""Recorded Kubernetes objects as manifests, checked by Kubernetes' own strict schemas and by Pod Security's rules."""

from typing import Any

import kubernetes_validate

from tests.unit.recording import Recorded, Recording

VERSIONS = ("1.34", "1.37")
"""The oldest version that is served, and the newest whose schemas are known."""


def manifests(recording: Recording) -> list[dict[str, Any]]:
    """Every Kubernetes object of a recording."""
    return [manifest(resource) for resource in recording if resource.type.startswith("kubernetes:")]


def manifest(resource: Recorded) -> dict[str, Any]:
    """One object as it would be applied; a name that Pulumi would make up is put in."""
    metadata = {"name": resource.name, **resource.inputs["metadata"]}
    return {**resource.inputs, "metadata": metadata}


def assert_valid(recording: Recording) -> None:
    """Every object has the fields that Kubernetes knows, and no others."""
    objects = manifests(recording)
    assert objects
    for object_ in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(object_, version, strict=True)


def breaks_restricted(spec: dict[str, Any]) -> list[str]:
    """What Pod Security "restricted" (v1.34) refuses in a pod's spec, by its published list of controls."""
    broken: list[str] = []
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            broken.append(field)
    of_pod = spec.get("securityContext", {})
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in spec.get("volumes", []):
        broken += [f"volume {kind}" for kind in volume if kind not in allowed | {"name"}]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        if own.get("privileged"):
            broken.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            broken.append("allowPrivilegeEscalation")
        if not own.get("runAsNonRoot", of_pod.get("runAsNonRoot")):
            broken.append("runAsNonRoot")
        if own.get("runAsUser", of_pod.get("runAsUser")) == 0:
            broken.append("runAsUser")
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            broken.append("capabilities")
        profile = own.get("seccompProfile", of_pod.get("seccompProfile", {})).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            broken.append("seccompProfile")
        broken += ["hostPort" for port in container.get("ports", []) if port.get("hostPort")]
    return broken
