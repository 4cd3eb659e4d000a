"""What a cluster needs beside the models."""

from enum import StrEnum

from llm_serving.arguments import Frozen
from llm_serving.spec.names import NamespaceName
from llm_serving.spec.prometheus import PrometheusAuthSpec


class AddonSource(StrEnum):
    """Who brings an addon: this stack, or somebody else, in which case nothing of it is touched."""

    INSTALL = "install"
    EXISTING = "existing"


class AddonsSpec(Frozen):
    """Addons of a cluster. One that no model needs is not installed.

    Attributes:
        keda: KEDA, which scales.
        monitoring: Prometheus with its operator, and kube-state-metrics.
        priority_classes: the cluster's priority classes; ``existing`` where another stack on the cluster made them.
        leader_worker_set: LeaderWorkerSet, for instances of more than one node.
        prometheus_url: where Prometheus answers queries; ``None`` for the one that ``monitoring`` installs.
        prometheus_auth: how KEDA proves to that Prometheus who it is; ``None`` where it asks nobody.
        monitoring_namespace: namespace of Prometheus, which may read the engines' metrics.
    """

    keda: AddonSource = AddonSource.INSTALL
    monitoring: AddonSource = AddonSource.INSTALL
    priority_classes: AddonSource = AddonSource.INSTALL
    leader_worker_set: AddonSource = AddonSource.INSTALL
    prometheus_url: str | None = None
    prometheus_auth: PrometheusAuthSpec | None = None
    monitoring_namespace: NamespaceName = "monitoring"
