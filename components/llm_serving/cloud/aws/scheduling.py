"""How pods get onto the nodes of a GPU pool on EKS: the contract, from the pool's settings and facts alone."""

from llm_serving import catalog
from llm_serving.cloud.aws.markets import TERMS
from llm_serving.cloud.aws.names import EFA_RESOURCE, GPU_RESOURCE
from llm_serving.contract import LABEL_MARKET, LABEL_POOL, PoolScheduling
from llm_serving.planning.clouds import AWS
from llm_serving.planning.clouds.aws import GPU_TAINT
from llm_serving.planning.purchase_options import non_preemptible_markets
from llm_serving.spec import Toleration
from llm_serving.spec.aws import AwsPoolSpec


def pool_scheduling(pool: AwsPoolSpec, max_pods_per_node: int) -> PoolScheduling:
    """The contract of a pool. Pods select the pool's own label, which Karpenter knows from its NodePools: it takes the
    one of the greatest weight that has room. No pod asks to be left where it is: nodes with pods go for capacity that
    is preferred, where settings say so, and for a new image, one at a time and within disruption budgets.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
        ValueError: for a machine without GPU.
    """
    node = AWS.pool_node(pool, max_pods=max_pods_per_node)
    tainted = sorted({entry.market.value for entry in pool.capacity if TERMS[entry.market].tainted})
    interfaces = [catalog.machine_type(AWS.name, entry.machine_type).efa_interfaces for entry in pool.capacity]
    return PoolScheduling(
        pool=pool.name,
        accelerator=node.gpu_label,
        node_selector={LABEL_POOL: pool.name},
        tolerations=(
            Toleration(key=GPU_TAINT, operator="Exists", effect="NoSchedule"),
            *(Toleration(key=LABEL_MARKET, operator="Equal", value=market, effect="NoSchedule") for market in tainted),
        ),
        gpu_resource=GPU_RESOURCE,
        gpus_per_node=node.gpus,
        network_devices={EFA_RESOURCE: min(interfaces)} if pool.efa else {},
        node_allocatable_cpu=node.cpu,
        node_allocatable_memory_gib=node.memory_gib,
        spot_notice_seconds=AWS.spot_notice_seconds(pool),
        non_preemptible_markets=non_preemptible_markets(pool),
        local_ssd=node.local_ssd_gib > 0,
    )
