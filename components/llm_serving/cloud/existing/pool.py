"""Existing nodes, as the contract describes them."""

from typing import Any, TypedDict

import pulumi

from llm_serving.cloud.existing.arguments import ExistingPoolSpecArgs
from llm_serving.component import Frozen, to_input_errors, token, validated
from llm_serving.contract import PoolScheduling
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.nodes import gpu_resource
from llm_serving.planning.rules.sharing import check_pool_sharing
from llm_serving.spec import ExistingPoolSpec

KEEP_IN_PLACE = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""A cluster autoscaler does not evict such a pod to pack nodes (cluster autoscaler FAQ, "What types of pods can prevent
CA from removing a node?"). Drains and upgrades do."""


class ExistingPoolArgs(TypedDict):
    """Arguments of `ExistingPool`."""

    pool: ExistingPoolSpecArgs
    """The pool."""


class ExistingPoolInputs(Frozen):
    """Arguments of :class:`ExistingPool`, validated."""

    pool: ExistingPoolSpec


class ExistingPool(pulumi.ComponentResource):
    """Nodes that are already there. Creates nothing."""

    scheduling: pulumi.Output[dict[str, Any]]
    """How a pod gets onto the nodes (contract `PoolScheduling`)."""

    def __init__(self, name: str, args: ExistingPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        pool = validated(ExistingPoolInputs, args, "ExistingPool", name).pool
        if pool.sharing is not None and (problems := [*check_pool_sharing("pool", pool, pool.sharing)]):
            raise to_input_errors(ProblemsError(problems, f"ExistingPool {name!r}"))
        node = EXISTING.pool_node(pool)
        super().__init__(token("ExistingPool"), name, {}, opts)
        scheduling = PoolScheduling(
            pool=pool.name,
            accelerator=node.gpu_label,
            node_selector=pool.node_selector,
            tolerations=pool.tolerations,
            gpu_resource=gpu_resource(pool),
            gpus_per_node=node.gpus,
            node_allocatable_cpu=pool.cpu,
            node_allocatable_memory_gib=pool.memory_gib,
            # Whose autoscaler there is, if any, is not known; this one Kubernetes' own and its relatives read.
            pod_annotations=KEEP_IN_PLACE,
        )
        self.scheduling = pulumi.Output.from_input(scheduling.to_data())
        self.register_outputs({"scheduling": self.scheduling})
