"""Google Cloud: GKE nodes, Spot VMs, GCS FUSE, zones and quotas."""

from llm_serving.catalog import MachineType
from llm_serving.planning.clouds.cloud import BalancedService
from llm_serving.planning.clouds.machine_cloud import MachineCloud
from llm_serving.planning.host import SidecarRequests
from llm_serving.planning.nodes import by_bracket
from llm_serving.spec import GpuExporterSpec, LoadBalancerSpec, Market, Pool
from llm_serving.spec.gcp import LONGEST_SPOT_SHUTDOWN_SECONDS, SPOT_SHUTDOWN_SECONDS, GcpPoolSpec

CRITICAL_PODS_SECONDS = 15
"""The end of a Spot node's shutdown, which the kubelet keeps for system pods: GKE's default, and what we ask for. No
other pod gets it, whatever its grace period says (GKE documentation, "Spot VMs", termination and graceful shutdown)."""

_COMPUTE_CLASS = "GKE has a ComputeClass of this name"
_COMPUTE_CLASS_PREFIX = "a pool is a ComputeClass, and GKE keeps names that begin with {} for its own"

_GIB_BRACKETS = (4.0, 4.0, 8.0, 112.0, float("inf"))
_MEMORY_SHARES = (0.25, 0.20, 0.10, 0.06, 0.02)
_STREAMING_SHARES = (0.10, 0.08, 0.04, 0.024, 0.008)


def initial_nodes_per_zone(least: int, zones: int) -> int:
    """Nodes of each zone with which a pool of at least ``least`` nodes starts. GKE makes as many in every zone, so this
    is rounded down: rounded up they could be more than the pool's maximum and quota, and one zone without capacity
    would make the creation of the whole pool fail."""
    return least // zones if zones else 0


_REGISTRY = "-docker.pkg.dev"
"""End of the host names of Artifact Registry, behind a repository's location."""


def registry_location(repository: str) -> str | None:
    """Where a repository of Artifact Registry is; ``None`` for one of another registry."""
    host = repository.partition("/")[0]
    return host.removesuffix(_REGISTRY) if host.endswith(_REGISTRY) else None


def repository_url(region: str, project: str, name: str) -> str:
    """Host and path in front of an image's name in a repository of Artifact Registry."""
    # A project of a domain, "example.com:project".
    return f"{region}{_REGISTRY}/{project.replace(':', '/')}/{name}"


class Gcp(MachineCloud):
    """A pool is one GKE node pool for each of its capacity entries, under one ComputeClass of the pool's name."""

    name = "gcp"
    markets = frozenset({Market.ON_DEMAND, Market.SPOT, Market.RESERVATION, Market.FLEX_START})
    title = "Google Cloud"
    # Both are booked ahead, for a time.
    similar_markets = {Market.CAPACITY_BLOCK: Market.RESERVATION}
    reserved_label_domains = ("cloud.google.com",)
    zone_separator = "-"
    # ``default`` is the class of pods that select none (GKE documentation, "About GKE ComputeClasses").
    most_gpu_clients = 48  # GKE documentation, "About GPU time-sharing", and its ComputeClass: 2 to 48
    reserved_pool_names = {"default": _COMPUTE_CLASS}
    # GKE documentation, "ComputeClass CustomResourceDefinition", metadata.name.
    reserved_pool_prefixes = {prefix: _COMPUTE_CLASS_PREFIX.format(prefix) for prefix in ("gke", "autopilot")}
    # GKE documentation, "Use Image streaming to pull container images": those of standard and remote repositories of
    # Artifact Registry in the nodes' region. Our node pools have it on. It names public images of Docker Hub too, which
    # are not counted: nothing says from which region.
    streaming_registry = ".pkg.dev"
    # The GCS FUSE container, which the model cache gives these sizes: its defaults of 250m and 256 MiB throttle the
    # loading of weights. Its file cache is on the node's ephemeral storage and holds every file that a pod reads.
    cache_sidecar = SidecarRequests(cpu=1, memory_gib=4, storage_gib=5, caches_weights=True)
    # GKE's on a GPU node: network (2), metadata server, DNS cache, logs, metrics (3), disk and FUSE drivers,
    # masquerading, image streaming, device plugin; and a DCGM exporter. An assumption on the safe side.
    daemon_pods = 14
    # It counts every market, and it is 0 in new projects.
    all_regions_gpu_quota = "GPUS_ALL_REGIONS"
    # GKE's device plugin mounts the driver there, and does no more: no linker looks there unless an image says so (GKE
    # documentation, "Run GPUs in GKE Standard node pools", about the CUDA-X libraries; github.com/GoogleCloudPlatform/
    # container-engine-accelerators, cmd/nvidia_gpu, ``-container-path``; read 2026-11-28).
    driver_libraries = "/usr/local/nvidia/lib64"
    # The network resolves both to its private addresses (Private Google Access).
    private_domains = (".googleapis.com", ".pkg.dev")
    # GKE installs it with the component DCGM of a cluster's monitoring, and sends what it says to its own service (GKE
    # documentation, "Collect and view DCGM metrics"). Its pods answer whoever scrapes them: the guide to autoscaling by
    # GPU metrics in github.com/kubernetes/examples, AI/vllm-deployment/hpa, reads them so. Read 2026-11-29.
    gpu_exporter = GpuExporterSpec(
        namespace="gke-managed-system",
        pods={"app.kubernetes.io/name": "gke-managed-dcgm-exporter"},
        port="metrics",
    )

    def load_balancer(self, balancer: LoadBalancerSpec, certificate: str | None = None) -> BalancedService:
        """A passthrough Network Load Balancer, internal or with a backend service: it changes no packet, so clients
        keep their addresses and no time-out of its own ends a quiet stream (GKE documentation, "LoadBalancer Service
        parameters"; Google Cloud documentation, "Backend service-based external passthrough Network Load Balancer
        overview"; read 2026-11-29)."""
        annotations = (
            {"cloud.google.com/l4-rbs": "enabled"}
            if balancer.public
            else {"networking.gke.io/load-balancer-type": "Internal"}
        )
        return BalancedService(annotations, next(iter(balancer.addresses), None))

    def notice_seconds(self, pool: Pool) -> int:
        """What a Spot node takes to end, less what the kubelet keeps of it."""
        return _gke(pool).spot_shutdown_seconds - CRITICAL_PODS_SECONDS

    def longer_notice(self, pool: Pool) -> str:
        """The longer one of the two periods that GKE allows."""
        if _gke(pool).spot_shutdown_seconds != SPOT_SHUTDOWN_SECONDS:
            return ""
        return f"spotShutdownSeconds {LONGEST_SPOT_SHUTDOWN_SECONDS} in the pool"

    def reserved_memory_gib(self, machine: MachineType, max_pods: int, image_streaming: bool) -> float:
        """GKE documentation: "Plan GKE Standard node sizes" and "Use Image streaming", memory reservation for it."""
        memory = self.visible_gib(machine)
        if memory < 1:
            return 255 / 1024
        kept = by_bracket(memory, _GIB_BRACKETS, _MEMORY_SHARES)
        return kept + (by_bracket(memory, _GIB_BRACKETS, _STREAMING_SHARES) if image_streaming else 0)

    def ephemeral_gib(self, disk_gib: float, ssd_gib: float, disks: int) -> float:
        """GKE documentation, "Plan GKE Standard node sizes": of a boot disk 10 % for eviction and the least of 50 %,
        6 GiB + 35 % and 100 GiB for the system; of local SSDs 10 % and 50, 75 or 100 GiB for 1, 2 or more disks."""
        if disks:
            system = {1: 50.0, 2: 75.0}.get(disks, 100.0)
            return ssd_gib * 0.9 - system
        return disk_gib * 0.9 - min(disk_gib * 0.5, 6 + disk_gib * 0.35, 100.0)


def _gke(pool: Pool) -> GcpPoolSpec:
    if not isinstance(pool, GcpPoolSpec):
        raise ValueError(f"pool {pool.name} is not one of GKE")
    return pool


GCP = Gcp()
