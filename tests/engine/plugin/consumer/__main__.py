"""What another team writes: components of the installed package, on a cluster that is already there.

Generated SDKs do the same as :class:`Component`; this program knows the package by its schema alone.
"""

import json
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

SCHEMA = json.loads(Path(pulumi.Config().require("schema")).read_text())


class Component(pulumi.ComponentResource):
    """A component that lives in the plugin."""

    def __init__(self, kind: str, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None):
        token = f"llm-serving:index:{kind}"
        outputs = dict.fromkeys(SCHEMA["resources"][token]["properties"])
        super().__init__(token, name, {**outputs, **inputs}, opts, True)

    def __getitem__(self, output: str) -> pulumi.Output[Any]:
        return getattr(self, output)


config = pulumi.Config()
RELEASE = {
    "name": "qwen3-8b",
    "version": "1.0.0",
    "engine": {"version": "0.32.0"},
    "image": {"repository": "docker.io/vllm/vllm-openai", "tag": "v0.32.0"},
    "model": {
        "architecture": "qwen3-8b",
        "repository": "Qwen/Qwen3-8B",
        "revision": "b968826d9c46dd6066d109eabc6255188de91218",
        "license": "Apache-2.0",
    },
    "contextLength": 8192,
}

cluster = Component("ExistingCluster", "lab", {"kubeconfig": config.require_secret("kubeconfig")})
kubernetes = k8s.Provider("lab", kubeconfig=cluster["kubeconfig"], cluster_identifier="lab")
on_cluster = pulumi.ResourceOptions(providers={"kubernetes": kubernetes})

pool = Component(
    "ExistingPool",
    "a6000",
    {
        "pool": {
            "name": "a6000",
            "accelerator": "RTX-A6000",
            "gpusPerNode": 2,
            "cpu": 16,
            "memoryGib": 128,
            "nodeSelector": {"lab.example/gpu": "a6000"},
            "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
        }
    },
)
cache = Component("ExistingModelCache", "weights", {"claim": "weights"})
identity = Component("ExistingWorkloadIdentity", "qwen3-8b", {"namespace": "chat", "serviceAccount": "qwen3-8b"})
team = Component(
    "TeamNamespace",
    "chat",
    {
        "team": {"name": "chat", "viewers": ["readers@example.com"]},
        "gpuQuota": config.require_int("gpuQuota"),
        "gatewayNamespace": "llm-gateway",
        "gatewayDirectModels": ["qwen3-8b"],
    },
    on_cluster,
)
volume = k8s.core.v1.PersistentVolume(
    "weights",
    metadata={"name": "weights"},
    spec={
        "capacity": {"storage": "1Gi"},
        "access_modes": ["ReadOnlyMany"],
        "persistent_volume_reclaim_policy": "Retain",
        "storage_class_name": "manual",
        "host_path": {"path": "/srv/weights"},
    },
    opts=pulumi.ResourceOptions(provider=kubernetes),
)
claim = k8s.core.v1.PersistentVolumeClaim(
    "weights",
    metadata={"name": "weights", "namespace": team["namespace"]},
    spec={
        "access_modes": ["ReadOnlyMany"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storage_class_name": "manual",
        "volume_name": "weights",
    },
    opts=pulumi.ResourceOptions(provider=kubernetes, depends_on=[volume]),
)
priorities = Component(
    "PriorityClasses", "priorities", {}, pulumi.ResourceOptions(providers={"kubernetes": kubernetes})
)
model = Component(
    "ModelService",
    "qwen3-8b",
    {
        "model": {
            "name": "qwen3-8b",
            "team": "chat",
            "pool": "a6000",
            "releases": {"stable": "1.0.0"},
            **(config.get_object("model") or {}),
        },
        "releases": [RELEASE],
        "releaseHashes": {"1.0.0": "0" * 64},
        "node": {"accelerator": "RTX-A6000", "gpus": 2, "cpu": 16, "memoryGib": 128},
        "namespace": team["namespace"],
        "scheduling": pool["scheduling"],
        "cache": cache["volume"],
        "identity": identity["binding"],
    },
    pulumi.ResourceOptions(providers={"kubernetes": kubernetes}, depends_on=[team, claim, priorities]),
)
gateway = Component(
    "Gateway",
    "gateway",
    {
        "gateway": {
            "image": {"repository": "registry.example/gateway", "tag": "0.1.0"},
            "proxyImage": {"repository": "registry.example/proxy", "tag": "3.7.15"},
            "keys": [{"name": "shop", "sha256": "0" * 64, "team": "chat", "requestsPerMinute": 60}],
            "redis": {"limits": {"host": "redis.example.com"}},
        },
        "models": [{"name": "qwen3-8b", "contextTokens": RELEASE["contextLength"], "routing": "service"}],
        "reach": cluster["reach"],
        "clientNamespaces": ["chat"],
        "clientRanges": ["10.1.0.0/24"],
        "limitsPassword": config.require_secret("limitsPassword"),
    },
    pulumi.ResourceOptions(providers={"kubernetes": kubernetes}, depends_on=[priorities]),
)

pulumi.export("url", model["url"])
pulumi.export("gatewayUrl", gateway["url"])
pulumi.export("kubeconfig", cluster["kubeconfig"])
