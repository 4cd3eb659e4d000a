"""How pods get onto the nodes of a GKE GPU pool: the contract, from the pool's settings and facts alone."""

from llm_serving.cloud.gcp.markets import TERMS
from llm_serving.cloud.gcp.names import COMPUTE_CLASS_LABEL, GPU_TAINT
from llm_serving.contract import LABEL_MARKET, PoolScheduling
from llm_serving.planning.clouds import GCP
from llm_serving.planning.purchase_options import non_preemptible_markets
from llm_serving.spec import Toleration
from llm_serving.spec.gcp import GcpPoolSpec


def pool_scheduling(pool: GcpPoolSpec, max_pods_per_node: int) -> PoolScheduling:
    """The contract of a pool. Pods select the compute class, so that GKE adds nodes in the pool's order of preference,
    and tolerate the taints of every capacity entry.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
        ValueError: for a machine without GPU.
    """
    node = GCP.pool_node(pool, max_pods=max_pods_per_node)
    tainted = sorted({entry.market.value for entry in pool.capacity if TERMS[entry.market].tainted})
    return PoolScheduling(
        pool=pool.name,
        accelerator=pool.accelerator,
        node_selector={COMPUTE_CLASS_LABEL: pool.name},
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
