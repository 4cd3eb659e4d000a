"""What a cluster needs beside the models."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import BASE_URL
from llm_serving.spec.kubernetes import LabelKey, LabelValue
from llm_serving.spec.names import NamespaceName
from llm_serving.spec.prometheus import PrometheusAuthSpec
from llm_serving.spec.toleration import Toleration


class AddonSource(StrEnum):
    """Who brings an addon: this stack, or somebody else, in which case nothing of it is touched."""

    INSTALL = "install"
    EXISTING = "existing"


class GpuNodesSpec(Frozen):
    """Nodes with GPUs, as a DaemonSet finds them: those of one pool."""

    node_selector: Annotated[dict[LabelKey, LabelValue], Field(min_length=1)]
    """Labels of the nodes."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of the nodes."""


class GpuExporterSpec(Frozen):
    """Pods that tell the utilization of GPUs as NVIDIA's DCGM exporter does, and that somebody else runs."""

    namespace: NamespaceName
    """Their namespace."""
    pods: dict[LabelKey, LabelValue]
    """Their labels."""
    port: str
    """Name of the port at which they answer `/metrics`."""


class AddonsSpec(Frozen):
    """Addons of a cluster. One that no model needs is not installed.

    Attributes:
        keda: KEDA, which scales.
        monitoring: Prometheus with its operator, and kube-state-metrics.
        priority_classes: the cluster's priority classes; ``existing`` where another stack on the cluster made them.
        leader_worker_set: LeaderWorkerSet, for instances of more than one node.
        dcgm_exporter: NVIDIA's DCGM exporter, for models that scale by a utilization of GPUs that no launcher tells.
        gateway_api: definitions of the Gateway API, for a gateway; ``existing`` on GKE are GKE's own.
        cert_manager: cert-manager, for certificates of a gateway.
        prometheus_url: where Prometheus answers queries; ``None`` for the one that ``monitoring`` installs.
        prometheus_auth: how KEDA proves to that Prometheus who it is; ``None`` where it asks nobody.
        alertmanager_url: Alertmanager that the Prometheus of ``monitoring`` tells of alerts; ``None``: nobody is told.
        monitoring_namespace: namespace of Prometheus, which may read the engines' metrics.
    """

    keda: AddonSource = AddonSource.INSTALL
    monitoring: AddonSource = AddonSource.INSTALL
    priority_classes: AddonSource = AddonSource.INSTALL
    leader_worker_set: AddonSource = AddonSource.INSTALL
    dcgm_exporter: AddonSource = AddonSource.INSTALL
    gateway_api: AddonSource = AddonSource.INSTALL
    cert_manager: AddonSource = AddonSource.INSTALL
    prometheus_url: str | None = None
    prometheus_auth: PrometheusAuthSpec | None = None
    alertmanager_url: Annotated[str, BASE_URL] | None = None
    monitoring_namespace: NamespaceName = "monitoring"
