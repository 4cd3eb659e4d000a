"""Nodes that are already there, as the contract wants them."""

from typing import Any, NotRequired, TypedDict

import pulumi

from llm_serving.component import Frozen, token, validated
from llm_serving.contract import PoolScheduling
from llm_serving.planning.nodes import gpu_resource
from llm_serving.spec import ExistingPoolSpec

KEEP_IN_PLACE = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""A cluster autoscaler does not evict such a pod to pack nodes (cluster autoscaler FAQ, "What types of pods can prevent
CA from removing a node?"). Drains and upgrades do."""


class TolerationArgs(TypedDict):
    """A toleration; the fields are those of core/v1."""

    key: str
    """Key of the taint."""
    operator: NotRequired[str]
    """`Exists` (the default) or `Equal`."""
    value: NotRequired[str]
    """Value of the taint, with `Equal`."""
    effect: NotRequired[str]
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; left out: all of them."""


class ExistingPoolSpecArgs(TypedDict):
    """A pool of nodes that are already there."""

    name: str
    """Name of the pool."""
    accelerator: str
    """The accelerator's name in the catalog, for example `RTX-A6000`."""
    gpus_per_node: NotRequired[int]
    """Accelerators of one node; all nodes of a pool have the same number. 1 by default."""
    nodes: NotRequired[int]
    """How many nodes there are; 1 by default."""
    cpu: float
    """Cores that pods can use on one node."""
    memory_gib: float
    """Memory that pods can use on one node, in GiB."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes."""
    tolerations: NotRequired[list[TolerationArgs]]
    """Taints of the nodes that pods must tolerate."""
    gpu_resource: NotRequired[str]
    """Extended resource to ask for; left out: the accelerator's own, for example `nvidia.com/gpu`."""


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
        super().__init__(token("ExistingPool"), name, {}, opts)
        scheduling = PoolScheduling(
            pool=pool.name,
            accelerator=pool.accelerator,
            node_selector=pool.node_selector,
            tolerations=pool.tolerations,
            gpu_resource=gpu_resource(pool),
            gpus_per_node=pool.gpus_per_node,
            node_allocatable_cpu=pool.cpu,
            node_allocatable_memory_gib=pool.memory_gib,
            # Whose autoscaler there is, if any, is not known; this one Kubernetes' own and its relatives read.
            pod_annotations=KEEP_IN_PLACE,
        )
        self.scheduling = pulumi.Output.from_input(scheduling.to_data())
        self.register_outputs({"scheduling": self.scheduling})
