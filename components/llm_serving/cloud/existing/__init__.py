"""An existing cluster: on-premises GPUs, kind, or one that somebody else runs.

The same contract as a cloud's, from what the user knows of the cluster. Nothing is created in it; these components only
turn facts into data.
"""

from llm_serving.cloud.existing.cluster import ExistingCluster, ExistingClusterArgs
from llm_serving.cloud.existing.identity import ExistingWorkloadIdentity, ExistingWorkloadIdentityArgs
from llm_serving.cloud.existing.model_cache import ExistingModelCache, ExistingModelCacheArgs
from llm_serving.cloud.existing.pool import ExistingPool, ExistingPoolArgs, ExistingPoolSpecArgs

__all__ = [
    "ExistingCluster",
    "ExistingClusterArgs",
    "ExistingModelCache",
    "ExistingModelCacheArgs",
    "ExistingPool",
    "ExistingPoolArgs",
    "ExistingPoolSpecArgs",
    "ExistingWorkloadIdentity",
    "ExistingWorkloadIdentityArgs",
]
