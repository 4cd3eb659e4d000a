"""The table of add-ons, in the order in which they are installed: one that is watched needs the definitions of the one
that watches, so ``monitoring`` is the first. Adding one is one entry; tests name what else has to say its name.

Versions fit the definitions that tests validate against (``tools/go``): KEDA 2.21, Prometheus' operator 0.85
(https://github.com/prometheus-community/helm-charts/blob/main/charts/kube-prometheus-stack/UPGRADE.md: 77.x),
LeaderWorkerSet 0.8, the Gateway API 1.6, cert-manager 1.21. Ports are the defaults of these charts. Looked up in
November 2026.
"""

from llm_serving import catalog
from llm_serving.addons import values
from llm_serving.addons.addon import Addon, AddonProvider, AddonService, Chart
from llm_serving.spec import GatewaySpec, ModelSpec, Pool

PROMETHEUS_PORT = 9090
DCGM_EXPORTER_PORT = 9400

_BY_THE_STACK = {"gcp": AddonProvider.STACK, "aws": AddonProvider.STACK, "existing": AddonProvider.STACK}


def _scales(model: ModelSpec, pool: Pool) -> bool:
    return model.autoscaling is not None


def _is_multi_node(model: ModelSpec, pool: Pool) -> bool:
    return model.engine.nodes > 1


def _lacks_gpu_signal(model: ModelSpec, pool: Pool) -> bool:
    """It scales by the utilization of NVIDIA's GPUs, and no launcher reports it: a DaemonSet with the host's devices is
    not run for what the engine's own pod says as well."""
    is_asked = model.autoscaling is not None and model.autoscaling.gpu_utilization is not None
    resources = {accelerator.name: accelerator.resource or "" for accelerator in catalog.accelerators()}
    is_nvidias = resources.get(pool.accelerator, "").startswith("nvidia.com/")
    return is_asked and is_nvidias and not model.engine.launcher


def _always(gateway: GatewaySpec) -> bool:
    return True


def _makes_certificates(gateway: GatewaySpec) -> bool:
    """An issuer that is there has a cert-manager that is there."""
    tls = gateway.tls
    if tls is not None and tls.issuer is not None:
        return False
    return (tls is not None and tls.is_made) or bool(gateway.redis.with_made_certificates)


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

DCGM_EXPORTER = Addon(
    name="dcgm_exporter",
    title="NVIDIA's DCGM exporter",
    namespace="dcgm-exporter",
    chart=Chart("dcgm-exporter", "dcgm-exporter", "4.8.3", "https://nvidia.github.io/dcgm-exporter/helm-charts"),
    values=values.dcgm_exporter,
    needed_by=_lacks_gpu_signal,
    # GKE runs one where the cluster's monitoring has the component DCGM, as ours has. Chart 4 finds no driver on GKE's
    # nodes (github.com/NVIDIA/dcgm-exporter, issues 484 and 530, open in November 2026).
    providers={**_BY_THE_STACK, "gcp": AddonProvider.CLOUD},
    control_plane_ports=(),
    service=AddonService(
        "dcgm-exporter", {"app.kubernetes.io/name": "dcgm-exporter"}, DCGM_EXPORTER_PORT, clients=("monitoring",)
    ),
    # It mounts the kubelet's folder of the pods' devices from the host, and adds the capability SYS_ADMIN, and baseline
    # allows neither (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Nothing else runs there.
    pod_security="privileged",
)

GATEWAY_API = Addon(
    name="gateway_api",
    title="Definitions of the Gateway API",
    namespace="gateway-api",
    # The Gateway API publishes no chart (kubernetes-sigs/gateway-api#1590). Traefik's own, traefik-crds, stopped at
    # v1.4; Envoy Gateway's is larger than the Secret in which Helm keeps a release (envoyproxy/gateway#6105).
    chart=Chart("gateway-api-crds", "gateway-api-crds", "1.6.0", "https://wiremind.github.io/wiremind-helm-charts"),
    values=values.gateway_api,
    # GKE's channel brings an older version, so that clusters of stacks have it off.
    providers=_BY_THE_STACK,
    control_plane_ports=(),
    needed_by_gateway=_always,
    readable={"gateway.networking.k8s.io": ("httproutes",)},
)

CERT_MANAGER = Addon(
    name="cert_manager",
    title="cert-manager",
    namespace="cert-manager",
    chart=Chart("cert-manager", "cert-manager", "v1.21.2", "https://charts.jetstack.io"),
    values=values.cert_manager,
    providers=_BY_THE_STACK,
    # Its webhook.
    control_plane_ports=(10250,),
    needed_by_gateway=_makes_certificates,
    readable={"cert-manager.io": ("certificates", "certificaterequests")},
)

# cert-manager starts with the definitions of the Gateway API alone.
ADDONS = (MONITORING, KEDA, LEADER_WORKER_SET, DCGM_EXPORTER, GATEWAY_API, CERT_MANAGER)


def control_plane_ports() -> frozenset[int]:
    """Ports on which the API server calls any of the add-ons, whoever installs it."""
    return frozenset(port for addon in ADDONS for port in addon.control_plane_ports)
