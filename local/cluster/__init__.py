"""A real Kubernetes control plane with simulated nodes, one for each cluster that the local clouds pretend to
have.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs; KWOK plays the
kubelets and ``pool_controller`` the cloud's node pools with their autoscaler. On simulated nodes a pod's process never
runs. A cluster may have one real node beside them, this machine (``node``): its pods run. And it may have KEDA with a
Prometheus (``autoscaling``), which scale pods by metrics, and Karpenter with the machines of a local AWS
(``karpenter``).
"""

from llm_serving.planning.simulation import NodePool
from local.cluster.config import AutoscalingOptions, KarpenterOptions, NodeOptions
from local.cluster.control_plane import Endpoint, LocalCluster
from local.cluster.errors import ClusterError

__all__ = [
    "AutoscalingOptions",
    "ClusterError",
    "Endpoint",
    "KarpenterOptions",
    "LocalCluster",
    "NodeOptions",
    "NodePool",
]
