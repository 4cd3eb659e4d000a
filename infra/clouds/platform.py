"""What the models need of the place that they run on, the same for every cloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.clouds.cloud import Access, Cloud, PoolT, SpecT
from llm_serving.serving import TeamNamespace


@dataclass(frozen=True)
class Platform:
    """A cluster with pools and a model cache.

    Attributes:
        kubernetes: provider of the cluster.
        scheduling: how a pod gets onto each pool (``contract.PoolScheduling``), by name of the pool.
        reach: ranges for network policies (``contract.NetworkReach``).
        model_cache: the volume of the weights (``contract.ModelCacheVolume``) for a team, given its namespace; made on
            the first call.
        identity: the cloud identity of a workload (``contract.WorkloadIdentityBinding``), given its namespace, its
            Kubernetes service account and its access to the model cache; made on the first call.
        is_reached_privately: whether loaders reach a source of weights without the internet.
        outputs: outputs of the stack that describe the platform, by field of :class:`stacks.outputs.StackOutputs`.
        foundations: components that everything on the cluster must outlive.
    """

    kubernetes: k8s.Provider
    scheduling: Mapping[str, pulumi.Output[dict[str, Any]]]
    reach: pulumi.Output[dict[str, Any]]
    model_cache: Callable[[str, TeamNamespace], pulumi.Output[dict[str, Any]]]
    identity: Callable[[str, str, Access], pulumi.Output[dict[str, Any]]]
    is_reached_privately: Callable[[str], bool]
    outputs: Mapping[str, Any]
    foundations: tuple[pulumi.Resource, ...]

    def on_cluster(self, depends_on: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
        """Options of a component whose objects live on the cluster. What runs on nodes depends on them, so that
        destroy removes pods before their nodes."""
        return pulumi.ResourceOptions(providers=[self.kubernetes], depends_on=[*self.foundations, *(depends_on or [])])


def build_platform(cloud: Cloud[SpecT, PoolT]) -> Platform:
    """Provider of the cluster, pools, caches and identities, which every cloud makes in this order."""
    kubernetes = k8s.Provider(
        "cluster",
        kubeconfig=cloud.kubeconfig,
        cluster_identifier=cloud.cluster_identifier,
        enable_server_side_apply=True,
        # Else a Secret with other content is another one, and pods that start meanwhile find none. Those that are
        # immutable are replaced all the same.
        enable_secret_mutable=True,
    )
    preparations = cloud.prepare_nodes(kubernetes)
    pools = {spec.name: cloud.make_pool(spec, kubernetes) for spec in cloud.pools}

    @cache
    def model_cache(team: str, namespace: TeamNamespace) -> pulumi.Output[dict[str, Any]]:
        return cloud.make_model_cache(team, namespace, kubernetes)

    @cache
    def identity(namespace: str, account: str, access: Access) -> pulumi.Output[dict[str, Any]]:
        # Readers are models, whose names are unique in a stack; writers have one name in every namespace.
        name = account if access == "reader" else f"{namespace}-{account}"
        return cloud.make_identity(name, namespace, account, access)

    return Platform(
        kubernetes=kubernetes,
        scheduling={name: pool.scheduling for name, pool in pools.items()},
        reach=cloud.checked_reach(kubernetes),
        model_cache=model_cache,
        identity=identity,
        is_reached_privately=cloud.is_reached_privately,
        outputs=cloud.outputs(pools),
        foundations=(cloud.foundation, *preparations, *pools.values()),
    )
