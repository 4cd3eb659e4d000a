"""A stack on AWS: private network, cluster, Karpenter, GPU pools, registry, model cache."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from infra.clouds.cloud import Access, Cloud
from infra.outputs import section
from llm_serving.arguments import plain
from llm_serving.cloud.aws import (
    AwsCluster,
    AwsGpuPool,
    AwsGpuPoolArgs,
    AwsModelCache,
    AwsModelVolume,
    AwsNetwork,
    AwsNetworkArgs,
    AwsNodeProvisioner,
    AwsRegistry,
    AwsRegistryArgs,
    AwsWorkloadIdentity,
)
from llm_serving.contract import NetworkReach
from llm_serving.planning.clouds import AWS
from llm_serving.planning.disruption import longest_drain
from llm_serving.planning.host import IMAGE_GIB
from llm_serving.serving import TeamNamespace
from llm_serving.spec.aws import AwsPoolSpec, AwsProvisioner
from stacks.outputs import ClusterOutputs, NetworkOutputs
from stacks.settings import AwsSettings, Stack

IDENTITY_ADDRESS = "169.254.170.23/32"
"""Of the agent that gives pods the credentials of their role, on every node; it listens on port 80 (EKS documentation,
"Learn how EKS Pod Identity grants pods access to AWS services")."""


class AmazonCloud(Cloud[AwsPoolSpec, AwsGpuPool]):
    """Everything that a stack owns on AWS, in the order in which it comes to exist."""

    def __init__(self, stack: Stack, settings: AwsSettings) -> None:
        self.stack = stack
        self.settings = settings
        self.name = settings.cluster.name
        self.pools = settings.pools
        # Whoever has the credentials of another account learns it before anything is made there.
        self.provider = aws.Provider("aws", region=settings.region, allowed_account_ids=[settings.account])
        self.network = self._network()
        self.cluster = AwsCluster(
            self.name,
            {
                "account": settings.account,
                "region": settings.region,
                "cluster": plain(settings.cluster),
                "node_subnet_ids": self.network.node_subnet_ids,
                "services_range": str(settings.network.services),
                "groups": _groups(settings),
                "tags": settings.labels,
            },
            self._options(depends_on=[self.network]),
        )
        self.registry = self._registry()
        self.model_cache = AwsModelCache(
            self.name,
            {
                "account": settings.account,
                "region": settings.region,
                "name": self.name,
                "cache": plain(settings.model_cache),
                "tags": settings.labels,
            },
            self._options(),
        )
        self.provisioner: AwsNodeProvisioner | None = None
        self.foundation = self.cluster
        self.kubeconfig = self.cluster.kubeconfig
        self.cluster_identifier = f"{settings.account}/{settings.region}/{self.name}"
        self.reach = self._reach()

    def _network(self) -> AwsNetwork:
        settings, ranges = self.settings, self.settings.network
        arguments: AwsNetworkArgs = {
            "region": settings.region,
            "name": self.name,
            "zones": list(settings.cluster.zones),
            "vpc": str(ranges.vpc),
            "services": str(ranges.services),
            "nat": ranges.nat,
            "endpoints": list(ranges.endpoints),
            "flow_log_days": ranges.flow_log_days,
            "tags": settings.labels,
        }
        if ranges.pods is not None:
            arguments["pods"] = str(ranges.pods)
        return AwsNetwork(self.name, arguments, self._options())

    def _registry(self) -> AwsRegistry:
        settings, registry = self.settings, self.settings.registry
        arguments: AwsRegistryArgs = {
            "account": registry.account or settings.account,
            "region": registry.region or settings.region,
            "name": registry.name,
            "readers": [self.cluster.node_role_name, self.cluster.node_group_role_name],
            "tags": settings.labels,
        }
        if registry.pull_through is not None:
            arguments["pull_through"] = registry.pull_through
        return AwsRegistry(self.name, arguments, self._options())

    def _reach(self) -> pulumi.Output[dict[str, Any]]:
        """Pods reach S3 under its public addresses, by the network's gateway endpoint."""
        storage = aws.ec2.get_managed_prefix_list_output(
            name=f"com.amazonaws.{self.settings.region}.s3",
            opts=pulumi.InvokeOutputOptions(provider=self.provider),
        )
        return storage.entries.apply(
            lambda entries: NetworkReach(
                identity_egress=(IDENTITY_ADDRESS,), storage_egress=tuple(sorted(entry.cidr for entry in entries))
            ).to_data()
        )

    def prepare_nodes(self, kubernetes: k8s.Provider) -> Sequence[pulumi.Resource]:
        """Karpenter and what nodes pull by."""
        settings = self.settings
        self.provisioner = AwsNodeProvisioner(
            self.name,
            {
                "region": settings.region,
                "account": settings.account,
                "name": self.name,
                "cluster_name": self.cluster.name,
                "cluster_arn": self.cluster.arn,
                "cluster_endpoint": self.cluster.endpoint,
                "node_role_name": self.cluster.node_role_name,
                "node_role_arn": self.cluster.node_role_arn,
                "security_group_id": self.cluster.security_group_id,
                "subnet_ids": self.network.node_subnet_ids,
                "zones": list(settings.cluster.zones),
                "system_pool": plain(settings.cluster.system_pool),
                "pools": [plain(pool) for pool in settings.pools],
                "max_pods_per_node": settings.cluster.max_pods_per_node,
                "tags": settings.labels,
            },
            self._options(kubernetes, depends_on=[self.cluster]),
        )
        return (self.registry, self.provisioner)

    def make_pool(self, spec: AwsPoolSpec, kubernetes: k8s.Provider) -> AwsGpuPool:
        """NodePools of Karpenter, or managed node groups."""
        arguments: AwsGpuPoolArgs = {
            "region": self.settings.region,
            "name": self.name,
            "cluster_name": self.cluster.name,
            "version": self.settings.cluster.version,
            "security_group_id": self.cluster.security_group_id,
            "subnet_ids": self.network.node_subnet_ids,
            "zones": list(self.settings.cluster.zones),
            "pool": plain(spec),
            "max_pods_per_node": self.settings.cluster.max_pods_per_node,
            "drain_seconds": self._drain_seconds(spec),
            "tags": self.settings.labels,
        }
        if spec.provisioner is AwsProvisioner.NODE_GROUP:
            arguments["node_group_role_arn"] = self.cluster.node_group_role_arn
        needs: list[pulumi.Resource] = [self.cluster]
        if self.provisioner is not None:
            needs.append(self.provisioner)
            arguments["instance_profile"] = self.provisioner.instance_profile
        return AwsGpuPool(spec.name, arguments, self._options(kubernetes, depends_on=needs))

    def _drain_seconds(self, pool: AwsPoolSpec) -> int:
        """The longest orderly end of an instance on a pool."""
        models = (model.spec for model in self.stack.models if model.spec.pool == pool.name)
        return max((longest_drain(model.drain).grace_period for model in models), default=0)

    def make_model_cache(
        self, team: str, namespace: TeamNamespace, kubernetes: k8s.Provider
    ) -> pulumi.Output[dict[str, Any]]:
        """The bucket, which all teams share, by volumes of the team's own."""
        return AwsModelVolume(
            f"{self.name}-{team}",
            {
                "region": self.settings.region,
                "name": self.name,
                "namespace": namespace.namespace,
                "bucket_name": self.model_cache.bucket_name,
                "cache_gib": self._cache_gib(),
            },
            pulumi.ResourceOptions(providers=[kubernetes], depends_on=[namespace]),
        ).volume

    def _cache_gib(self) -> int:
        """Storage of the largest node beside images. A cache holds what one model has read, and the rules refuse models
        whose weights do not fit onto the nodes of their pool."""
        nodes = (AWS.pool_node(pool, max_pods=self.settings.cluster.max_pods_per_node) for pool in self.pools)
        return max((floor(node.ephemeral_gib - IMAGE_GIB) for node in nodes), default=1)

    def make_identity(self, name: str, namespace: str, account: str, access: Access) -> pulumi.Output[dict[str, Any]]:
        """A role that pods of the Kubernetes service account alone may take."""
        return AwsWorkloadIdentity(
            name,
            {
                "region": self.settings.region,
                "name": self.name,
                "cluster_name": self.cluster.name,
                "cluster_arn": self.cluster.arn,
                "namespace": namespace,
                "service_account": account,
                "bucket_arn": self.model_cache.bucket_arn,
                "key_arn": self.model_cache.key_arn,
                "role": access,
                "tags": self.settings.labels,
            },
            self._options(),
        ).binding

    def is_reached_privately(self, source: str) -> bool:
        """Buckets of the region are reached by the gateway endpoint of S3."""
        return source.startswith(("file:", "s3:"))

    def outputs(self, pools: Mapping[str, AwsGpuPool]) -> Mapping[str, Any]:
        """What other programs need to work with the stack."""
        return {
            "network": section(
                NetworkOutputs, name=self.network.vpc_id, subnet=self.network.node_subnet_ids.apply(",".join)
            ),
            "cluster": section(
                ClusterOutputs,
                name=self.cluster.name,
                location=self.settings.region,
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


def _groups(settings: AwsSettings) -> list[str]:
    """Everybody who may do something in the namespace of a team."""
    return sorted({principal for team in settings.teams for principal in (*team.viewers, *team.editors)})
