"""Command lines of the programs that make a node."""

import sys

from local.cluster import identities
from local.cluster.config import ClusterConfig
from local.cluster.layout import Layout, program
from local.cluster.node import paths, requirements
from local.cluster.processes import LESS_MEMORY, Command

CONTAINERD = "containerd"
KUBELET = "kubelet"


def commands(layout: Layout, config: ClusterConfig) -> tuple[Command, ...]:
    """The node's programs in the order in which they start; none where the cluster has no node.

    Raises:
        ClusterError: one is missing.
    """
    node, slot = config.node, config.slot
    if node is None or slot is None:
        return ()
    containerd = Command(
        CONTAINERD,
        (requirements.find("containerd"), f"--config={paths.CONFIGURATION / 'containerd.toml'}"),
        environment={"PATH": requirements.search_path(), **LESS_MEMORY},
        probe=str(paths.CONTAINERD_SOCKET),
    )
    policy = Command(
        identities.NETWORK_POLICY,
        (
            *(sys.executable, "-m", "local.cluster.network_policy", str(layout.root)),
            f"--pod-range={slot.pods}",
            f"--node={node.name}",
            f"--ready-file={paths.POLICY_READY}",
        ),
        after=("kube-apiserver",),
        environment={"PATH": requirements.search_path()},
        probe=str(paths.POLICY_READY),
    )
    proxy = Command(
        "kube-proxy",
        (str(program("kube-proxy")), f"--config={paths.CONFIGURATION / 'kube-proxy.json'}"),
        after=("kube-apiserver",),
        environment={"PATH": requirements.search_path(), **LESS_MEMORY},
        probe=f"http://127.0.0.1:{paths.PROXY_HEALTH_PORT}/livez",
    )
    provisioner = Command(
        identities.VOLUME_PROVISIONER,
        (sys.executable, "-m", "local.cluster.node.provisioner", str(layout.root)),
        after=("kube-apiserver",),
    )
    labels = [f"--node-labels={','.join(f'{k}={v}' for k, v in sorted(node.labels.items()))}"] if node.labels else []
    kubelet = Command(
        KUBELET,
        (
            str(program("kubelet")),
            f"--config={paths.CONFIGURATION / 'kubelet.json'}",
            f"--kubeconfig={identities.kubeconfig_file(layout, 'kubelet')}",
            f"--root-dir={paths.KUBELET}",
            f"--hostname-override={node.name}",
            f"--node-ip={slot.node}",
            *labels,
        ),
        # Not before the policies: a pod would else run for a moment without them.
        after=("kube-apiserver", CONTAINERD, identities.NETWORK_POLICY),
        environment={"PATH": requirements.search_path(), **LESS_MEMORY},
        probe=paths.KUBELET_HEALTH,
    )
    return (containerd, policy, proxy, provisioner, kubelet)


def apiserver_flags(layout: Layout) -> list[str]:
    """What the API server needs to know of kubelets: logs, exec and port-forward go through it to them."""
    keys = layout.certificates
    return [
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
        f"--kubelet-client-key={keys / 'kubelet-client.key'}",
    ]
