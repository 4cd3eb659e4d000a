"""Amazon Web Services: what fulfils the contract there."""

from llm_serving.cloud.aws.cluster import AwsCluster, AwsClusterArgs
from llm_serving.cloud.aws.gpu_pools import AwsGpuPool, AwsGpuPoolArgs
from llm_serving.cloud.aws.network import AwsNetwork, AwsNetworkArgs
from llm_serving.cloud.aws.node_provisioner import AwsNodeProvisioner, AwsNodeProvisionerArgs

__all__ = [
    "AwsCluster",
    "AwsClusterArgs",
    "AwsGpuPool",
    "AwsGpuPoolArgs",
    "AwsNetwork",
    "AwsNetworkArgs",
    "AwsNodeProvisioner",
    "AwsNodeProvisionerArgs",
]
