"""What a pod needs before its containers start: Secrets, ConfigMaps, and weights in the bucket that it mounts.

Pure functions of objects, for pods on simulated nodes: there nobody mounts volumes or runs containers, and without
these every pod would be ready whatever it lacks. The words are the kubelet's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_serving.contract import ENGINE_CONTAINER, LABEL_MODEL, LABEL_RELEASE

Object = Mapping[str, Any]
Find = Callable[[str, str], Object | None]
"""A Secret, ConfigMap or claim of the pod's namespace, or a volume, by kind and name."""
FindWeights = Callable[[str, str], str | None]
"""The revision of the weights in a bucket, under a prefix."""

MAY_START = "PodReadyToStartContainers"
"""The condition of a pod whose volumes are mounted (Kubernetes documentation, "Pod Lifecycle")."""

# As `llm_serving.serving.labels` has them, whose package loads Pulumi's SDK for Kubernetes: 200 MB in a controller.
_COMPONENT = "app.kubernetes.io/component"
_ENGINE, _LOADER = "engine", "loader"

GCS_FUSE, MOUNTPOINT = "gcsfuse.csi.storage.gke.io", "s3.csi.aws.com"
_SCHEMES = {GCS_FUSE: "gs", MOUNTPOINT: "s3"}
"""Drivers that mount buckets, and how URLs of their buckets begin."""


@dataclass(frozen=True)
class Weights:
    """Weights that a container reads or writes.

    Attributes:
        bucket: name of the bucket.
        prefix: folder in it, without a slash at the end.
        revision: commit of the model; ``None`` where any will do.
        container: who reads them.
        scheme: of the bucket's URL.
    """

    bucket: str
    prefix: str
    revision: str | None
    container: str
    scheme: str = "gs"

    @property
    def place(self) -> str:
        """Their URL."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class Obstacle:
    """Why the containers of a pod do not start.

    Attributes:
        reason: in one word, as the kubelet has it.
        message: what is missing.
        container: whose status says it; empty where it is said by an Event, because a volume cannot be mounted.
        exit_code: with which the container ended; 0 where it could not be made.
    """

    reason: str
    message: str
    container: str = ""
    exit_code: int = 0


def find_obstacle(pod: Object, find: Find, find_weights: FindWeights | None) -> Obstacle | None:
    """The first thing that keeps a pod's containers from starting; ``None`` where nothing does.

    Args:
        pod: bound to a node.
        find: looks up Secrets, ConfigMaps, claims and volumes.
        find_weights: looks up weights; ``None`` where nobody knows what buckets hold.
    """
    for volume in pod["spec"].get("volumes") or []:
        for kind, name in _sources(volume):
            if find(kind, name) is None:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {kind.lower()} "{name}" not found'
                return Obstacle("FailedMount", text)
    for container in _containers(pod):
        if missing := next(_missing_variables(container, pod["metadata"]["namespace"], find), ""):
            return Obstacle("CreateContainerConfigError", missing, container["name"])
    if find_weights is None:
        return None
    for weights in wanted_weights(pod, find):
        revision, place = find_weights(weights.bucket, weights.prefix), weights.place
        if revision is None:
            text = f"no weights in {place}: no loader has finished there (external ones: python -m local weights STACK)"
            return Obstacle("CrashLoopBackOff", text, weights.container, 1)
        if weights.revision not in (None, revision):
            text = f"{place} holds revision {revision}, not {weights.revision}"
            return Obstacle("CrashLoopBackOff", text, weights.container, 1)
    return None


def blocked_status(pod: Object, obstacle: Obstacle) -> dict[str, Any]:
    """``containerStatuses`` of a pod of which one container says what is missing and the others wait for it."""
    keys = {"initContainers": "initContainerStatuses", "containers": "containerStatuses"}
    return {
        status: [_container_status(container, obstacle) for container in pod["spec"].get(spec) or []]
        for spec, status in keys.items()
        if pod["spec"].get(spec)
    }


def loaded_weights(job: Object) -> Iterator[Weights]:
    """What a loader's Job has put into buckets; nothing before it is complete."""
    labels = job["metadata"].get("labels") or {}
    conditions = (job.get("status") or {}).get("conditions") or []
    complete = any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)
    if labels.get(_COMPONENT) != _LOADER or not complete:
        return
    for container in _containers(job["spec"]["template"]):
        scheme, _, path = _option(container, "--target").partition("://")
        bucket, _, prefix = path.partition("/")
        revision = _option(container, "--revision")
        if scheme in _SCHEMES.values() and revision:
            yield Weights(bucket, prefix.rstrip("/"), revision, container["name"], scheme)


def wanted_weights(pod: Object, find: Find) -> Iterator[Weights]:
    """Weights that a pod must find in the buckets that it mounts: those that its containers verify, and those of the
    release that it serves."""
    mounted = ((volume["name"], _csi(volume, find)) for volume in pod["spec"].get("volumes") or [])
    buckets = {
        name: (_SCHEMES[csi["driver"]], csi["volumeAttributes"]["bucketName"])
        for name, csi in mounted
        if csi.get("driver") in _SCHEMES
    }
    labels = pod["metadata"].get("labels") or {}
    for container in _containers(pod):
        target = _option(container, "--target")
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in buckets:
                continue
            scheme, bucket = buckets[mount["name"]]
            folder, name = f"{mount['mountPath']}/", container["name"]
            if target.startswith(folder):
                revision = _option(container, "--revision") or None
                yield Weights(bucket, target.removeprefix(folder), revision, name, scheme)
            elif labels.get(_COMPONENT) == _ENGINE and name == ENGINE_CONTAINER:
                yield Weights(bucket, f"{labels[LABEL_MODEL]}/{labels[LABEL_RELEASE]}", None, name, scheme)


def _csi(volume: Object, find: Find) -> Object:
    """The driver of a volume and what it is told, in the pod itself or in the volume that its claim is bound to."""
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if not claim:
        return volume.get("csi") or {}
    bound = ((find("PersistentVolumeClaim", claim) or {}).get("spec") or {}).get("volumeName")
    found = find("PersistentVolume", bound) if bound else None
    return ((found or {}).get("spec") or {}).get("csi") or {}


def _sources(volume: Object) -> Iterator[tuple[str, str]]:
    """Kind and name of what a volume shows and must find."""
    projected = (volume.get("projected") or {}).get("sources") or []
    for source in (volume, *projected):
        for key, kind, name in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
            reference = source.get(key)
            if reference and not reference.get("optional"):
                yield kind, reference.get(name) or reference["name"]


def _missing_variables(container: Object, namespace: str, find: Find) -> Iterator[str]:
    """What the variables of a container refer to and is not there."""
    references = [
        (kind, entry.get("valueFrom", {}).get(key))
        for entry in container.get("env") or []
        for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap"))
    ]
    references += [
        (kind, entry.get(key))
        for entry in container.get("envFrom") or []
        for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap"))
    ]
    for kind, reference in references:
        if reference is None or reference.get("optional"):
            continue
        live = find(kind, reference["name"])
        if live is None:
            yield f'{kind.lower()} "{reference["name"]}" not found'
        elif "key" in reference and reference["key"] not in {
            **(live.get("data") or {}),
            **(live.get("binaryData") or {}),
        }:
            yield f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}"


def _container_status(container: Object, obstacle: Obstacle) -> dict[str, Any]:
    blocked = container["name"] == obstacle.container
    waiting = {"reason": obstacle.reason, "message": obstacle.message} if blocked else {"reason": "PodInitializing"}
    status = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": waiting},
        "lastState": {},
    }
    if blocked and obstacle.exit_code:
        ended = {"exitCode": obstacle.exit_code, "reason": "Error", "message": obstacle.message}
        status |= {"restartCount": 1, "lastState": {"terminated": ended}}
    return status


def _containers(pod: Object) -> list[Object]:
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


def _option(container: Object, name: str) -> str:
    """The value of ``--name=value`` on a container's command line, or an empty string."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")
