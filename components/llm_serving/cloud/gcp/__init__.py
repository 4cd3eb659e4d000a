"""Google Cloud: what fulfils the contract there."""

from llm_serving.cloud.gcp.cluster import GcpCluster, GcpClusterArgs
from llm_serving.cloud.gcp.gpu_pools import GcpGpuPool, GcpGpuPoolArgs
from llm_serving.cloud.gcp.identity import GcpWorkloadIdentity, GcpWorkloadIdentityArgs
from llm_serving.cloud.gcp.model_cache import GcpModelCache, GcpModelCacheArgs
from llm_serving.cloud.gcp.network import GcpNetwork, GcpNetworkArgs
from llm_serving.cloud.gcp.registry import GcpRegistry, GcpRegistryArgs

__all__ = [
    "GcpCluster",
    "GcpClusterArgs",
    "GcpGpuPool",
    "GcpGpuPoolArgs",
    "GcpModelCache",
    "GcpModelCacheArgs",
    "GcpNetwork",
    "GcpNetworkArgs",
    "GcpRegistry",
    "GcpRegistryArgs",
    "GcpWorkloadIdentity",
    "GcpWorkloadIdentityArgs",
]
