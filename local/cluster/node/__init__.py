"""A real Kubernetes node of this machine, for a local cluster whose pods are to run.

Everything of such a cluster - etcd, control plane, KWOK, and containerd, kubelet, kube-proxy, the network-policy
enforcer, the volume provisioner and every pod - lives in one pid, mount and network namespace. Ending that
namespace's first process ends all of it, and nothing of the machine's own firewall, mounts or kernel settings is
touched. What a node does put on the machine (a link with its routes, a cgroup folder, empty mount points) is
removed when it stops, and by the next start or stop where it was killed.

Linux and root only. Pods reach each other and Services, and nothing beyond the machine.
"""
