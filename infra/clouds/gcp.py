"""A stack on Google Cloud: private network, cluster, GPU pools, registry, model cache."""

from functools import cache
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

from clouds.platform import Platform
from llm_serving.arguments import plain
from llm_serving.cloud.gcp import (
    GcpCluster,
    GcpGpuPool,
    GcpModelCache,
    GcpNetwork,
    GcpRegistry,
    GcpWorkloadIdentity,
)
from llm_serving.serving.engines import engine
from llm_serving.spec import EngineName, ModelSpec
from stacks.settings import GcpSettings, Stack

LOADER_ACCOUNT = "model-loader"
"""Kubernetes service account of the loaders, one in each team's namespace."""


def bring_up_gcp(stack: Stack, settings: GcpSettings) -> Platform:
    """Everything below the models, in the order in which it comes to exist."""
    name = settings.cluster.name
    provider = gcp.Provider(
        "gcp",
        project=settings.project,
        region=settings.region,
        default_labels=settings.labels,
    )
    on_gcp = pulumi.ResourceOptions(providers=[provider])

    network = GcpNetwork(
        name,
        {
            "project": settings.project,
            "region": settings.region,
            "name": name,
            "ranges": plain(settings.network),
            "serving_ports": _ports(stack) or [engine(EngineName.VLLM).port],
        },
        on_gcp,
    )
    cluster = GcpCluster(
        name,
        {
            "project": settings.project,
            "region": settings.region,
            "cluster": plain(settings.cluster),
            "network_id": network.network_id,
            "subnet_id": network.subnet_id,
            "pods_range_name": network.pods_range_name,
            "services_range_name": network.services_range_name,
            "labels": settings.labels,
        },
        pulumi.ResourceOptions(providers=[provider], depends_on=[network]),
    )
    kubernetes = k8s.Provider(
        "cluster",
        kubeconfig=cluster.kubeconfig,
        # Without it the provider takes a changed kubeconfig for another cluster and replaces every object.
        cluster_identifier=f"{settings.project}/{settings.region}/{name}",
        enable_server_side_apply=True,
    )
    registry = GcpRegistry(
        name,
        {
            "project": settings.project,
            "region": settings.region,
            "name": name,
            "readers": [cluster.node_service_account],
            "labels": settings.labels,
        },
        on_gcp,
    )
    cache_bucket = GcpModelCache(
        name,
        {
            "project": settings.project,
            "region": settings.region,
            "name": name,
            "cache": plain(settings.model_cache),
            "labels": settings.labels,
        },
        on_gcp,
    )
    pools = {
        pool.name: GcpGpuPool(
            pool.name,
            {
                "project": settings.project,
                "region": settings.region,
                "location": cluster.location,
                "cluster_name": cluster.name,
                "node_service_account": cluster.node_service_account,
                "zones": list(settings.cluster.zones),
                "pool": plain(pool),
                "max_pods_per_node": settings.cluster.max_pods_per_node,
                "labels": settings.labels,
            },
            pulumi.ResourceOptions(providers=[provider, kubernetes], depends_on=[cluster]),
        )
        for pool in settings.pools
    }

    def identity(model: ModelSpec) -> pulumi.Output[dict[str, Any]]:
        return GcpWorkloadIdentity(
            model.name,
            {
                "project": settings.project,
                "name": name,
                "namespace": model.team,
                "service_account": model.name,
                "workload_pool": cluster.workload_pool,
                "bucket_name": cache_bucket.bucket_name,
                "role": "reader",
            },
            on_gcp,
        ).binding

    @cache
    def loader_identity(team: str) -> pulumi.Output[dict[str, Any]] | None:
        if settings.loader is None:
            return None
        return GcpWorkloadIdentity(
            f"{team}-{LOADER_ACCOUNT}",
            {
                "project": settings.project,
                "name": name,
                "namespace": team,
                "service_account": LOADER_ACCOUNT,
                "workload_pool": cluster.workload_pool,
                "bucket_name": cache_bucket.bucket_name,
                "role": "writer",
            },
            on_gcp,
        ).binding

    return Platform(
        kubernetes=kubernetes,
        scheduling={name: pool.scheduling for name, pool in pools.items()},
        reach=network.reach,
        model_cache=lambda _team, _namespace: cache_bucket.volume,
        identity=identity,
        loader_identity=loader_identity,
        reaches=lambda source: source.startswith(("file:", "gs:")),
        outputs={
            "network": {"name": network.network_name, "subnet": network.subnet_name},
            "cluster": {"name": cluster.name, "location": cluster.location, "endpoint": cluster.endpoint},
            "kubeconfig": cluster.kubeconfig,
            "pools": {name: pool.node_pool_names for name, pool in pools.items()},
            "modelCache": cache_bucket.bucket_url,
            "registry": registry.repository_url,
        },
        foundations=(cluster, *pools.values()),
    )


def _ports(stack: Stack) -> list[int]:
    """TCP ports on which the engines of the stack answer, for gateways."""
    names = {served.release.spec.engine.name for model in stack.models for served in model.releases}
    return sorted({engine(name).port for name in names})
