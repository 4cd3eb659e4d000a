"""Paths as the programs of a node see them, inside its mount namespace.

The cluster's folder may lie deep; a Unix socket's path has 107 characters at most (unix(7)). So the node's part of
it is mounted at one short place, in a /run that only the namespace sees.
"""

from pathlib import Path

RUN = Path("/run")
STATE = RUN / "llm-serving"
"""Here the node's part of the cluster's folder is mounted: what must survive a restart."""

CONFIGURATION = STATE / "etc"
CONTAINERD = STATE / "containerd"
KUBELET = STATE / "kubelet"
POD_LOGS = STATE / "pod-logs"
VOLUMES = STATE / "volumes"
VOLUME_PLUGINS = STATE / "volume-plugins"
PERSISTENT = (CONFIGURATION, CONTAINERD, KUBELET, POD_LOGS, VOLUMES, VOLUME_PLUGINS)

CONTAINERD_STATE = RUN / "containerd"
CONTAINERD_SOCKET = CONTAINERD_STATE / "containerd.sock"
POD_ADDRESSES = RUN / "pod-addresses"
"""host-local's notes of which address a pod has. Pods get new ones when the node starts."""
POLICY_READY = RUN / "network-policy-ready"

COVERED = (Path("/var/lib/cni"), Path("/var/log/containers"))
"""Folders whose names are fixed in containerd's CNI library and in the kubelet. Empty ones of the namespace's own are
mounted over them.
"""

API_PORT = 6443
PORTS = {
    "apiserver": API_PORT,
    "etcd": 2379,
    "etcd-peer": 2380,
    "controller-manager": 10257,
    "scheduler": 10259,
    "kwok": 10247,
}
"""Ports in a network namespace of the cluster's own need no choosing."""
KUBELET_HEALTH = "http://127.0.0.1:10248/healthz"
PROXY_HEALTH_PORT = 10256
