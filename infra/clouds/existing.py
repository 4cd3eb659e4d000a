"""A stack on a cluster that is already there: below the models nothing but a claim for their weights is created."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.clouds.cloud import Access, Cloud
from llm_serving.arguments import plain
from llm_serving.cloud.existing import (
    ExistingCluster,
    ExistingClusterArgs,
    ExistingModelCache,
    ExistingModelCacheArgs,
    ExistingPool,
    ExistingWorkloadIdentity,
)
from llm_serving.serving import TeamNamespace
from llm_serving.spec import ExistingPoolSpec
from stacks.outputs import ClusterOutputs
from stacks.settings import NAMESPACE, ExistingSettings


class ExistingCloud(Cloud[ExistingPoolSpec, ExistingPool]):
    """The cluster that the settings name, which somebody else runs."""

    def __init__(self, settings: ExistingSettings) -> None:
        self.settings = settings.cluster
        self.pools = settings.pools
        access: ExistingClusterArgs = {
            "clients": [str(clients) for clients in self.settings.clients],
            "storage": [str(addresses) for addresses in self.settings.storage],
            "storage_ports": list(self.settings.storage_ports),
            "api_server": [str(addresses) for addresses in self.settings.api_server],
            "api_server_ports": list(self.settings.api_server_ports),
        }
        kubeconfig = pulumi.Config().get_secret("kubeconfig")
        if kubeconfig is not None:
            access["kubeconfig"] = kubeconfig
        if self.settings.context is not None:
            access["context"] = self.settings.context
        self.cluster = ExistingCluster(self.settings.name, access)
        self.foundation = self.cluster
        self.kubeconfig = self.cluster.kubeconfig
        self.cluster_identifier = self.settings.name
        self.reach = self.cluster.reach

    def checked_reach(self, kubernetes: k8s.Provider) -> pulumi.Output[dict[str, Any]]:
        """As the settings say, where the cluster's first addresses are IPv4.

        Every cluster has the Service ``kubernetes``, and its address is of the family that pods and Services get unless
        they ask for another (https://kubernetes.io/docs/concepts/services-networking/dual-stack/).
        """
        api = k8s.core.v1.Service.get(
            "kubernetes-api", "default/kubernetes", pulumi.ResourceOptions(provider=kubernetes)
        )
        name = self.settings.name

        def check(known: list[Any]) -> dict[str, Any]:
            reach, address = known
            if address and ":" in address:
                raise pulumi.RunError(
                    f"{NAMESPACE}:cluster.name = {name!r}: Services of this cluster have IPv6 addresses first (that of "
                    f"the Kubernetes API is {address}), and engines listen on IPv4 (try: a cluster whose addresses are "
                    "IPv4, or IPv4 first)"
                )
            return reach

        return pulumi.Output.all(self.reach, api.spec.cluster_ip).apply(check)

    def make_pool(self, spec: ExistingPoolSpec, kubernetes: k8s.Provider) -> ExistingPool:
        """Nodes that are there."""
        return ExistingPool(spec.name, {"pool": plain(spec)})

    def make_model_cache(
        self, team: str, namespace: TeamNamespace, kubernetes: k8s.Provider
    ) -> pulumi.Output[dict[str, Any]]:
        """A claim in the team's namespace, made where the settings ask for it."""
        arguments: ExistingModelCacheArgs = {"claim": self.settings.cache_claim}
        if self.settings.cache_storage is not None:
            arguments["storage"] = plain(self.settings.cache_storage)
            arguments["namespace"] = namespace.namespace
        return ExistingModelCache(
            f"{self.settings.name}-{team}",
            arguments,
            pulumi.ResourceOptions(providers=[kubernetes], depends_on=[namespace]),
        ).volume

    def make_identity(self, name: str, namespace: str, account: str, access: Access) -> pulumi.Output[dict[str, Any]]:
        """The Kubernetes service account alone: whoever mounts the volume may use it."""
        return ExistingWorkloadIdentity(name, {"namespace": namespace, "service_account": account}).binding

    def is_reached_privately(self, source: str) -> bool:
        """A store of one's own has ranges that the settings name; any other is somewhere on the internet."""
        return source.startswith("file:") or bool(self.settings.storage)

    def outputs(self, pools: Mapping[str, ExistingPool]) -> Mapping[str, Any]:
        """The name that the settings give the cluster."""
        return {"cluster": ClusterOutputs(name=self.settings.name).to_data()}
