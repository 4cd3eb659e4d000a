"""What a cluster's scheduler and autoscaler do with pods, as pure functions of Kubernetes objects: whether a pod fits
on a node, which machines a pool gains or loses, in which order pools are tried.

Objects are plain mappings, as they stand in a manifest or come from the API server. Nothing here talks to a cluster,
reads a clock or keeps state: the caller passes the cluster's objects and the time.
"""

from llm_serving.planning.simulation.cluster_autoscaler import ScaleUp, plan_scale_up
from llm_serving.planning.simulation.node_pool import NodePool
from llm_serving.planning.simulation.quantities import parse_quantity
from llm_serving.planning.simulation.scheduling import NodeInfo, pod_requests, rejection_reasons

__all__ = [
    "NodeInfo",
    "NodePool",
    "ScaleUp",
    "parse_quantity",
    "plan_scale_up",
    "pod_requests",
    "rejection_reasons",
]
