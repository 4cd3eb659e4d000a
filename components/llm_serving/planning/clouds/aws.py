"""Amazon Web Services: EKS nodes, Spot Instances, zones."""

import re
from math import ceil

from llm_serving.catalog import MachineType
from llm_serving.contract import LABEL_MARKET, LABEL_POOL
from llm_serving.planning.clouds.cloud import BalancedService
from llm_serving.planning.clouds.machine_cloud import MachineCloud, reserved_cores
from llm_serving.planning.host import SidecarRequests
from llm_serving.spec import GpuNodesSpec, LoadBalancerSpec, Market, Pool, Toleration
from llm_serving.spec.forms import ACM_CERTIFICATE

INTERRUPTION_NOTICE_SECONDS = 120
"""EC2 documentation, "Spot Instance interruption notices"."""

GPU_TAINT = "nvidia.com/gpu"
"""Key of the taint that keeps pods without GPU from GPU nodes; its value is ``present``, as GKE's."""

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
_DNS_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}


def partition(region: str) -> str:
    """Partition of a region, the second part of every ARN (AWS documentation, "Partitions")."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def dns_suffix(region: str) -> str:
    """End of the host names of AWS in a region, one a partition (botocore, ``partitions.json``)."""
    return _DNS_SUFFIXES.get(partition(region), "amazonaws.com")


def repository_url(account: str, region: str, prefix: str) -> str:
    """Host and path in front of an image's name in a private registry of ECR.

    Args:
        account: number of the registry's account.
        region: its region.
        prefix: what the names of its repositories begin with: those of a stack, or those of a pull-through rule.
    """
    return f"{account}.dkr.ecr.{region}.{dns_suffix(region)}/{prefix}"


_BALANCER = "service.beta.kubernetes.io/aws-load-balancer"


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
    title = "AWS"
    # Flex-start nodes end after seven days, those of a capacity block when its time is over; neither is taken away.
    similar_markets = {Market.FLEX_START: Market.CAPACITY_BLOCK}
    # Karpenter refuses labels of the first two on a NodePool (its documentation, "NodePools", spec.template.metadata).
    reserved_label_domains = ("karpenter.sh", "karpenter.k8s.aws", "eks.amazonaws.com", "vpc.amazonaws.com")
    # Amazon's own add-ons, and Mountpoint's pods (mountpoint-s3-csi-driver, docs/CONFIGURATION.md).
    reserved_namespaces = ("amazon-", "aws-", "karpenter", "mount-s3")
    reservation_form = "its id: cr- and 17 hexadecimal digits"
    # On a GPU node: network, kube-proxy, pod identity, disk and S3 drivers, device plugins of GPUs and of EFA, a node
    # exporter, a DCGM exporter; and one of Mountpoint's pods for each of eight engines. An assumption on the safe side.
    daemon_pods = 9 + 8
    # Endpoints of AWS in the network answer under the services' own names (private DNS), S3 by a route of its own.
    private_domains = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")
    balancer_certificate = ACM_CERTIFICATE

    def exporter_nodes(self, pool: Pool) -> GpuNodesSpec:
        """By the label of the pool; nodes have the taint of GPUs, those of Spot capacity that of their market too."""
        taints = (GPU_TAINT, LABEL_MARKET)
        return GpuNodesSpec(
            node_selector={LABEL_POOL: pool.name},
            tolerations=tuple(Toleration(key=key, operator="Exists", effect="NoSchedule") for key in taints),
        )

    def load_balancer(self, balancer: LoadBalancerSpec, certificate: str | None = None) -> BalancedService:
        """A Network Load Balancer: of EKS' own controller, or of the AWS Load Balancer Controller where a cluster has
        it, which is told the network by ``scheme``.

        It drops a connection after 350 s without a packet; TCP keep-alives are packets, and Traefik sends one every
        three minutes, however long an engine thinks (AWS documentation, "Listeners for your Network Load Balancers",
        connection idle timeout; read 2026-11-29).
        """
        annotations = {
            f"{_BALANCER}-type": "nlb",
            f"{_BALANCER}-scheme": "internet-facing" if balancer.public else "internal",
            # An address of each zone, and pods in some of them.
            f"{_BALANCER}-cross-zone-load-balancing-enabled": "true",
        }
        if not balancer.public:
            annotations[f"{_BALANCER}-internal"] = "true"
        if balancer.addresses:
            annotations[f"{_BALANCER}-eip-allocations"] = ",".join(balancer.addresses)
        if certificate is not None:
            annotations[f"{_BALANCER}-ssl-cert"] = certificate
            annotations[f"{_BALANCER}-ssl-ports"] = "443"
        return BalancedService(annotations)

    def refuse_addresses(self, balancer: LoadBalancerSpec) -> str | None:
        """A load balancer of the internet has an Elastic IP address in each zone; clients find it by its name."""
        if balancer.addresses and not balancer.public:
            return "an internal load balancer of AWS has a name, whose addresses AWS chooses: DNS leads to the name"
        if not all(re.fullmatch(r"eipalloc-[0-9a-f]{8,17}", address) for address in balancer.addresses):
            return "not the allocation of an Elastic IP address: eipalloc-..., one for each zone"
        return None

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
