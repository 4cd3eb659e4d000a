"""A stack on Google Cloud: private network, cluster, GPU pools, registry, model cache."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

from infra.clouds.cloud import Access, Cloud
from infra.outputs import section
from llm_serving.arguments import plain
from llm_serving.cloud.gcp import (
    GcpCluster,
    GcpGpuPool,
    GcpModelCache,
    GcpNetwork,
    GcpRegistry,
    GcpRegistryArgs,
    GcpWorkloadIdentity,
)
from llm_serving.serving import TeamNamespace
from llm_serving.spec import AddonSource, PoolSpec
from stacks.outputs import ClusterOutputs, NetworkOutputs
from stacks.settings import GcpSettings, Stack


class GoogleCloud(Cloud[PoolSpec, GcpGpuPool]):
    """Everything that a stack owns on Google Cloud, in the order in which it comes to exist."""

    def __init__(self, stack: Stack, settings: GcpSettings) -> None:
        self.settings = settings
        self.name = settings.cluster.name
        self.pools = settings.pools
        self.provider = gcp.Provider(
            "gcp", project=settings.project, region=settings.region, default_labels=settings.labels
        )
        self.network = GcpNetwork(
            self.name,
            {
                "project": settings.project,
                "region": settings.region,
                "name": self.name,
                "ranges": plain(settings.network),
                "serving_ports": list(stack.serving_ports),
            },
            self._options(),
        )
        self.cluster = GcpCluster(
            self.name,
            {
                "project": settings.project,
                "region": settings.region,
                "cluster": plain(settings.cluster),
                "network_id": self.network.network_id,
                "subnet_id": self.network.subnet_id,
                "pods_range_name": self.network.pods_range_name,
                "services_range_name": self.network.services_range_name,
                "gateway_api": settings.addons.gateway_api is AddonSource.EXISTING,
                "labels": settings.labels,
            },
            self._options(depends_on=[self.network]),
        )
        shared = settings.registry
        registry: GcpRegistryArgs = {
            "project": (shared and shared.project) or settings.project,
            "region": (shared and shared.region) or settings.region,
            "name": shared.name if shared else self.name,
            "create": shared is None,
            "readers": [self.cluster.node_service_account],
            "labels": settings.labels,
        }
        if shared is not None and shared.pull_through is not None:
            registry["pull_through"] = shared.pull_through
        self.registry = GcpRegistry(self.name, registry, self._options())
        self.model_cache = GcpModelCache(
            self.name,
            {
                "project": settings.project,
                "region": settings.region,
                "name": self.name,
                "cache": plain(settings.model_cache),
                "labels": settings.labels,
            },
            self._options(),
        )
        self.foundation = self.cluster
        self.kubeconfig = self.cluster.kubeconfig
        self.cluster_identifier = f"{settings.project}/{settings.region}/{self.name}"
        self.reach = self.network.reach

    def make_pool(self, spec: PoolSpec, kubernetes: k8s.Provider) -> GcpGpuPool:
        """Node pools under one ComputeClass, which is an object on the cluster."""
        return GcpGpuPool(
            spec.name,
            {
                "project": self.settings.project,
                "region": self.settings.region,
                "location": self.cluster.location,
                "cluster_name": self.cluster.name,
                "node_service_account": self.cluster.node_service_account,
                "zones": list(self.settings.cluster.zones),
                "pool": plain(spec),
                "max_pods_per_node": self.settings.cluster.max_pods_per_node,
                "labels": self.settings.labels,
            },
            self._options(kubernetes, depends_on=[self.cluster]),
        )

    def make_model_cache(
        self, team: str, namespace: TeamNamespace, kubernetes: k8s.Provider
    ) -> pulumi.Output[dict[str, Any]]:
        """The bucket, which all teams share."""
        return self.model_cache.volume

    def make_identity(self, name: str, namespace: str, account: str, access: Access) -> pulumi.Output[dict[str, Any]]:
        """A Google service account that the Kubernetes one alone may act as."""
        return GcpWorkloadIdentity(
            name,
            {
                "project": self.settings.project,
                "name": self.name,
                "namespace": namespace,
                "service_account": account,
                "workload_pool": self.cluster.workload_pool,
                "bucket_name": self.model_cache.bucket_name,
                "role": access,
            },
            self._options(),
        ).binding

    def is_reached_privately(self, source: str) -> bool:
        """Buckets are reached by Private Google Access."""
        return source.startswith(("file:", "gs:"))

    def outputs(self, pools: Mapping[str, GcpGpuPool]) -> Mapping[str, Any]:
        """What other programs need to work with the stack."""
        return {
            "network": section(NetworkOutputs, name=self.network.network_name, subnet=self.network.subnet_name),
            "cluster": section(
                ClusterOutputs,
                name=self.cluster.name,
                location=self.cluster.location,
                endpoint=self.cluster.endpoint,
            ),
            "kubeconfig": self.cluster.kubeconfig,
            "pools": {name: pool.node_pool_names for name, pool in pools.items()},
            "model_cache": self.model_cache.bucket_url,
            "registry": self.registry.repository_url,
        }

    def _options(
        self, *providers: pulumi.ProviderResource, depends_on: list[pulumi.Resource] | None = None
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(providers=[self.provider, *providers], depends_on=depends_on)
