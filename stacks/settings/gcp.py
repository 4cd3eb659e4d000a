"""The settings of a stack on Google Cloud."""

from typing import Literal

from llm_serving.planning.clouds.gcp import repository_url
from llm_serving.planning.rules.stack import AwsShape, GcpShape
from llm_serving.spec import ImageReference
from llm_serving.spec.gcp import (
    GcpClusterSpec,
    GcpModelCacheSpec,
    GcpNetworkSpec,
    GcpPoolSpec,
    GcpRegistrySpec,
    ProjectId,
    Region,
)
from stacks.settings.cloud import CloudSettings


class GcpSettings(CloudSettings[GcpClusterSpec]):
    """A stack that brings up everything on Google Cloud.

    Attributes:
        cloud: ``gcp``.
        project: project id. Fixed for the life of a stack.
        region: fixed for the life of a stack.
        network: address ranges. Fixed for the life of a stack.
        model_cache: the bucket that holds the weights.
        registry: the registry that nodes pull from; ``None``: one that the stack makes for itself.
        pools: GPU pools.
    """

    cloud: Literal["gcp"]
    project: ProjectId
    region: Region
    network: GcpNetworkSpec = GcpNetworkSpec()
    model_cache: GcpModelCacheSpec = GcpModelCacheSpec()
    registry: GcpRegistrySpec | None = None
    pools: tuple[GcpPoolSpec, ...] = ()

    @property
    def account(self) -> str:
        """Whose quotas and bill it is: the project."""
        return self.project

    @property
    def gcp_shape(self) -> GcpShape:
        """What the rules of Google Cloud look at."""
        return GcpShape(
            network=self.network,
            cluster=self.cluster,
            pools=self.pools,
            registry=self.registry,
            labels=self.labels,
        )

    @property
    def aws_shape(self) -> AwsShape:
        """Nothing is on AWS."""
        return AwsShape()

    def pulled(self, image: ImageReference) -> ImageReference:
        """An image as nodes pull it: one of Docker Hub through the registry's remote repository, where it has one."""
        path = image.docker_hub_path
        if self.registry is None or self.registry.pull_through is None or path is None:
            return image
        url = repository_url(self.region, self.registry.project or self.project, self.registry.pull_through)
        return image.model_copy(update={"repository": f"{url}/{path}"})

    @property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        cluster, network = self.cluster, self.network
        fixed = {
            "cloud": self.cloud,
            "project": self.project,
            "region": self.region,
            "cluster.name": cluster.name,
            "cluster.regional": str(cluster.regional).lower(),
            "cluster.maxPodsPerNode": str(cluster.max_pods_per_node),
            "network.nodes": str(network.nodes),
            "network.pods": str(network.pods),
            "network.services": str(network.services),
            "network.proxies": str(network.proxies),
            **self.fixed_disks,
        }
        # The control plane of a zonal cluster cannot move to another zone.
        return fixed if cluster.regional else {**fixed, "cluster.zones[0]": cluster.zones[0]}

    @property
    def location(self) -> dict[str, str]:
        """Where the stack runs, as people are shown it: what, and its value."""
        network, cluster = self.network, self.cluster
        kind = "regional" if cluster.regional else "zonal"
        return {
            "project, region": f"{self.project}, {self.region}",
            "network": (
                f"nodes {network.nodes}, pods {network.pods}, services {network.services}, proxies {network.proxies}"
            ),
            "cluster": f"{cluster.name}, {kind}, zones {', '.join(cluster.zones)}",
        }
