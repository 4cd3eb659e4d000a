"""Amazon Web Services: EKS nodes, Spot Instances, zones. The catalog knows its machines; no stack runs there yet."""

from math import ceil

from llm_serving.catalog import MachineType
from llm_serving.planning.clouds.machine_cloud import MachineCloud, reserved_cores
from llm_serving.planning.host import SidecarRequests
from llm_serving.spec import Market, Pool

INTERRUPTION_NOTICE_SECONDS = 120
"""EC2 documentation, "Spot Instance interruption notices"."""


def dns_suffix(region: str) -> str:
    """End of the host names of AWS in a region: China has one of its own (AWS documentation, "Partitions")."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def repository_url(account: str, region: str, prefix: str) -> str:
    """Host and path in front of an image's name in a private registry of ECR.

    Args:
        account: number of the registry's account.
        region: its region.
        prefix: what the names of its repositories begin with: those of a stack, or those of a pull-through rule.
    """
    return f"{account}.dkr.ecr.{region}.{dns_suffix(region)}/{prefix}"


class Aws(MachineCloud):
    """Formulas of the EKS AMI, as Karpenter takes them too: a pod that it finds too large for a node gets none."""

    name = "aws"
    markets = frozenset({Market.ON_DEMAND, Market.SPOT, Market.RESERVATION, Market.CAPACITY_BLOCK})
    # What Karpenter takes off before it has seen such a machine (its chart, ``settings.vmMemoryOverheadPercent``).
    kernel_share = 0.075
    # The pod in which the driver of the model cache runs Mountpoint for Amazon S3; in 4 GiB it reads as fast as most
    # networks are (github.com/awslabs/mountpoint-s3-csi-driver, docs/MEMORY.md). Its cache is on the node's ephemeral
    # storage and holds every file that a pod reads.
    cache_sidecar = SidecarRequests(cpu=1, memory_gib=4, caches_weights=True)

    def notice_seconds(self, pool: Pool) -> int:
        """The same for every instance."""
        return INTERRUPTION_NOTICE_SECONDS

    def reserved_memory_gib(self, machine: MachineType, max_pods: int, image_streaming: bool) -> float:
        """As :meth:`kube_reserved` says."""
        return _reserved_mib(max_pods) / 1024

    def kube_reserved(self, machine: MachineType, max_pods: int) -> dict[str, str]:
        """``kubeReserved`` of a node's kubelet: nodeadm's formula for the pods that the node may have. By itself
        nodeadm, and Karpenter with it, counts those that the machine has addresses for: up to 8 GiB more."""
        return {
            "cpu": f"{ceil(reserved_cores(machine) * 1000)}m",
            "memory": f"{_reserved_mib(max_pods)}Mi",
            "ephemeral-storage": "1Gi",
        }

    def ephemeral_gib(self, disk_gib: float, ssd_gib: float, disks: int) -> float:
        """1 GiB reserved, 10 % for eviction (``nodefs.available``)."""
        return (ssd_gib if disks else disk_gib) * 0.9 - 1


def _reserved_mib(max_pods: int) -> int:
    return 255 + 11 * max_pods


AWS = Aws()
