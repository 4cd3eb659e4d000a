"""Series of one release: of its pods, and of the objects that hold its instances."""

from dataclasses import dataclass
from enum import StrEnum

from llm_serving.contract import SHARE_BASE
from llm_serving.metrics.promql import Pattern, selector
from llm_serving.metrics.series import SERIES_MODEL, SERIES_NAMESPACE, SERIES_POD, SERIES_RELEASE, KubeStateSeries


class WorkloadKind(StrEnum):
    """What holds the instances of a release."""

    DEPLOYMENT = "Deployment"
    LEADER_WORKER_SET = "LeaderWorkerSet"


@dataclass(frozen=True)
class ReleaseWorkload:
    """The object that holds the instances of one release, and what tells its series from all others.

    Attributes:
        namespace: the team's namespace.
        name: name of that object.
        model: name of the model.
        release: version of the release.
        base: instances in a second object, ``<name>-base``, whose number is fixed.
        kind: what the object is.
    """

    namespace: str
    name: str
    model: str
    release: str
    base: int = 0
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every series of its engines and launchers, and of no other release's."""
        return {SERIES_NAMESPACE: self.namespace, SERIES_MODEL: self.model, SERIES_RELEASE: self.release}

    def select(self, series: str) -> str:
        """A series of its engines or launchers."""
        return selector(series, self.labels)

    def select_by_pod_name(self, series: str) -> str:
        """A series that names pods and no release. A release ``1.0.0`` must not match the pods of ``1.0.0-rc``: behind
        the name stand the hash of a ReplicaSet and five letters, or the number of a group and of its worker."""
        suffix = "[a-z0-9]+-[a-z0-9]{5}" if self.kind is WorkloadKind.DEPLOYMENT else "[0-9]+(-[0-9]+)?"
        pods = Pattern(f"{self.name}(-{SHARE_BASE})?-{suffix}")
        return selector(series, {SERIES_NAMESPACE: self.namespace, SERIES_POD: pods})

    @property
    def ready(self) -> str:
        """Instances that are ready."""
        return self._instances(KubeStateSeries.DEPLOYMENT_READY, KubeStateSeries.STATEFUL_SET_READY)

    @property
    def replicas(self) -> str:
        """Desired instances, whether they run or not."""
        return self._instances(KubeStateSeries.DEPLOYMENT_REPLICAS, KubeStateSeries.STATEFUL_SET_REPLICAS)

    def _instances(self, deployment: KubeStateSeries, stateful_set: KubeStateSeries) -> str:
        """Over both objects of a release. A LeaderWorkerSet keeps its leaders, one an instance, in a StatefulSet of its
        own name (https://lws.sigs.k8s.io/docs/overview). ``max`` makes one of what two kube-state-metrics say."""
        is_deployment = self.kind is WorkloadKind.DEPLOYMENT
        series, label = (deployment, "deployment") if is_deployment else (stateful_set, "statefulset")
        names = Pattern(f"{self.name}|{self.name}-{SHARE_BASE}") if self.base else self.name
        return f"sum(max by ({label}) ({selector(series, {SERIES_NAMESPACE: self.namespace, label: names})}))"
