"""What the models need of the place that they run on, the same for every cloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from llm_serving.serving import TeamNamespace
from llm_serving.spec import ModelSpec


@dataclass(frozen=True)
class Platform:
    """A cluster with pools and a model cache.

    Attributes:
        kubernetes: provider of the cluster.
        scheduling: how a pod gets onto each pool (``contract.PoolScheduling``), by name of the pool.
        reach: ranges for network policies (``contract.NetworkReach``).
        model_cache: the volume of the weights (``contract.ModelCacheVolume``) for a team, given its namespace; the same
            for each call.
        identity: makes the cloud identity of a model's pods (``contract.WorkloadIdentityBinding``).
        loader_identity: the same of a team's loaders, which write; ``None`` where they need none.
        reaches: whether loaders reach a source without the internet.
        outputs: outputs of the stack that describe the platform.
        foundations: components that everything on the cluster must outlive.
    """

    kubernetes: k8s.Provider
    scheduling: Mapping[str, pulumi.Output[dict[str, Any]]]
    reach: pulumi.Output[dict[str, Any]]
    model_cache: Callable[[str, TeamNamespace], pulumi.Output[dict[str, Any]]]
    identity: Callable[[ModelSpec], pulumi.Output[dict[str, Any]]]
    loader_identity: Callable[[str], pulumi.Output[dict[str, Any]] | None]
    reaches: Callable[[str], bool]
    outputs: Mapping[str, Any]
    foundations: tuple[pulumi.Resource, ...] = ()

    def on_cluster(self, depends_on: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
        """Options of a component whose objects live on the cluster. What runs on nodes depends on them, so that
        destroy removes pods before their nodes."""
        return pulumi.ResourceOptions(providers=[self.kubernetes], depends_on=[*self.foundations, *(depends_on or [])])
