"""The nodes of a managed node group: capacity, labels and taints as EKS gives them.

Sizes come from the planner's own functions (``llm_serving.planning.clouds``), so that what it says fits is what the
real scheduler is given here. Labels: EKS documentation, "Managed node groups", and nodes of real clusters.
"""

import base64
import email
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from llm_serving import catalog
from llm_serving.catalog import MachineType, UnknownFact
from llm_serving.planning.clouds import AWS
from llm_serving.planning.nodes import GIB_PER_GB
from local.cluster import NodePool
from local.providers.aws.cloud import AwsError

GPU, EFA = "nvidia.com/gpu", "vpc.amazonaws.com/efa"
DEFAULT_TYPE, DEFAULT_DISK_GB = "t3.medium", 20
"""EKS API, ``CreateNodegroup``."""
_DEFAULT_MAX_PODS = 110
_KIB_PER_GIB = 1024 * 1024
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}


@dataclass(frozen=True)
class Template:
    """What a launch template says of nodes.

    Attributes:
        data: as EC2 describes it.
        config: the parts of ``NodeConfig`` in its user data, merged.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Template":
        """From EC2's description."""
        config: dict[str, Any] = {}
        for part in _documents(str(data.get("UserData") or "")):
            if isinstance(part, Mapping) and part.get("kind") == "NodeConfig":
                config = _merged(config, part.get("spec") or {})
        return cls(data, config)

    @property
    def max_pods(self) -> int | None:
        """Pods that the kubelet allows, where it is said."""
        value = ((self.config.get("kubelet") or {}).get("config") or {}).get("maxPods")
        return None if value is None else int(value)

    @property
    def local_ssd(self) -> bool:
        """Ephemeral storage is on instance store (nodeadm, ``instance.localStorage``)."""
        storage = (self.config.get("instance") or {}).get("localStorage") or {}
        return str(storage.get("strategy", "")).upper() == "RAID0"

    @property
    def disk_gb(self) -> int | None:
        """Size of the disk, where it is said."""
        for mapping in self.data.get("BlockDeviceMappings") or ():
            if size := (mapping.get("Ebs") or {}).get("VolumeSize"):
                return int(size)
        return None

    @property
    def efa_interfaces(self) -> int:
        """Interfaces that applications reach without the kernel."""
        kinds = [str(item.get("InterfaceType", "")) for item in self.data.get("NetworkInterfaces") or ()]
        return sum(kind in ("efa", "efa-only") for kind in kinds)


def _documents(user_data: str) -> Iterator[Any]:
    if not user_data:
        return
    text = base64.b64decode(user_data, validate=False).decode(errors="replace")
    message = email.message_from_string(text)
    parts = [part for part in message.walk() if not part.is_multipart()] if message.is_multipart() else []
    for part in parts or [text]:
        content = part if isinstance(part, str) else part.get_payload()
        try:
            yield from yaml.safe_load_all(str(content))
        except yaml.YAMLError:
            continue


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


@dataclass(frozen=True)
class GroupShape:
    """A node group, ready to become nodes.

    Attributes:
        cluster, name: where it belongs, and its name.
        machine_type: instance type of all nodes: the first that the group may have.
        zones: of its subnets.
        count: nodes. Nothing scales a managed node group by itself, so this is fewest and most.
        spot: on the spot market.
        image: AMI type.
        labels, taints: as they were asked for.
        disk_gb: of the boot disk.
        template: what its launch template says.
    """

    cluster: str
    name: str
    machine_type: str
    zones: tuple[str, ...]
    count: int
    spot: bool
    image: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    disk_gb: int
    template: Template

    @property
    def machine(self) -> MachineType:
        """The machine.

        Raises:
            AwsError: 400 for one that the catalog does not have.
        """
        try:
            return catalog.machine_type("aws", self.machine_type)
        except UnknownFact as error:
            raise AwsError(
                "eks",
                "CreateNodegroup",
                "InvalidParameterException",
                f"The following supplied instance types do not exist: [{self.machine_type}] (the local AWS knows the "
                f"machine types of the catalog; nearest: {error.nearest})",
            ) from None

    def node_pool(self) -> NodePool:
        """The group as the local cluster wants it."""
        machine = self.machine
        max_pods = self.template.max_pods or _DEFAULT_MAX_PODS
        free = AWS.node_allocatable(
            machine.name, max_pods=max_pods, disk_gb=float(self.disk_gb), local_ssd=self.template.local_ssd
        )
        storage = machine.local_ssd_gib if free.local_ssd_gib else self.disk_gb * GIB_PER_GB
        # Bottlerocket's image brings the device plugin; on AL2023 somebody has to install it, which is taken for
        # granted here: no DaemonSet runs on simulated nodes.
        devices = {GPU: str(machine.gpus)} if machine.gpus and "NVIDIA" in self.image else {}
        if self.template.efa_interfaces:
            devices[EFA] = str(self.template.efa_interfaces)
        return NodePool(
            name=self.name,
            min=self.count,
            max=self.count,
            capacity={
                "cpu": str(machine.vcpus),
                "memory": _kib(AWS.visible_gib(machine)),
                "ephemeral-storage": _kib(storage),
                "pods": str(max_pods),
                **devices,
            },
            allocatable={
                "cpu": f"{round(free.cpu * 1000)}m",
                "memory": _kib(free.memory_gib),
                "ephemeral-storage": _kib(free.ephemeral_gib),
                "pods": str(free.pods),
                **devices,
            },
            zones=self.zones,
            labels={
                "beta.kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/instance-type": machine.name,
                "beta.kubernetes.io/os": "linux",
                "eks.amazonaws.com/capacityType": "SPOT" if self.spot else "ON_DEMAND",
                "eks.amazonaws.com/nodegroup": self.name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": machine.name,
                **self.labels,
            },
            taints=tuple(
                {"key": taint["key"], "value": taint.get("value") or "", "effect": _EFFECTS[taint["effect"]]}
                for taint in self.taints
            ),
            prefix=f"eks-{self.name[:32].rstrip('-')}-{hashlib.sha256(self.cluster.encode()).hexdigest()[:8]}",
            provider_id="aws:///{zone}/{name}",
        )


def _kib(gib: float) -> str:
    return f"{int(gib * _KIB_PER_GIB)}Ki"
