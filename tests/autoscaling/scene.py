"""A release on the cluster, with everything that scales it: its Deployment, its ScaledObject as the component renders
it, its load, and the trace of what happens.
"""

from typing import Any

from llm_serving.contract import LABEL_MODEL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.series import (
    SERIES_MODEL,
    SERIES_NAMESPACE,
    SERIES_POOL,
    SERIES_RELEASE,
    SERIES_TEAM,
)
from llm_serving.metrics.workload import ReleaseWorkload
from llm_serving.serving.scaled_object import PrometheusServer, scaled_object
from llm_serving.serving.scaling_queries import asked_query, scaling_queries
from llm_serving.spec import AutoscalingSpec, EngineName
from local.cluster.rest import ApiError, Kubernetes, UnreachableError
from tests.autoscaling.clock import quickened
from tests.autoscaling.engines import GATEWAY, Engines, Release
from tests.autoscaling.trace import Trace
from tests.engine.cluster.helpers import TOLERATES_GPU, eventually

MODEL_NAME, VERSION, NAME = "tiny", "1.0.0", "tiny-1-0-0"
SCALED_OBJECT, HPA, DEPLOYMENT = "keda.sh/v1alpha1", "autoscaling/v2", "apps/v1"
GUARD_SECONDS = 120
"""After which a test gives up waiting; no measurement."""

Object = dict[str, Any]


class Scene:
    """One release in a namespace of its own.

    Args:
        api: connection to the cluster.
        engines: where its metrics are shown.
        prometheus: where KEDA finds Prometheus.
        namespace: an empty one.
        pool: pool of its pods.
        load: the load at the beginning, see :class:`Release`.
    """

    def __init__(
        self, api: Kubernetes, engines: Engines, prometheus: str, namespace: str, pool: str, **load: Any
    ) -> None:
        self.api, self.namespace, self.pool = api, namespace, pool
        self._engines, self._prometheus = engines, prometheus
        self.workload = ReleaseWorkload(namespace, NAME, MODEL_NAME, VERSION)
        labels = {
            SERIES_NAMESPACE: namespace,
            SERIES_MODEL: MODEL_NAME,
            "model_name": MODEL_NAME,
            SERIES_RELEASE: VERSION,
            SERIES_TEAM: "chat",
            SERIES_POOL: pool,
        }
        self.load = Release(labels, **load)
        engines.add(self.load)
        self.trace = Trace(self._look)

    def end(self) -> None:
        """Show and watch no longer."""
        self.trace.stop()
        self._engines.remove(self.load)

    # Objects

    def deployment(self, replicas: int | None = None) -> Object:
        """The Deployment: a GPU a pod, on the pool's nodes."""
        labels = {LABEL_MODEL: MODEL_NAME, LABEL_RELEASE: VERSION, LABEL_TEAM: "chat"}
        container = {"name": "engine", "image": "engine", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
        return {
            "apiVersion": DEPLOYMENT,
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                **({} if replicas is None else {"replicas": replicas}),
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": {"llm-serving.dev/pool": self.pool},
                        "tolerations": TOLERATES_GPU,
                        "containers": [container],
                    },
                },
            },
        }

    def scaled_object(self, **spec: Any) -> Object:
        """The ScaledObject of the component, for the faster clock."""
        metrics, bounds = engine_metrics(EngineName.VLLM), AutoscalingSpec(**spec)
        made = scaled_object(
            self.workload,
            bounds,
            scaling_queries(metrics, self.workload),
            PrometheusServer(self._prometheus),
            {"team": "chat"},
            asked=asked_query(MODEL_NAME, GATEWAY, bounds.polling_seconds),
        )
        return quickened(made)

    def deploy(self, replicas: int | None = None) -> None:
        """Apply the Deployment, and wait until its metrics are in Prometheus by way of a ready instance."""
        self.api.apply(self.deployment(replicas))
        self.eventually_has(ready=replicas or 1)

    def scale(self, **spec: Any) -> Object:
        """Apply the ScaledObject, and wait until its HPA goes by its metrics."""
        made = self.api.apply(self.scaled_object(**spec))
        eventually(lambda: self._condition(HPA, "HorizontalPodAutoscaler", "ScalingActive") == "True", GUARD_SECONDS)
        return made

    # What is so

    def replicas(self) -> int:
        """Instances that are asked for."""
        return self.api.get(DEPLOYMENT, "Deployment", NAME, self.namespace)["spec"]["replicas"]

    def eventually_has(self, replicas: int | None = None, ready: int | None = None) -> None:
        """Wait for a number of replicas, or of ready ones."""
        eventually(lambda: self._has(replicas, ready), GUARD_SECONDS)

    def falls_back(self) -> bool:
        """KEDA says that it does without metrics."""
        return self._condition(SCALED_OBJECT, "ScaledObject", "Fallback") == "True"

    def pods(self, ready: bool) -> list[Object]:
        """Its pods that are ready, or those that are not."""
        pods = self.api.list("v1", "Pod", self.namespace, labels={LABEL_MODEL: MODEL_NAME})
        return [pod for pod in pods if _ready(pod) is ready and "deletionTimestamp" not in pod["metadata"]]

    def _has(self, replicas: int | None, ready: int | None) -> bool:
        seen = self.trace.moments()[-1:]
        return bool(seen) and replicas in (None, seen[0].replicas) and ready in (None, seen[0].ready)

    def _condition(self, version: str, kind: str, type: str) -> str | None:
        thing = self.api.find(version, kind, NAME, self.namespace)
        conditions = ((thing or {}).get("status") or {}).get("conditions") or []
        return next((c["status"] for c in conditions if c["type"] == type), None)

    def _look(self) -> tuple[int, int, int, int] | None:
        load = self.load
        try:
            load.instances = tuple(sorted(pod["metadata"]["name"] for pod in self.pods(ready=True)))
            deployment = self.api.find(DEPLOYMENT, "Deployment", NAME, self.namespace)
        except (ApiError, UnreachableError):
            load.instances = ()
            return None
        replicas = 0 if deployment is None else deployment["spec"]["replicas"]
        return load.requests, load.waiting, replicas, len(load.instances)


def seen_for_a_while(scene: Scene, looks: int = 50) -> None:
    """Wait until the trace has so many more moments: ten in a second at most, in which the HPA compares once."""
    already = len(scene.trace.moments())
    eventually(lambda: len(scene.trace.moments()) >= already + looks, GUARD_SECONDS)


def seen_until(scene: Scene, second: float) -> None:
    """Wait for a second of the trace, which is there to be looked at afterwards."""
    eventually(lambda: scene.trace.now() >= second, GUARD_SECONDS)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
