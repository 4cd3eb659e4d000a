"""What is decided when a cluster is created, and kept with it."""

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.node.addresses import AddressSlot
from stacks.files import read_json, write_json

CONTROL_PLANE_PORTS = ("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler", "kwok")
SCALE_DOWN_SECONDS = 60.0
"""How long a node stays empty before the autoscaler removes it, where neither file nor environment says
otherwise. GKE waits ten minutes; nobody at a desk does.
"""

SCALE_DOWN_VARIABLE = "LLM_SERVING_SCALE_DOWN_SECONDS"

KUBE_STATE_METRICS = "kube-state-metrics"
PODS = {"role": "pod"}
"""Discovery of the cluster's own pods, as Prometheus writes it."""
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class NodeOptions:
    """What to ask of a node.

    Attributes:
        name: its name in the cluster, a DNS label.
        labels: labels beside those that the kubelet sets itself.
        max_pods: how many pods it takes at most; the slot's range has addresses for 253.
    """

    name: str = "local-node"
    labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110

    def __post_init__(self) -> None:
        if not _DNS_LABEL.fullmatch(self.name):
            raise ValueError(
                f"node name {self.name!r} is no DNS label: lower-case letters, digits and '-' (63 at most)"
            )
        if not 1 <= self.max_pods <= 250:
            raise ValueError(f"node {self.name!r}: max_pods is {self.max_pods}, and must be from 1 to 250")


@dataclass(frozen=True)
class NodeConfig:
    """What was decided about a node.

    Attributes:
        name, labels, max_pods: see :class:`NodeOptions`.
        slot: number of its address slot; ``None`` until the first start has chosen one. It stays, because the
            cluster's objects hold addresses of it.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110
    slot: int | None = None

    @classmethod
    def of(cls, options: NodeOptions) -> "NodeConfig":
        """What is decided about a node that is new."""
        return cls(options.name, dict(options.labels), options.max_pods)


@dataclass(frozen=True)
class AutoscalingOptions:
    """What to ask of KEDA and its Prometheus.

    Attributes:
        scrape: scrape configurations as in Prometheus' own file. The one of kube-state-metrics comes with the cluster;
            one whose ``kubernetes_sd_configs`` is :data:`PODS` scrapes pods of the cluster itself.
        rules: groups of recording and alerting rules as in Prometheus' own rule files.
        scrape_seconds: how often Prometheus scrapes and evaluates.
        sync_seconds: how often the HPA controller compares; 15 on clusters of a cloud.
    """

    scrape: tuple[dict[str, Any], ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    scrape_seconds: int = 5
    sync_seconds: int = 5

    def __post_init__(self) -> None:
        for name in ("scrape_seconds", "sync_seconds"):
            value = getattr(self, name)
            if not 1 <= value <= 60:
                raise ValueError(f"{name} is {value}, and must be from 1 to 60")
        names = [str(job.get("job_name", "")) for job in self.scrape]
        wrong = _first_unusable(names)
        if wrong is not None:
            raise ValueError(f"scrape: job name {wrong!r} is empty, given twice or {KUBE_STATE_METRICS!r}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "AutoscalingOptions":
        """Read back what a file holds of them."""
        several = {name: tuple(data[name]) for name in ("scrape", "rules")}
        return cls(**{**data, **several})


@dataclass(frozen=True)
class KarpenterOptions:
    """What to ask of Karpenter.

    Attributes:
        aws: address of the API of AWS, ``http://127.0.0.1:PORT`` of a local one; its owner starts it before.
        region: region of the cluster.
        cluster: name of the EKS cluster, of which the API has a record.
        queue: name of the SQS queue with the interruptions of machines; empty where nobody tells of them.
        preferences: what it makes of what pods would like and do not need, ``Respect`` or ``Ignore``.
    """

    aws: str
    region: str
    cluster: str
    queue: str = ""
    preferences: str = "Respect"


@dataclass(frozen=True)
class ClusterConfig:
    """What was decided when the cluster was created.

    Attributes:
        ports: port of 127.0.0.1 by name, see :data:`CONTROL_PLANE_PORTS`.
        kubernetes_version: the version that was asked for; the programs' own may differ, see
            :meth:`LocalCluster.version_note`.
        admission_plugins: admission plugins beside the API server's defaults.
        scale_down_seconds: how long a node stays empty before it is removed; ``None`` leaves it to the
            environment.
        node: the node of this machine; ``None`` where the cluster has none, and then no container runs.
        autoscaling: KEDA and its Prometheus; ``None`` where the cluster has neither.
        karpenter: Karpenter and the machines that it gets from AWS; ``None`` where the cluster has neither.
        bucket_weights: folder of :class:`~local.cluster.bucket_weights.BucketWeights`; ``None`` where nobody knows what
            buckets hold, and no pod waits for weights.
    """

    ports: dict[str, int] = field(default_factory=dict)
    kubernetes_version: str | None = None
    admission_plugins: tuple[str, ...] = ()
    scale_down_seconds: float | None = None
    node: NodeConfig | None = None
    autoscaling: AutoscalingOptions | None = None
    karpenter: KarpenterOptions | None = None
    bucket_weights: str | None = None

    @classmethod
    def read(cls, layout: Layout) -> "ClusterConfig":
        """Read it.

        Raises:
            ClusterError: nothing was created there.
        """
        data: dict[str, Any] | None = read_json(layout.config)
        if data is None:
            raise ClusterError(f"there is no local cluster in {layout.root}: create it first")
        node, autoscaling, karpenter = (data.get(name) for name in ("node", "autoscaling", "karpenter"))
        return cls(
            **{
                **data,
                "admission_plugins": tuple(data["admission_plugins"]),
                "node": None if node is None else NodeConfig(**node),
                "autoscaling": None if autoscaling is None else AutoscalingOptions.from_json(autoscaling),
                "karpenter": None if karpenter is None else KarpenterOptions(**karpenter),
            }
        )

    def write(self, layout: Layout) -> None:
        """Keep it."""
        write_json(layout.config, asdict(self))

    def with_ports(self, ports: dict[str, int]) -> "ClusterConfig":
        """The same with other ports."""
        return replace(self, ports=ports)

    @property
    def slot(self) -> AddressSlot | None:
        """The address ranges; ``None`` without a node, and before its first start."""
        return None if self.node is None or self.node.slot is None else AddressSlot(self.node.slot)

    def with_slot(self, slot: AddressSlot) -> "ClusterConfig":
        """The same with other address ranges."""
        assert self.node is not None
        return replace(self, node=replace(self.node, slot=slot.number))

    @property
    def api_address(self) -> str:
        """Where the API server listens: on the node's link, else on this machine's loopback."""
        return "127.0.0.1" if self.slot is None else str(self.slot.node)

    @property
    def server(self) -> str:
        """The API server's address, for kubeconfigs."""
        return f"https://{self.api_address}:{self.ports['apiserver']}"

    @property
    def service_range(self) -> str:
        """ClusterIPs. Nothing answers there without a node."""
        return "10.96.0.0/16" if self.slot is None else str(self.slot.services)

    def scale_down_delay(self) -> float:
        """Seconds that a node stays empty before it is removed."""
        if self.scale_down_seconds is not None:
            return self.scale_down_seconds
        return float(os.environ.get(SCALE_DOWN_VARIABLE) or SCALE_DOWN_SECONDS)


def _first_unusable(names: Iterable[str]) -> str | None:
    seen = {"", KUBE_STATE_METRICS}
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
