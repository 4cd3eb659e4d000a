"""Series of the exporters beside the engines, and the labels that all series of an engine's pod carry."""

from enum import StrEnum

SCRAPE_INTERVAL_SECONDS = 15
"""How often Prometheus reads engines and kube-state-metrics; windows of queries are multiples of it."""

SERIES_NAMESPACE = "namespace"
SERIES_POD = "pod"
"""Prometheus' operator adds these two (https://prometheus-operator.dev/docs/developer/getting-started/)."""
SERIES_MODEL = "model"
SERIES_RELEASE = "release"
SERIES_TEAM = "team"
SERIES_POOL = "pool"
"""The PodMonitor of a team copies these from labels of the pod."""

SERIES_STAGE = "stage"
"""On :attr:`LauncherSeries.STARTUP_SECONDS`: a :class:`LaunchStage`."""
SERIES_OUTCOME = "outcome"
"""On :attr:`LauncherSeries.DRAINED_REQUESTS`: a :class:`DrainOutcome`."""


class LauncherSeries(StrEnum):
    """Series of our launcher (``launchers``), at its health port."""

    ENGINE_UP = "llm_serving_engine_up"
    """Gauge: 1 while the engine answers for its model."""
    ENGINE_READY = "llm_serving_engine_ready"
    """Gauge: 1 while it is ready for requests."""
    GPU_UTILIZATION = "llm_serving_gpu_utilization_percent"
    """Gauge: mean utilization of a pod's GPUs, 0 to 100."""
    STARTUP_SECONDS = "llm_serving_startup_seconds"
    """Gauge, by :data:`SERIES_STAGE`: seconds of a stage of the start."""
    REQUESTS_RUNNING = "llm_serving_requests_running"
    """Gauge: requests that are being answered. Only where the launcher drains."""
    DRAINED_REQUESTS = "llm_serving_drained_requests_total"
    """Counter, by :data:`SERIES_OUTCOME`: requests since SIGTERM. Only where the launcher drains."""


class LaunchStage(StrEnum):
    """What the launcher measures of a start. ``COMPILE_CACHE``, ``ENGINE``, ``MODEL`` and ``WARM_UP`` add up to
    ``TOTAL``. The others are parts of ``ENGINE``, as vLLM logs them."""

    COMPILE_CACHE = "compile_cache"
    ENGINE = "engine"
    MODEL = "model"
    WARM_UP = "warm_up"
    TOTAL = "total"
    WEIGHTS = "weights"
    INITIALIZATION = "initialization"
    """Profiling, KV cache, compilation and graphs."""
    COMPILATION = "compilation"
    GRAPHS = "graphs"


class DrainOutcome(StrEnum):
    """What became of a request that ran or came after SIGTERM."""

    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"
    """Before the first byte of its answer."""
    ENDED = "ended"
    """With an error in its stream."""
    BROKEN = "broken"
    """Its connection was cut."""


class GatewaySeries(StrEnum):
    """Series of the gateway (``images/gateway``), by :data:`SERIES_MODEL`."""

    DEMAND = "llm_gateway_demand"
    """Gauge: requests that are on their way to a model's back ends, and at least 1 for a minute after the last one."""
    REQUESTS = "llm_gateway_requests_total"
    """Counter, by key, team and status of the client: requests that ended."""
    BROKEN_STREAMS = "llm_gateway_broken_streams_total"
    """Counter, by release: streams that broke off after their first byte."""
    TOKENS = "llm_gateway_tokens_total"
    """Counter, by key and team of the client, and by direction."""
    REDIS_AWAY = "llm_gateway_redis_away"
    """Gauge, by Redis and no model: 1 while it is left alone."""
    POSTGRES_AWAY = "llm_gateway_postgres_away"
    """Gauge, by nothing: 1 while the table of keys is left alone."""


class KubeStateSeries(StrEnum):
    """Gauges of kube-state-metrics (its repository, ``docs/metrics``)."""

    DEPLOYMENT_REPLICAS = "kube_deployment_spec_replicas"
    DEPLOYMENT_READY = "kube_deployment_status_replicas_ready"
    STATEFUL_SET_REPLICAS = "kube_statefulset_replicas"
    STATEFUL_SET_READY = "kube_statefulset_status_replicas_ready"
    POD_CREATED = "kube_pod_created"
    POD_SCHEDULED = "kube_pod_status_scheduled_time"
    CONTAINER_STARTED = "kube_pod_container_state_started"
    CONTAINER_RESTARTS = "kube_pod_container_status_restarts_total"
    CONTAINER_LAST_END = "kube_pod_container_status_last_terminated_reason"
    POD_UNSCHEDULABLE = "kube_pod_status_unschedulable"
    JOB_FAILED = "kube_job_status_failed"
    AUTOSCALER_DESIRED = "kube_horizontalpodautoscaler_status_desired_replicas"
    AUTOSCALER_MOST = "kube_horizontalpodautoscaler_spec_max_replicas"


SERIES_STATUS = "status"
"""On :attr:`GatewaySeries.REQUESTS`: the HTTP status."""
SERIES_TENANT = "tenant"
"""The client's team, on recorded series: ``team`` owns the model."""


DCGM_GPU_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"
"""Gauge of NVIDIA's DCGM exporter, 0 to 100, with the labels of the pod that holds the GPU."""
