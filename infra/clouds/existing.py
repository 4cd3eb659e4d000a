"""A stack on a cluster that is already there: below the models nothing but a claim for their weights is created."""

from functools import cache
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from clouds.platform import Platform
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
from llm_serving.spec import ModelSpec
from stacks.settings import ExistingSettings, Stack


def bring_up_existing(stack: Stack, settings: ExistingSettings) -> Platform:
    """The cluster that the settings name, as the same platform that a cloud gives."""
    name = settings.cluster.name
    access: ExistingClusterArgs = {
        "clients": [str(clients) for clients in settings.cluster.clients],
        "storage": [str(addresses) for addresses in settings.cluster.storage],
        "storage_ports": list(settings.cluster.storage_ports),
    }
    kubeconfig = pulumi.Config().get_secret("kubeconfig")
    if kubeconfig is not None:
        access["kubeconfig"] = kubeconfig
    if settings.cluster.context is not None:
        access["context"] = settings.cluster.context
    cluster = ExistingCluster(name, access)
    kubernetes = k8s.Provider(
        "cluster",
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=name,
        enable_server_side_apply=True,
    )
    pools = {pool.name: ExistingPool(pool.name, {"pool": plain(pool)}) for pool in settings.pools}

    @cache
    def model_cache(team: str, namespace: TeamNamespace) -> pulumi.Output[dict[str, Any]]:
        given: ExistingModelCacheArgs = {"claim": settings.cluster.cache_claim}
        if settings.cluster.cache_storage is not None:
            given["storage"] = plain(settings.cluster.cache_storage)
            given["namespace"] = namespace.namespace
        return ExistingModelCache(
            f"{name}-{team}", given, pulumi.ResourceOptions(providers=[kubernetes], depends_on=[namespace])
        ).volume

    def identity(model: ModelSpec) -> pulumi.Output[dict[str, Any]]:
        return ExistingWorkloadIdentity(model.name, {"namespace": model.team, "service_account": model.name}).binding

    return Platform(
        kubernetes=kubernetes,
        scheduling={name: pool.scheduling for name, pool in pools.items()},
        reach=cluster.reach,
        model_cache=model_cache,
        identity=identity,
        loader_identity=lambda _team: None,
        # A store of one's own has ranges that are named; any other is somewhere on the internet.
        reaches=lambda source: source.startswith("file:") or bool(settings.cluster.storage),
        outputs={"cluster": {"name": name}},
    )
