"""Device plugins: what offers GPUs and network interfaces of a node to pods, where its image does not."""

import json
from collections.abc import Sequence
from typing import Any

from llm_serving import catalog
from llm_serving.addons.addon import Chart
from llm_serving.cloud.aws.names import GPU_RESOURCE
from llm_serving.contract import LABEL_POOL
from llm_serving.planning.clouds.aws import dns_suffix
from llm_serving.spec.aws import AwsNodeImage, AwsPoolSpec

NVIDIA = Chart("nvidia-device-plugin", "nvidia-device-plugin", "0.19.3", "https://nvidia.github.io/k8s-device-plugin")
"""https://nvidia.github.io/k8s-device-plugin/index.yaml, read 2026-11-29."""
EFA = Chart("aws-efa-k8s-device-plugin", "aws-efa-k8s-device-plugin", "v0.5.29", "https://aws.github.io/eks-charts")
"""Of the plugin v0.5.20: github.com/aws/eks-charts, pull request 1338 of 2026-06-12."""

EVERYWHERE = [{"operator": "Exists"}]
"""A plugin runs on every node of its pools, whatever taints it has, those of a node that is starting among them."""

_DEFAULT = "default"


def without_gpu_plugin(pools: Sequence[AwsPoolSpec]) -> list[AwsPoolSpec]:
    """Pools whose nodes need NVIDIA's: Bottlerocket brings it along, and Amazon Linux does not (EKS documentation,
    "Use EKS-optimized accelerated AMIs for GPU instances")."""
    return [pool for pool in pools if pool.node_image is AwsNodeImage.AL2023]


def with_efa(pools: Sequence[AwsPoolSpec]) -> list[AwsPoolSpec]:
    """Pools whose nodes need EFA's, which no image has."""
    return [pool for pool in pools if pool.efa]


def nvidia_values(pools: Sequence[AwsPoolSpec]) -> dict[str, Any]:
    """What NVIDIA's chart is told. A pool that shares its GPUs has a configuration of its own, by its name; its nodes
    choose it by a label (github.com/NVIDIA/k8s-device-plugin, "Configuring the device plugin")."""
    shared = {pool.name: pool.sharing.clients for pool in pools if pool.sharing and pool.sharing.clients}
    places = {"key": LABEL_POOL, "operator": "In", "values": [pool.name for pool in pools]}
    on_pools = {"nodeSelectorTerms": [{"matchExpressions": [places]}]}
    configured: dict[str, Any] = {}
    if shared:
        configs = {name: _shared(clients) for name, clients in shared.items()}
        configured = {"config": {"map": {_DEFAULT: _config({}), **configs}, "default": _DEFAULT}}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": on_pools}},
        "tolerations": EVERYWHERE,
        **configured,
    }


def efa_values(pools: Sequence[AwsPoolSpec], region: str) -> dict[str, Any]:
    """What the chart of EFA's plugin is told: our pools in place of its list of machines, and the region's own registry
    in place of one in us-west-2, which nodes without internet do not reach."""
    registry = f"{catalog.eks_registry(region)}.dkr.ecr.{region}.{dns_suffix(region)}"
    return {
        "image": {"repository": f"{registry}/eks/aws-efa-k8s-device-plugin"},
        "supportedInstanceLabels": {"keys": [LABEL_POOL], "values": [pool.name for pool in pools]},
        "tolerations": EVERYWHERE,
    }


def _shared(clients: int) -> str:
    resources = [{"name": GPU_RESOURCE, "replicas": clients}]
    return _config({"sharing": {"timeSlicing": {"resources": resources}}})


def _config(more: dict[str, Any]) -> str:
    """A configuration; JSON is YAML too."""
    return json.dumps({"version": "v1", "flags": {"migStrategy": "none"}, **more}, sort_keys=True)
