"""A model service on the recording monitor, with what a pool, a cache and an identity of a cloud say."""

from typing import Any

from llm_serving.contract import ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.serving import ModelService
from tests.unit.recording import Recording, record

RELEASE: dict[str, Any] = {
    "name": "qwen3-8b",
    "version": "1.0.0",
    "engine": {"name": "vllm", "version": "0.32.0"},
    "image": {"repository": "docker.io/vllm/vllm-openai", "tag": "v0.32.0"},
    "model": {
        "architecture": "qwen3-8b",
        "repository": "Qwen/Qwen3-8B",
        "revision": "b" * 40,
        "license": "Apache-2.0",
    },
    "context_length": 8192,
}
MODEL: dict[str, Any] = {"name": "qwen3-8b", "team": "chat", "releases": {"stable": "1.0.0"}, "pool": "h100"}
NODE: dict[str, Any] = {
    "accelerator": "H100-80GB",
    "gpus": 2,
    "cpu": 50.0,
    "memory_gib": 400.0,
    "ephemeral_gib": 600.0,
    "cloud": "gcp",
}
SCHEDULING: dict[str, Any] = {
    "pool": "h100",
    "accelerator": "H100-80GB",
    "nodeSelector": {"cloud.google.com/compute-class": "h100"},
    "tolerations": [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "llm-serving.dev/market", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
    ],
    "gpuResource": "nvidia.com/gpu",
    "gpusPerNode": 2,
    "nodeAllocatableCpu": 50,
    "nodeAllocatableMemoryGib": 400,
}
CACHE: dict[str, Any] = {
    "volume": {
        "csi": {
            "driver": "gcsfuse.csi.storage.gke.io",
            "readOnly": True,
            "volumeAttributes": {"bucketName": "weights", "mountOptions": "implicit-dirs"},
        }
    },
    "podAnnotations": {"gke-gcsfuse/volumes": "true"},
    "sidecarCpu": 2,
    "sidecarMemoryGib": 4,
    "sidecarStorageGib": 5,
    "storageAnnotation": "gke-gcsfuse/ephemeral-storage-request",
    "cachesWeights": True,
}
IDENTITY: dict[str, Any] = {
    "serviceAccount": "qwen3-8b",
    "namespace": "chat",
    "annotations": {"iam.gke.io/gcp-service-account": "reader@acme.iam.gserviceaccount.com"},
    "podLabels": {"cloud.example/identity": "use"},
}


def arguments(release: dict[str, Any] | None = None, more: tuple[dict[str, Any], ...] = (), **changes: Any):
    """Arguments of a ModelService; dictionaries are merged into the defaults one level deep.

    Args:
        release: changes of the first release.
        more: changes of the first release, each of which makes a further one.
        changes: other arguments.
    """
    first = {**RELEASE, **(release or {})}
    releases = [first, *({**first, **other} for other in more)]
    defaults: dict[str, Any] = {
        "model": MODEL,
        "releases": releases,
        "release_hashes": {item["version"]: "f" * 64 for item in releases},
        "node": NODE,
        "namespace": "chat",
        "scheduling": SCHEDULING,
        "cache": CACHE,
        "identity": IDENTITY,
        "labels": {"environment": "test"},
    }
    merged = {
        key: {**defaults[key], **value} if isinstance(defaults.get(key), dict) and isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return {**defaults, **merged}


def serve(*, preview: bool = False, **changes: Any) -> Recording:
    """Everything that a ModelService asks the engine for."""
    return record(lambda: ModelService("qwen3-8b", arguments(**changes)), preview=preview)


def pod(recording: Recording) -> dict[str, Any]:
    """The pod template of the Deployment."""
    return recording.one("kubernetes:apps/v1:Deployment")["spec.template"]


def container(recording: Recording) -> dict[str, Any]:
    """The engine's container."""
    (only,) = pod(recording)["spec"]["containers"]
    return only


def contract_models() -> tuple[PoolScheduling, ModelCacheVolume, WorkloadIdentityBinding]:
    """The dictionaries above, as the contract's models."""
    return (
        PoolScheduling.model_validate(SCHEDULING),
        ModelCacheVolume.model_validate(CACHE),
        WorkloadIdentityBinding.model_validate(IDENTITY),
    )
