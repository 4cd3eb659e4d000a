"""Amazon Web Services: what fulfils the contract there. So far network and nodes; no stack runs there yet."""

from llm_serving.cloud.aws.gpu_pools import AwsGpuPool, AwsGpuPoolArgs
from llm_serving.cloud.aws.network import AwsNetwork, AwsNetworkArgs
from llm_serving.cloud.aws.node_provisioner import AwsNodeProvisioner, AwsNodeProvisionerArgs

__all__ = [
    "AwsGpuPool",
    "AwsGpuPoolArgs",
    "AwsNetwork",
    "AwsNetworkArgs",
    "AwsNodeProvisioner",
    "AwsNodeProvisionerArgs",
]
