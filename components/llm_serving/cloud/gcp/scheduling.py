"""How pods get onto the nodes of a GKE GPU pool: the contract, from the pool's settings and facts alone."""

from llm_serving.cloud.gcp.markets import TERMS
from llm_serving.cloud.gcp.names import (
    COMPUTE_CLASS_LABEL,
    GPU_CLIENTS_LABEL,
    GPU_PARTITION_LABEL,
    GPU_SHARING_LABEL,
    GPU_TAINT,
)
from llm_serving.contract import LABEL_MARKET, PoolScheduling
from llm_serving.planning.clouds import GCP
from llm_serving.planning.purchase_options import non_preemptible_markets
from llm_serving.spec import SharingSpec, Toleration
from llm_serving.spec.gcp import GcpPoolSpec


def pool_scheduling(pool: GcpPoolSpec, max_pods_per_node: int) -> PoolScheduling:
    """The contract of a pool. Pods select the compute class, so that GKE adds nodes in the pool's order of preference,
    and tolerate the taints of every capacity entry. Those that share GPUs select the way of sharing too, as GKE wants
    it (GKE documentation, "Share GPUs with multiple workloads using GPU time-sharing", "Run multi-instance GPUs").

    Raises:
        UnknownFact: for a machine type or a MIG profile that is not in the catalog.
        ValueError: for a machine without GPU.
    """
    node = GCP.pool_node(pool, max_pods=max_pods_per_node)
    tainted = sorted({entry.market.value for entry in pool.capacity if TERMS[entry.market].tainted})
    return PoolScheduling(
        pool=pool.name,
        accelerator=node.gpu_label,
        node_selector={COMPUTE_CLASS_LABEL: pool.name, **_sharing_labels(pool.sharing)},
        tolerations=(
            Toleration(key=COMPUTE_CLASS_LABEL, operator="Equal", value=pool.name, effect="NoSchedule"),
            Toleration(key=GPU_TAINT, operator="Exists", effect="NoSchedule"),
            *(Toleration(key=LABEL_MARKET, operator="Equal", value=market, effect="NoSchedule") for market in tainted),
        ),
        gpu_resource="nvidia.com/gpu",
        gpus_per_node=node.gpus,
        node_allocatable_cpu=node.cpu,
        node_allocatable_memory_gib=node.memory_gib,
        spot_notice_seconds=GCP.spot_notice_seconds(pool),
        non_preemptible_markets=non_preemptible_markets(pool),
        local_ssd=node.local_ssd_gib > 0,
    )


def _sharing_labels(sharing: SharingSpec | None) -> dict[str, str]:
    """Labels that GKE gives to nodes whose GPUs are shared so."""
    if sharing is None:
        return {}
    if sharing.partition is not None:
        return {GPU_PARTITION_LABEL: sharing.partition}
    return {GPU_SHARING_LABEL: str(sharing.strategy), GPU_CLIENTS_LABEL: str(sharing.clients)}
