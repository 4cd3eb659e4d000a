"""Pulumi components for LLM inference on Kubernetes.

The public surface: every component of the package by name, loaded when it is first used, because the SDKs of the clouds
take a second each. ``planning``, ``catalog`` and ``spec`` can be imported without Pulumi.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_serving.addons.cluster_addons import ClusterAddons
    from llm_serving.cloud.aws import (
        AwsCluster,
        AwsGpuPool,
        AwsModelCache,
        AwsModelVolume,
        AwsNetwork,
        AwsNodeProvisioner,
        AwsRegistry,
        AwsWorkloadIdentity,
    )
    from llm_serving.cloud.existing import (
        ExistingCluster,
        ExistingModelCache,
        ExistingPool,
        ExistingWorkloadIdentity,
    )
    from llm_serving.cloud.gcp import (
        GcpCluster,
        GcpGpuPool,
        GcpModelCache,
        GcpNetwork,
        GcpRegistry,
        GcpWorkloadIdentity,
    )
    from llm_serving.gateway import Gateway, GatewayProxy, ModelRoute, Redis, ReleaseRouter
    from llm_serving.observability import Monitoring
    from llm_serving.serving import (
        CompileCache,
        ModelLoader,
        ModelService,
        PriorityClasses,
        QuantizationJob,
        TeamNamespace,
    )

__all__ = [
    "AwsCluster",
    "AwsGpuPool",
    "AwsModelCache",
    "AwsModelVolume",
    "AwsNetwork",
    "AwsNodeProvisioner",
    "AwsRegistry",
    "AwsWorkloadIdentity",
    "ClusterAddons",
    "CompileCache",
    "ExistingCluster",
    "ExistingModelCache",
    "ExistingPool",
    "ExistingWorkloadIdentity",
    "Gateway",
    "GatewayProxy",
    "GcpCluster",
    "GcpGpuPool",
    "GcpModelCache",
    "GcpNetwork",
    "GcpRegistry",
    "GcpWorkloadIdentity",
    "ModelLoader",
    "ModelRoute",
    "ModelService",
    "Monitoring",
    "PriorityClasses",
    "QuantizationJob",
    "Redis",
    "ReleaseRouter",
    "TeamNamespace",
]

_HOMES = {
    "Aws": "llm_serving.cloud.aws",
    "ClusterAddons": "llm_serving.addons.cluster_addons",
    "Existing": "llm_serving.cloud.existing",
    "Gateway": "llm_serving.gateway",
    "Gcp": "llm_serving.cloud.gcp",
    "ModelRoute": "llm_serving.gateway",
    "Monitoring": "llm_serving.observability",
    "Redis": "llm_serving.gateway",
    "ReleaseRouter": "llm_serving.gateway",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for prefix, module in _HOMES.items() if name.startswith(prefix)), "llm_serving.serving")
    return getattr(import_module(home), name)
