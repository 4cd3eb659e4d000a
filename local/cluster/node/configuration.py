"""Files that the node's programs read: containerd, CNI, kubelet, kube-proxy.

Their settings leave the machine alone: no AppArmor profiles, no kernel settings, no process made more killable or
less than the one that started the node.
"""

import json
from typing import Any

from local.cluster.config import NodeConfig
from local.cluster.layout import Layout
from local.cluster.node import archives, paths, requirements
from local.cluster.node.addresses import AddressSlot
from stacks.files import write_atomically, write_json


def write(layout: Layout, node: NodeConfig, slot: AddressSlot) -> None:
    """Write all of them.

    Raises:
        ClusterError: a program that they name is missing.
    """
    folder = layout.node / paths.CONFIGURATION.name
    write_atomically(folder / "containerd.toml", containerd(archives.pause().reference))
    write_json(folder / "cni" / "10-pods.conflist", cni(slot))
    write_json(folder / "kubelet.json", kubelet(layout, node, slot))
    write_json(folder / "kube-proxy.json", kube_proxy(layout, node, slot))
    write_atomically(folder / "resolv.conf", "")


def containerd(pause: str) -> str:
    """containerd's configuration, of version 2: read by containerd 1.6, 1.7 and 2."""
    settings: dict[str, dict[str, Any]] = {
        "grpc": {"address": str(paths.CONTAINERD_SOCKET)},
        'plugins."io.containerd.internal.v1.opt"': {"path": str(paths.CONTAINERD / "opt")},
        'plugins."io.containerd.grpc.v1.cri"': {
            "sandbox_image": pause,
            # Root of a container or of a small virtual machine may lack CAP_SYS_RESOURCE: no score below one's own.
            "restrict_oom_score_adj": True,
            "disable_apparmor": True,
            "tolerate_missing_hugetlb_controller": True,
        },
        'plugins."io.containerd.grpc.v1.cri".containerd': {
            "default_runtime_name": "runc",
            "discard_unpacked_layers": True,
        },
        'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc': {"runtime_type": "io.containerd.runc.v2"},
        'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options': {
            "BinaryName": requirements.find("runc"),
            "SystemdCgroup": False,
        },
        'plugins."io.containerd.grpc.v1.cri".cni': {
            "bin_dir": str(requirements.cni_plugins()),
            "conf_dir": str(paths.CONFIGURATION / "cni"),
        },
    }
    top = {
        "version": 2,
        "root": str(paths.CONTAINERD),
        "state": str(paths.CONTAINERD_STATE),
        "oom_score": 0,
        "disabled_plugins": [
            f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")
        ],
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for table, values in settings.items():
        lines += ["", f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def cni(slot: AddressSlot) -> dict[str, Any]:
    """The pod network: a link for each pod (``ptp``), so that whatever a pod sends is routed by the node and seen by
    its network policies. No default route: nothing leaves the machine. No ``portmap``: host ports are not served.
    """
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(paths.POD_ADDRESSES),
                    "ranges": [[{"subnet": str(slot.pods)}]],
                    "routes": [{"dst": str(slot.services)}, {"dst": str(slot.link)}],
                },
            },
        ],
    }


def kubelet(layout: Layout, node: NodeConfig, slot: AddressSlot) -> dict[str, Any]:
    """The kubelet's configuration."""
    keys = layout.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(slot.node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(keys / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(keys / "kubelet.crt"),
        "tlsPrivateKeyFile": str(keys / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{paths.CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{slot.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "maxPods": node.max_pods,
        "clusterDomain": "cluster.local",
        "clusterDNS": [str(slot.dns)],
        "resolvConf": str(paths.CONFIGURATION / "resolv.conf"),
        "podLogsDir": str(paths.POD_LOGS),
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 2,
        "volumePluginDir": str(paths.VOLUME_PLUGINS),
        # Nothing about disks: a kubelet that finds one full removes images first, among them the pause image, and no
        # registry would give them back. Not named is off (mergeDefaultEvictionSettings is false by default).
        "evictionHard": {"memory.available": "200Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "imageMinimumGCAge": "87600h",
        "nodeStatusUpdateFrequency": "5s",
    }


def kube_proxy(layout: Layout, node: NodeConfig, slot: AddressSlot) -> dict[str, Any]:
    """kube-proxy's configuration: nftables, and no settings of connection tracking, which are the machine's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": str(slot.pods),
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": str(layout.credentials / "kube-proxy.kubeconfig")},
        "healthzBindAddress": f"127.0.0.1:{paths.PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
    }
