"""The settings of a stack on AWS."""

from typing import Literal

from llm_serving.planning.clouds.aws import repository_url
from llm_serving.planning.rules.stack import AwsShape, GcpShape
from llm_serving.spec import ImageReference
from llm_serving.spec.aws import (
    AccountId,
    AwsClusterSpec,
    AwsModelCacheSpec,
    AwsNetworkSpec,
    AwsPoolSpec,
    AwsRegistrySpec,
    Region,
)
from stacks.settings.cloud import CloudSettings


class AwsSettings(CloudSettings[AwsClusterSpec]):
    """A stack that brings up everything on AWS.

    Attributes:
        cloud: ``aws``.
        account: number of the account. Fixed for the life of a stack.
        region: fixed for the life of a stack.
        network: address ranges. Fixed for the life of a stack.
        model_cache: the bucket that holds the weights.
        registry: the registry that nodes pull from, which is there already.
        pools: GPU pools.
    """

    cloud: Literal["aws"]
    account: AccountId
    region: Region
    network: AwsNetworkSpec = AwsNetworkSpec()
    model_cache: AwsModelCacheSpec = AwsModelCacheSpec()
    registry: AwsRegistrySpec = AwsRegistrySpec()
    pools: tuple[AwsPoolSpec, ...] = ()

    @property
    def gcp_shape(self) -> GcpShape:
        """Nothing is on Google Cloud."""
        return GcpShape()

    @property
    def aws_shape(self) -> AwsShape:
        """What the rules of AWS look at."""
        return AwsShape(
            account=self.account,
            network=self.network,
            cluster=self.cluster,
            pools=self.pools,
            registry=self.registry,
            labels=self.labels,
        )

    def pulled(self, image: ImageReference) -> ImageReference:
        """An image as nodes pull it: one of Docker Hub through the registry's pull-through rule, where it has one."""
        path = image.docker_hub_path
        if self.registry.pull_through is None or path is None:
            return image
        account, region = self.registry.account or self.account, self.registry.region or self.region
        url = repository_url(account, region, self.registry.pull_through)
        return image.model_copy(update={"repository": f"{url}/{path}"})

    @property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        cluster, network = self.cluster, self.network
        return {
            "cloud": self.cloud,
            "account": self.account,
            "region": self.region,
            "cluster.name": cluster.name,
            "network.vpc": str(network.vpc),
            "network.pods": str(network.pods) if network.pods else "none",
            "network.services": str(network.services),
            **self.fixed_disks,
        }

    @property
    def location(self) -> dict[str, str]:
        """Where the stack runs, as people are shown it: what, and its value."""
        network, cluster = self.network, self.cluster
        pods = f", pods {network.pods}" if network.pods else ""
        return {
            "account, region": f"{self.account}, {self.region}",
            "network": f"VPC {network.vpc}{pods}, services {network.services}",
            "cluster": f"{cluster.name}, EKS {cluster.version}, zones {', '.join(cluster.zones)}",
        }
