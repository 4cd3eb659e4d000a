"""A stack on a cluster that is already there: nothing below the models is created."""

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from llm_serving.arguments import plain
from llm_serving.cloud.existing import (
    ExistingCluster,
    ExistingClusterArgs,
    ExistingModelCache,
    ExistingPool,
    ExistingWorkloadIdentity,
)
from llm_serving.spec import ModelSpec
from platforms.platform import Platform
from stacks.settings import ExistingSettings, Stack


def bring_up_existing(stack: Stack, settings: ExistingSettings) -> Platform:
    """The cluster that the settings name, as the same platform that a cloud gives."""
    name = settings.cluster.name
    reach: ExistingClusterArgs = {}
    kubeconfig = pulumi.Config().get_secret("kubeconfig")
    if kubeconfig is not None:
        reach["kubeconfig"] = kubeconfig
    if settings.cluster.context is not None:
        reach["context"] = settings.cluster.context
    cluster = ExistingCluster(name, reach)
    kubernetes = k8s.Provider(
        "cluster",
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=name,
        enable_server_side_apply=True,
    )
    pools = {pool.name: ExistingPool(pool.name, {"pool": plain(pool)}) for pool in settings.pools}
    cache = ExistingModelCache(name, {"claim": settings.cluster.cache_claim})

    def identity(model: ModelSpec) -> pulumi.Output[dict[str, Any]]:
        return ExistingWorkloadIdentity(model.name, {"namespace": model.team, "service_account": model.name}).binding

    return Platform(
        kubernetes=kubernetes,
        scheduling={name: pool.scheduling for name, pool in pools.items()},
        model_cache=cache.volume,
        identity=identity,
        outputs={"cluster": {"name": name}},
    )
