"""Amazon Web Services: what fulfils the contract there."""

from llm_serving.cloud.aws.cluster import AwsCluster, AwsClusterArgs
from llm_serving.cloud.aws.network import AwsNetwork, AwsNetworkArgs

__all__ = ["AwsCluster", "AwsClusterArgs", "AwsNetwork", "AwsNetworkArgs"]
