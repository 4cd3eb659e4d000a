"""Where a cluster's files lie, and what was decided when it was created."""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from local.cluster.autoscaling.options import AutoscalingOptions
from local.cluster.errors import ClusterError
from local.cluster.files import read_json, write_json
from local.cluster.node.addresses import AddressSlot
from local.cluster.node.options import NodeFacts

REPOSITORY = Path(__file__).resolve().parents[2]

PORTS = ("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler", "kwok")
SCALE_DOWN_SECONDS = 60.0
"""How long a node stays empty before the autoscaler removes it, where neither file nor environment says
otherwise. GKE waits ten minutes; nobody at a desk does.
"""

SCALE_DOWN_VARIABLE = "LLM_SERVING_SCALE_DOWN_SECONDS"
OWNER_VARIABLE = "LLM_SERVING_CLUSTER_OWNER"
"""Number of a process that clusters are not to outlive: those that are started where it is set end when that process
has ended, however it ended. A test run sets it to its own.
"""


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    root: Path

    @property
    def facts(self) -> Path:
        """What was decided at creation; a folder without it is no cluster."""
        return self.root / "cluster.json"

    @property
    def certificates(self) -> Path:
        """Keys and certificates."""
        return self.root / "certificates"

    @property
    def credentials(self) -> Path:
        """Tokens, and the kubeconfigs of the programs."""
        return self.root / "credentials"

    @property
    def etcd(self) -> Path:
        """The database."""
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def pools(self) -> Path:
        """Wanted node pools, one file each."""
        return self.root / "pools"

    @property
    def node(self) -> Path:
        """What the node of this machine keeps: images, containers, volumes, logs of pods."""
        return self.root / "node"

    @property
    def keda_certificates(self) -> Path:
        """Key and certificate of KEDA's programs, under the names that they ask for."""
        return self.root / "certificates-keda"

    @property
    def prometheus(self) -> Path:
        """What Prometheus reads and stores."""
        return self.root / "prometheus"

    @property
    def prometheus_configuration(self) -> Path:
        """Its configuration (JSON, which is YAML too)."""
        return self.prometheus / "prometheus.json"

    @property
    def prometheus_rules(self) -> Path:
        """Its recording and alerting rules."""
        return self.prometheus / "rules.json"

    @property
    def prometheus_targets(self) -> Path:
        """The pods that Prometheus may scrape; ``discovery`` writes it."""
        return self.prometheus / "targets.json"

    @property
    def autoscaling_ready(self) -> Path:
        """There once the API server has what KEDA must find when it starts."""
        return self.root / "run" / "autoscaling-ready"

    @property
    def init(self) -> Path:
        """The first process of the node's namespaces, as process number (of the machine) and start."""
        return self.root / "run" / "init.json"

    @property
    def supervisor(self) -> Path:
        """Who supervises, as process number and start."""
        return self.root / "run" / "supervisor.json"

    @property
    def programs(self) -> Path:
        """What the supervisor runs: processes, restarts, last exits."""
        return self.root / "run" / "programs.json"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.root / "run" / "supervisor.lock"

    @property
    def start_lock(self) -> Path:
        """Held by whoever starts or stops the cluster."""
        return self.root / "run" / "start.lock"

    def log(self, program: str) -> Path:
        """The log of a program."""
        return self.logs / f"{program}.log"


@dataclass(frozen=True)
class Facts:
    """What was decided when the cluster was created.

    Attributes:
        ports: port of 127.0.0.1 by name, see :data:`PORTS`.
        kubernetes_version: the version that was asked for; the programs' own may differ, see
            :meth:`LocalCluster.version_note`.
        admission_plugins: admission plugins beside the API server's defaults.
        scale_down_seconds: how long a node stays empty before it is removed; ``None`` leaves it to the
            environment.
        node: the node of this machine; ``None`` where the cluster has none, and then no container runs.
        autoscaling: KEDA and its Prometheus; ``None`` where the cluster has neither.
    """

    ports: dict[str, int] = field(default_factory=dict)
    kubernetes_version: str | None = None
    admission_plugins: tuple[str, ...] = ()
    scale_down_seconds: float | None = None
    node: NodeFacts | None = None
    autoscaling: AutoscalingOptions | None = None

    @classmethod
    def read(cls, layout: Layout) -> "Facts":
        """Read them.

        Raises:
            ClusterError: nothing was created there.
        """
        data: dict[str, Any] | None = read_json(layout.facts)
        if data is None:
            raise ClusterError(f"there is no local cluster in {layout.root}: create it first")
        node, autoscaling = data.get("node"), data.get("autoscaling")
        return cls(
            **{
                **data,
                "admission_plugins": tuple(data["admission_plugins"]),
                "node": None if node is None else NodeFacts(**node),
                "autoscaling": None if autoscaling is None else AutoscalingOptions.from_json(autoscaling),
            }
        )

    def write(self, layout: Layout) -> None:
        """Keep them."""
        write_json(layout.facts, asdict(self))

    def with_ports(self, ports: dict[str, int]) -> "Facts":
        """The same with other ports."""
        return replace(self, ports=ports)

    @property
    def slot(self) -> AddressSlot | None:
        """The address ranges; ``None`` without a node, and before its first start."""
        return None if self.node is None or self.node.slot is None else AddressSlot(self.node.slot)

    def with_slot(self, slot: AddressSlot) -> "Facts":
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


def tools() -> Path:
    """The folder of outside programs and their data."""
    return REPOSITORY / Path(os.environ.get("LLM_SERVING_TOOLS") or ".tools").expanduser()


def program(name: str) -> Path:
    """An outside program.

    Raises:
        ClusterError: it is not there.
    """
    path = tools() / "bin" / name
    if not path.exists():
        raise ClusterError(f"{path} is missing: run `make setup`, which builds the programs of the local clouds")
    return path


def missing_programs() -> list[str]:
    """The programs and data that a control plane needs and that are not there."""
    wanted = [tools() / "bin" / name for name in PROGRAMS] + [tools() / "kwok" / "stages.yaml"]
    return [str(path) for path in wanted if not path.exists()]


PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
"""In the order in which they start; they stop in the opposite order."""

POOL_CONTROLLER = "pool-controller"
