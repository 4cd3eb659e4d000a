"""What the table of add-ons says of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from llm_serving.spec import GatewaySpec, GpuExporterSpec, GpuNodesSpec, ModelSpec, Pool
from llm_serving.spec.toleration import Toleration


class AddonProvider(StrEnum):
    """Who installs an add-on on a cloud, unless the settings say that it exists."""

    STACK = "stack"
    CLOUD = "cloud"
    USER = "user"


@dataclass(frozen=True)
class Chart:
    """A Helm chart, and the one release of it.

    Attributes:
        release: name of the Helm release.
        name: name in ``repository``, or an OCI address.
        version: exact version of the chart.
        repository: URL of the repository; ``None`` for an OCI address.
    """

    release: str
    name: str
    version: str
    repository: str | None = None


@dataclass(frozen=True)
class Placement:
    """On which nodes add-ons run.

    Attributes:
        node_selector: labels of the nodes.
        tolerations: taints of the nodes that are tolerated.
    """

    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]

    def values(self) -> dict[str, Any]:
        """As most charts take it."""
        return {
            "nodeSelector": dict(self.node_selector),
            "tolerations": [toleration.model_dump(exclude_none=True) for toleration in self.tolerations],
        }


@dataclass(frozen=True)
class Storage:
    """What Prometheus keeps.

    Attributes:
        retention_days: for how long.
        gib: size of its volume.
        storage_class: class of its volume; ``None`` for the cluster's default.
    """

    retention_days: int
    gib: int
    storage_class: str | None


@dataclass(frozen=True)
class AddonContext:
    """What the values of a chart depend on.

    Attributes:
        placement: nodes of its workloads.
        storage: volume of Prometheus.
        gpu_nodes: nodes with GPUs.
        gpu_exporter: pods of somebody else's that Prometheus must read; ``None`` where there are none.
        installed: names of the add-ons that are installed together.
        pull_secrets: names of the Secrets with which their images are pulled.
        alertmanager_url: where Prometheus tells of alerts; ``None`` where nobody is told.
    """

    placement: Placement
    storage: Storage
    installed: frozenset[str]
    gpu_nodes: tuple[GpuNodesSpec, ...] = ()
    gpu_exporter: GpuExporterSpec | None = None
    pull_secrets: tuple[str, ...] = ()
    alertmanager_url: str | None = None

    @property
    def image_pull_secrets(self) -> list[dict[str, str]]:
        """The Secrets as charts take them."""
        return [{"name": name} for name in self.pull_secrets]


@dataclass(frozen=True)
class AddonService:
    """Pods of an add-on that answer its own namespace and named clients, and nobody else.

    Attributes:
        name: name of the network policy.
        pods: labels of the pods.
        port: TCP port on which the clients reach them.
        clients: names of the add-ons that ask them.
    """

    name: str
    pods: Mapping[str, str]
    port: int
    clients: tuple[str, ...]


def _no_model(model: ModelSpec, pool: Pool) -> bool:
    return False


def _no_gateway(gateway: GatewaySpec) -> bool:
    return False


@dataclass(frozen=True)
class Addon:
    """One add-on.

    Attributes:
        name: field of the settings (:class:`llm_serving.spec.AddonsSpec`) and argument of ``ClusterAddons``.
        title: its own name.
        namespace: where it runs; no team can have this name.
        chart: what is installed.
        values: what the chart is told; what is left out is the chart's own.
        providers: by cloud, who brings it.
        control_plane_ports: TCP ports on which its admission webhooks and aggregated APIs listen. The API server calls
            them, so a firewall between control plane and nodes must let it through.
        needed_by: whether a model on its pool needs it.
        needed_by_gateway: whether a gateway needs it, whatever its models.
        readable: its namespaced custom resources, by API group: what a team's viewers may read.
        service: what network policies guard; ``None`` where nothing but the API server asks it.
        pod_security: what the Pod Security Standards let it run, by the level that its namespace enforces.
    """

    name: str
    title: str
    namespace: str
    chart: Chart
    values: Callable[[AddonContext], dict[str, Any]]
    providers: Mapping[str, AddonProvider]
    control_plane_ports: tuple[int, ...]
    needed_by: Callable[[ModelSpec, Pool], bool] = _no_model
    needed_by_gateway: Callable[[GatewaySpec], bool] = _no_gateway
    readable: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    service: AddonService | None = None
    pod_security: str = "baseline"
