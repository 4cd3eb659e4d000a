"""Where a cluster's files lie, and the outside programs that it runs."""

import os
from dataclasses import dataclass
from pathlib import Path

from local.cluster.errors import ClusterError

REPOSITORY = Path(__file__).resolve().parents[2]

OWNER_VARIABLE = "LLM_SERVING_CLUSTER_OWNER"
"""Number of a process that clusters are not to outlive: those that are started where it is set end when that process
has ended, however it ended. A test run sets it to its own.
"""


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    root: Path

    @property
    def config(self) -> Path:
        """What was decided at creation, a ``ClusterConfig``; a folder without it is no cluster."""
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
    def kwok_stages(self) -> Path:
        """What KWOK does with pods and nodes, as :mod:`local.cluster.kwok_stages` writes it."""
        return self.root / "kwok-stages.yaml"

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
    def definitions_served(self) -> Path:
        """There once the API server has what KEDA and Karpenter must find when they start."""
        return self.root / "run" / "definitions-served"

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


def tools() -> Path:
    """The folder of outside programs and their data."""
    return REPOSITORY / Path(os.environ.get("LLM_SERVING_TOOLS") or ".tools").expanduser()


def program(name: str) -> Path:
    """An outside program.

    Raises:
        ClusterError: it is not there.
    """
    return _present(tools() / "bin" / name)


def shipped_stages() -> Path:
    """KWOK's stages as KWOK ships them.

    Raises:
        ClusterError: they are not there.
    """
    return _present(tools() / "kwok" / "stages.yaml")


def _present(path: Path) -> Path:
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
