"""An existing cluster: its nodes are what their owner says, and none is bought or taken away."""

from collections.abc import Mapping

from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.gpu_sharing import share_gpus
from llm_serving.planning.nodes import DEFAULT_MAX_PODS, NodeShape
from llm_serving.spec import ExistingPoolSpec, GpuNodesSpec, Pool


class Existing(Cloud):
    """On-premises machines, kind, or a cluster that somebody else runs."""

    name = "existing"
    makes_model_cache = False
    has_workload_identity = False
    chooses_balancer_network = False

    def pool_node(self, pool: Pool, *, max_pods: int = DEFAULT_MAX_PODS) -> NodeShape:
        """The sizes are what the owner says pods can request."""
        if not isinstance(pool, ExistingPoolSpec):
            raise ValueError(f"pool {pool.name} is not of nodes that are already there")
        node = NodeShape(
            accelerator=pool.accelerator, gpus=pool.gpus_per_node, cpu=pool.cpu, memory_gib=pool.memory_gib
        )
        return share_gpus(node, pool.sharing)

    def exporter_nodes(self, pool: Pool) -> GpuNodesSpec | None:
        """By the labels and taints that the owner names."""
        if not isinstance(pool, ExistingPoolSpec) or not pool.node_selector:
            return None
        return GpuNodesSpec(node_selector=pool.node_selector, tolerations=pool.tolerations)

    def gpu_nodes(self) -> Mapping[str, NodeShape]:
        """Nobody sells machines here."""
        return {}


EXISTING = Existing()
