"""The table of add-ons, in the order in which they are installed: one that is watched needs the definitions of the one
that watches, so ``monitoring`` is the first. Adding one is one entry; tests name what else has to say its name.

Versions fit the definitions that tests validate against (``tools/go``): KEDA 2.21, Prometheus' operator 0.85
(https://github.com/prometheus-community/helm-charts/blob/main/charts/kube-prometheus-stack/UPGRADE.md: 77.x),
LeaderWorkerSet 0.8. Ports are the defaults of these charts. Looked up in November 2026.
"""

from llm_serving.addons import values
from llm_serving.addons.addon import Addon, AddonProvider, AddonService, Chart
from llm_serving.spec import ModelSpec

PROMETHEUS_PORT = 9090

_BY_THE_STACK = {"gcp": AddonProvider.STACK, "existing": AddonProvider.STACK}


def _scales(model: ModelSpec) -> bool:
    return model.autoscaling is not None


def _is_multi_node(model: ModelSpec) -> bool:
    return model.engine.nodes > 1


MONITORING = Addon(
    name="monitoring",
    title="Prometheus, its operator, kube-state-metrics",
    namespace="monitoring",
    chart=Chart("monitoring", "kube-prometheus-stack", "77.14.0", "https://prometheus-community.github.io/helm-charts"),
    values=values.monitoring,
    needed_by=_scales,
    providers=_BY_THE_STACK,
    control_plane_ports=(10250,),
    readable={"monitoring.coreos.com": ("podmonitors",)},
    # They scrape the engines. The label is the operator's own.
    service=AddonService("prometheus", {"app.kubernetes.io/name": "prometheus"}, PROMETHEUS_PORT, clients=("keda",)),
)
PROMETHEUS_URL = f"http://{values.PROMETHEUS_SERVICE}.{MONITORING.namespace}.svc:{PROMETHEUS_PORT}"
KEDA = Addon(
    name="keda",
    title="KEDA",
    namespace="keda",
    chart=Chart("keda", "keda", "2.21.0", "https://kedacore.github.io/charts"),
    values=values.keda,
    needed_by=_scales,
    providers=_BY_THE_STACK,
    # Metrics API, webhooks.
    control_plane_ports=(6443, 9443),
    readable={"keda.sh": ("scaledobjects", "triggerauthentications")},
)
LEADER_WORKER_SET = Addon(
    name="leader_worker_set",
    title="LeaderWorkerSet",
    namespace="lws-system",
    chart=Chart("lws", "oci://registry.k8s.io/lws/charts/lws", "0.8.0"),
    values=values.leader_worker_set,
    needed_by=_is_multi_node,
    providers=_BY_THE_STACK,
    control_plane_ports=(9443,),
    readable={"leaderworkerset.x-k8s.io": ("leaderworkersets",)},
)

ADDONS = (MONITORING, KEDA, LEADER_WORKER_SET)


def control_plane_ports() -> frozenset[int]:
    """Ports on which the API server calls any of the add-ons, whoever installs it."""
    return frozenset(port for addon in ADDONS for port in addon.control_plane_ports)
