"""Amazon Web Services: what fulfils the contract there."""

from llm_serving.cloud.aws.cluster import AwsCluster, AwsClusterArgs
from llm_serving.cloud.aws.gpu_pools import AwsGpuPool, AwsGpuPoolArgs
from llm_serving.cloud.aws.identity import AwsWorkloadIdentity, AwsWorkloadIdentityArgs
from llm_serving.cloud.aws.model_cache import AwsModelCache, AwsModelCacheArgs, AwsModelVolume, AwsModelVolumeArgs
from llm_serving.cloud.aws.network import AwsNetwork, AwsNetworkArgs
from llm_serving.cloud.aws.node_provisioner import AwsNodeProvisioner, AwsNodeProvisionerArgs
from llm_serving.cloud.aws.registry import AwsRegistry, AwsRegistryArgs

__all__ = [
    "AwsCluster",
    "AwsClusterArgs",
    "AwsGpuPool",
    "AwsGpuPoolArgs",
    "AwsModelCache",
    "AwsModelCacheArgs",
    "AwsModelVolume",
    "AwsModelVolumeArgs",
    "AwsNetwork",
    "AwsNetworkArgs",
    "AwsNodeProvisioner",
    "AwsNodeProvisionerArgs",
    "AwsRegistry",
    "AwsRegistryArgs",
    "AwsWorkloadIdentity",
    "AwsWorkloadIdentityArgs",
]
