"""A real Kubernetes control plane with simulated nodes, one for each cluster that the local clouds pretend to
have.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs; KWOK plays the
kubelets and ``pool_controller`` the cloud's node pools with their autoscaler. What is missing: containers, so
a pod's process never runs, and a container network.
"""

from local.cluster.control_plane import Endpoint, LocalCluster
from local.cluster.errors import ClusterError
from local.cluster.pools import NodePool

__all__ = ["ClusterError", "Endpoint", "LocalCluster", "NodePool"]
