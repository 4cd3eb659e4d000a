"""Amazon Web Services: what fulfils the contract there. So far the network; no stack runs there yet."""

from llm_serving.cloud.aws.network import AwsNetwork, AwsNetworkArgs

__all__ = ["AwsNetwork", "AwsNetworkArgs"]
