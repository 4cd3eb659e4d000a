"""What nodes on EKS start from: the image, its disks, and what it is told when it starts.

The images of a release exist for every Kubernetes version that EKS then supports, so that one pin fits all of them;
another one makes every node of Karpenter anew, one at a time.
"""

import base64
import math
from collections.abc import Mapping
from typing import Any

from llm_serving.cloud.aws.nodes import user_data
from llm_serving.spec.aws import AwsNodeImage

RELEASES = {
    # github.com/awslabs/amazon-eks-ami/releases, "AMI Release v20261023", read 2026-11-29: Kubernetes 1.31 to 1.37.
    AwsNodeImage.AL2023: "v20261023",
    # github.com/bottlerocket-os/bottlerocket/releases, v1.67.0 of 2026-10-13, read 2026-11-29; 1.68.0 is a pre-release.
    AwsNodeImage.BOTTLEROCKET: "1.67.0",
}
"""The release of each image that nodes of Karpenter start from."""

GPU_AMI_TYPES = {
    AwsNodeImage.AL2023: "AL2023_x86_64_NVIDIA",
    AwsNodeImage.BOTTLEROCKET: "BOTTLEROCKET_x86_64_NVIDIA",
}
"""The same images as managed node groups call them (EKS API, ``amiType``); EKS knows their releases."""

SYSTEM_VOLUME_GIB = 4
"""Bottlerocket keeps itself on a volume of its own, and images and pods on the next (Bottlerocket documentation)."""

THROUGHPUT_MIB = 500
"""Of a boot disk, in MiB/s, at gp3's 3,000 operations a second, which allow up to 750 (EBS documentation, "General
Purpose SSD volumes"). With gp3's own 125 an image of 10 GB takes as long again to unpack as a model to load."""

_INSTANCE_STORAGE_FOLDERS = ("/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods")


def alias(image: AwsNodeImage) -> str:
    """The image as an ``EC2NodeClass`` of Karpenter names it. Karpenter takes the variant with NVIDIA's driver for
    machines with such a GPU by itself."""
    return f"{image.value}@{RELEASES[image]}"


def volumes(image: AwsNodeImage, disk_gb: int) -> list[tuple[str, int]]:
    """Device and size in GiB of each volume of a node, whose disk for images and pods has ``disk_gb`` GB."""
    # EBS counts in GiB.
    size = math.ceil(disk_gb * 1000**3 / 1024**3)
    if image is AwsNodeImage.BOTTLEROCKET:
        return [("/dev/xvda", SYSTEM_VOLUME_GIB), ("/dev/xvdb", size)]
    return [("/dev/xvda", size)]


def start_settings(
    image: AwsNodeImage, max_pods: int, reserved: Mapping[str, str], *, local_ssd: bool, clients: int | None
) -> str:
    """What a GPU node of a managed node group is told beside what EKS tells it: user data of EC2, base64.

    Args:
        image: what it starts from.
        max_pods: most pods on it.
        reserved: what the kubelet keeps of it.
        local_ssd: put images and pods on its local SSDs, as one array.
        clients: pods that share each GPU; ``None`` where none do.
    """
    if image is AwsNodeImage.BOTTLEROCKET:
        return base64.b64encode(_toml(max_pods, reserved, local_ssd, clients).encode()).decode()
    storage = {"instance": {"localStorage": {"strategy": "RAID0"}}} if local_ssd else {}
    return user_data({"kubelet": {"config": {"maxPods": max_pods, "kubeReserved": dict(reserved)}}, **storage})


def _toml(max_pods: int, reserved: Mapping[str, str], local_ssd: bool, clients: int | None) -> str:
    """Settings of Bottlerocket, which brings NVIDIA's device plugin along (Bottlerocket documentation,
    "settings.bootstrap-commands", "settings.kubelet-device-plugins")."""
    kept = "".join(f'{name} = "{quantity}"\n' for name, quantity in reserved.items())
    parts = [f"[settings.kubernetes]\nmax-pods = {max_pods}\n", f"[settings.kubernetes.kube-reserved]\n{kept}"]
    if local_ssd:
        folders = ", ".join(f'"{folder}"' for folder in _INSTANCE_STORAGE_FOLDERS)
        parts.append(
            "[settings.bootstrap-commands.000-instance-storage]\n"
            f'commands = [["apiclient", "ephemeral-storage", "init"], '
            f'["apiclient", "ephemeral-storage", "bind", "--dirs", {folders}]]\n'
            'essential = true\nmode = "always"\n'
        )
    if clients is not None:
        plugin = "settings.kubelet-device-plugins.nvidia"
        parts.append(
            f'[{plugin}]\ndevice-sharing-strategy = "time-slicing"\n\n'
            f"[{plugin}.time-slicing]\nreplicas = {clients}\nrename-by-default = false\n"
        )
    return "\n".join(parts)


def node_class_volumes(image: AwsNodeImage, disk_gb: int) -> list[dict[str, Any]]:
    """:func:`volumes` as an ``EC2NodeClass`` has them."""
    return [
        {
            "deviceName": device,
            "ebs": {
                "volumeSize": f"{size}Gi",
                "volumeType": "gp3",
                "throughput": THROUGHPUT_MIB,
                "encrypted": True,
                "deleteOnTermination": True,
            },
        }
        for device, size in volumes(image, disk_gb)
    ]
