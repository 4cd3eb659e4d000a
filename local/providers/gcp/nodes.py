"""The nodes of a GKE node pool: capacity, labels and taints as GKE gives them.

Sizes come from the planner's own functions (``llm_serving.planning.clouds``), so that what it says fits is
what the real scheduler is given here. Labels:
https://cloud.google.com/kubernetes-engine/docs/concepts/cluster-autoscaler and
https://cloud.google.com/kubernetes-engine/docs/how-to/gpus (read November 2026), and nodes of real clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_serving import catalog
from llm_serving.catalog import LocalSsd, MachineType, UnknownFact
from llm_serving.planning.clouds import GCP
from llm_serving.planning.clouds.machine_cloud import KERNEL_SHARE
from llm_serving.planning.nodes import GIB_PER_GB
from llm_serving.spec import Market
from local.cluster import NodePool
from local.providers.gcp.cloud import GoogleError
from local.providers.simulated.types import long_number

GPU = "nvidia.com/gpu"
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NO_SCHEDULE"}
COMPUTE_CLASS = "cloud.google.com/compute-class"
_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
}
_KIB_PER_GIB = 1024 * 1024


@dataclass(frozen=True)
class PoolShape:
    """A node pool in the terms of the cloud, ready to become nodes.

    Attributes:
        cluster, project: where it belongs.
        name: of the pool.
        config: ``nodeConfig`` with GKE's defaults.
        zones: where its nodes are.
        min, max: nodes of the whole pool.
        initial: nodes that it starts with; GKE adds none to reach the minimum (kubernetes/autoscaler#2288).
        max_pods: pods of one node.
        streams_images: the cluster's default for image streaming.
        private: nodes without public addresses.
        tainted: GKE adds the GPU taint.
    """

    cluster: str
    project: str
    name: str
    config: Mapping[str, Any]
    zones: tuple[str, ...]
    min: int
    max: int
    max_pods: int
    streams_images: bool = False
    private: bool = False
    tainted: bool = False
    initial: int | None = None

    @property
    def machine(self) -> MachineType:
        """The machine type.

        Raises:
            GoogleError: 400 for one that the catalog does not have.
        """
        return machine(str(self.config["machineType"]), self.zones)

    @property
    def gpus(self) -> int:
        """GPUs that pods of one node can ask for, after sharing and partitioning."""
        accelerators = self.config.get("guestAccelerators") or []
        count = self.machine.gpus
        if not accelerators:
            return count
        first = accelerators[0]
        driver = (first.get("gpuDriverInstallationConfig") or {}).get("gpuDriverVersion")
        if driver == "INSTALLATION_DISABLED":
            return 0  # until somebody installs a driver, the device plugin offers none
        if profile := first.get("gpuPartitionSize"):
            count *= catalog.mig_profiles(self.machine.accelerator or "")[profile].instances
        return count * int((first.get("gpuSharingConfig") or {}).get("maxSharedClientsPerGpu") or 1)

    @property
    def market(self) -> Market:
        """On which terms the nodes are bought."""
        if self.config.get("spot") or self.config.get("preemptible"):
            return Market.SPOT
        if self.config.get("flexStart"):
            return Market.FLEX_START
        affinity = (self.config.get("reservationAffinity") or {}).get("consumeReservationType")
        return Market.RESERVATION if affinity == "SPECIFIC_RESERVATION" else Market.ON_DEMAND

    def taints(self) -> list[dict[str, str]]:
        """``effectiveTaints``, in the cloud's spelling: what was asked for, and what GKE adds."""
        configured = [dict(taint) for taint in self.config.get("taints") or []]
        keys = {taint["key"] for taint in configured}
        added = [GPU_TAINT] if self.tainted and self.machine.gpus and GPU not in keys else []
        return configured + [dict(taint) for taint in added]

    def labels(self) -> dict[str, str]:
        """Labels of a node, without those that depend on its zone."""
        machine = self.machine
        family = machine.name.partition("-")[0]
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/instance-type": machine.name,
            "beta.kubernetes.io/os": "linux",
            "cloud.google.com/gke-boot-disk": str(self.config["diskType"]),
            "cloud.google.com/gke-container-runtime": "containerd",
            "cloud.google.com/gke-cpu-scaling-level": str(machine.vcpus),
            "cloud.google.com/gke-logging-variant": str(self.config.get("loggingVariant") or "DEFAULT"),
            "cloud.google.com/gke-max-pods-per-node": str(self.max_pods),
            "cloud.google.com/gke-memory-gb-scaling-level": str(round(machine.memory_gib)),
            "cloud.google.com/gke-nodepool": self.name,
            "cloud.google.com/gke-os-distribution": (
                "ubuntu" if "ubuntu" in str(self.config["imageType"]).lower() else "cos"
            ),
            "cloud.google.com/gke-provisioning": _PROVISIONING[self.market],
            "cloud.google.com/gke-stack-type": "IPV4",
            "cloud.google.com/machine-family": family,
            "cloud.google.com/private-node": str(self.private).lower(),
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": machine.name,
        }
        if self.config.get("spot"):
            labels["cloud.google.com/gke-spot"] = "true"
        if self.config.get("preemptible"):
            labels["cloud.google.com/gke-preemptible"] = "true"
        if self.config.get("flexStart"):
            labels["cloud.google.com/gke-flex-start"] = "true"
        if (self.config.get("workloadMetadataConfig") or {}).get("mode") == "GKE_METADATA":
            labels["iam.gke.io/gke-metadata-server-enabled"] = "true"
        if self._local_ssd():
            labels["cloud.google.com/gke-ephemeral-storage-local-ssd"] = "true"
        if machine.gpus:
            labels |= self._gpu_labels(machine)
        reservation = self.config.get("reservationAffinity") or {}
        if reservation.get("values"):
            labels["cloud.google.com/reservation-name"] = str(reservation["values"][0]).rpartition("/")[2]
        return labels | dict(self.config.get("labels") or {})

    def _gpu_labels(self, machine: MachineType) -> dict[str, str]:
        accelerators = self.config.get("guestAccelerators") or [{}]
        labels = {
            "cloud.google.com/gke-accelerator": machine.accelerator_label or "",
            "cloud.google.com/gke-accelerator-count": str(machine.gpus),
            "cloud.google.com/gke-gpu": "true",
        }
        driver = (accelerators[0].get("gpuDriverInstallationConfig") or {}).get("gpuDriverVersion", "DEFAULT")
        if driver in ("DEFAULT", "LATEST"):
            labels["cloud.google.com/gke-gpu-driver-version"] = driver.lower()
        if accelerators[0].get("gpuPartitionSize"):
            labels["cloud.google.com/gke-gpu-partition-size"] = str(accelerators[0]["gpuPartitionSize"])
        sharing = accelerators[0].get("gpuSharingConfig") or {}
        if sharing:
            strategy = str(sharing["gpuSharingStrategy"]).lower().replace("_", "-")
            labels["cloud.google.com/gke-gpu-sharing-strategy"] = strategy
            labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(sharing["maxSharedClientsPerGpu"])
        return labels

    def _local_ssd(self) -> bool:
        """Whether ephemeral storage is on local SSD; machines that always have disks put it there."""
        count = (self.config.get("ephemeralStorageLocalSsdConfig") or {}).get("localSsdCount")
        return self.machine.local_ssd is LocalSsd.BUNDLED if count is None else count > 0

    def node_pool(self) -> NodePool:
        """The pool as the local cluster wants it."""
        machine = self.machine
        streams = (self.config.get("gcfsConfig") or {}).get("enabled", self.streams_images)
        disk = float(self.config["diskSizeGb"])
        free = GCP.node_allocatable(
            machine.name,
            max_pods=self.max_pods,
            disk_gb=disk,
            local_ssd=self._local_ssd(),
            image_streaming=bool(streams),
        )
        storage = machine.local_ssd_gib if free.local_ssd_gib else disk * GIB_PER_GB
        gpus = {GPU: str(self.gpus)} if self.gpus else {}
        return NodePool(
            name=self.name,
            min=self.min,
            max=self.max,
            initial=self.initial,
            capacity={
                "cpu": str(machine.vcpus),
                "memory": _kib(machine.memory_gib * (1 - KERNEL_SHARE)),
                "ephemeral-storage": _kib(storage),
                "pods": str(self.max_pods),
                **gpus,
            },
            allocatable={
                "cpu": f"{round(free.cpu * 1000)}m",
                "memory": _kib(free.memory_gib),
                "ephemeral-storage": _kib(free.ephemeral_gib),
                "pods": str(free.pods),
                **gpus,
            },
            zones=self.zones,
            labels=self.labels(),
            taints=tuple(
                {"key": taint["key"], "value": taint["value"], "effect": _EFFECTS[taint["effect"]]}
                for taint in self.taints()
            ),
            compute_class=(self.config.get("labels") or {}).get(COMPUTE_CLASS),
            prefix=self.prefix(),
            provider_id=f"gce://{self.project}/{{zone}}/{{name}}",
        )

    def prefix(self) -> str:
        """Beginning of the names of the pool's machines."""
        digest = f"{long_number(f'{self.project}/{self.cluster}/{self.name}'):x}"[-8:]
        return f"gke-{self.cluster[:20].rstrip('-')}-{self.name[:18].rstrip('-')}-{digest}"

    def group_urls(self, kind: str) -> list[str]:
        """The instance groups (or their managers) of the pool, one a zone."""
        return [
            f"https://www.googleapis.com/compute/v1/projects/{self.project}/zones/{zone}/{kind}/{self.prefix()}-grp"
            for zone in self.zones
        ]


_PROVISIONING = {
    Market.ON_DEMAND: "standard",
    Market.RESERVATION: "standard",
    Market.SPOT: "spot",
    Market.FLEX_START: "flex-start",
}


def machine(name: str, zones: Sequence[str]) -> MachineType:
    """A machine type that all the zones offer.

    Raises:
        GoogleError: 400, as the Compute API answers.
    """
    try:
        offered = catalog.machine_type("gcp", name)
    except UnknownFact as error:
        raise GoogleError(
            400,
            f"Machine type with name '{name}' does not exist in zone '{zones[0]}' (the local cloud knows the machine "
            f"types of the catalog; nearest: {error.nearest})",
            "badRequest",
        ) from None
    for zone in zones:
        if offered.zones and zone not in offered.zones:
            near = [item for item in offered.zones if item.rpartition("-")[0] == zone.rpartition("-")[0]]
            raise GoogleError(
                400,
                f"Machine type with name '{name}' does not exist in zone '{zone}'. Zones of the region that have it: "
                f"{', '.join(near) or 'none'}",
                "badRequest",
            )
    return offered


def node_config(inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """``nodeConfig`` with what GKE fills in."""
    defaults: dict[str, Any] = {
        "machineType": "e2-medium",
        "diskSizeGb": 100,
        "diskType": "pd-balanced",
        "imageType": "COS_CONTAINERD",
        "serviceAccount": "default",
        "loggingVariant": "DEFAULT",
        "localSsdCount": 0,
        "preemptible": False,
        "spot": False,
        "metadata": {"disable-legacy-endpoints": "true"},
        "oauthScopes": [
            "https://www.googleapis.com/auth/devstorage.read_only",
            "https://www.googleapis.com/auth/logging.write",
            "https://www.googleapis.com/auth/monitoring",
            "https://www.googleapis.com/auth/service.management.readonly",
            "https://www.googleapis.com/auth/servicecontrol",
            "https://www.googleapis.com/auth/trace.append",
        ],
        "shieldedInstanceConfig": {"enableIntegrityMonitoring": True, "enableSecureBoot": False},
    }
    return {**defaults, **(inputs or {})}


def check_accelerators(config: Mapping[str, Any], machine: MachineType) -> None:
    """Refuse GPUs that are not those of the machine, and partitions that they cannot have.

    Raises:
        GoogleError: 400, as GKE answers.
    """
    for accelerator in config.get("guestAccelerators") or ():
        kind = str(accelerator["type"]).rpartition("/")[2]
        if kind != machine.accelerator_label or accelerator["count"] != machine.gpus:
            has = f"{machine.gpus} x {machine.accelerator_label}" if machine.gpus else "no GPU"
            raise GoogleError(
                400,
                f"Machine type {machine.name} cannot have {accelerator['count']} x {kind}; it has {has}",
                "badRequest",
            )
        profile = accelerator.get("gpuPartitionSize")
        known = catalog.mig_profiles(machine.accelerator or "")
        if profile and profile not in known:
            raise GoogleError(
                400,
                f"Accelerator {kind} cannot be divided into partitions of size {profile}; it has "
                f"{', '.join(known) or 'no partitions'}",
                "badRequest",
            )


def sizes(known: Mapping[str, Any], zones: int) -> tuple[int, int]:
    """Fewest and most nodes of a pool over all its zones."""
    scaling = known.get("autoscaling") or {}
    fixed = int(known.get("nodeCount", known.get("initialNodeCount", 0)) or 0) * zones
    if scaling.get("totalMaxNodeCount") is not None:
        return int(scaling.get("totalMinNodeCount") or 0), int(scaling["totalMaxNodeCount"])
    if scaling.get("maxNodeCount") is not None:
        return int(scaling.get("minNodeCount") or 0) * zones, int(scaling["maxNodeCount"]) * zones
    return fixed, fixed


def initial_size(known: Mapping[str, Any], zones: int) -> int | None:
    """Nodes with which a pool starts over all its zones; ``None`` where nothing is said of it."""
    each = known.get("initialNodeCount")
    return None if each is None else int(each) * zones


def _kib(gib: float) -> str:
    return f"{int(gib * _KIB_PER_GIB)}Ki"
