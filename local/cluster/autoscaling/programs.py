"""Command lines of the programs that scale pods.

They listen on the loopback of the control plane, but for two ports whose address KEDA has no flag for: the webhooks'
(TLS, answers admission reviews alone) and that of the adapter's own metrics. Prometheus and kube-state-metrics of a
cluster with a node listen on the node's link, where the machine reaches them.
"""

import os
import shutil
import sys
from pathlib import Path

from local.cluster import identities
from local.cluster.config import KUBE_STATE_METRICS, ClusterConfig
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout, program, tools
from local.cluster.processes import LESS_MEMORY, Command

OPERATOR, ADAPTER, WEBHOOKS, PROMETHEUS = "keda-operator", "keda-metrics-adapter", "keda-webhooks", "prometheus"
DISCOVERY = "prometheus-discovery"
NAMESPACE = "keda"

FIXED_PORTS = {
    "keda-operator-health": 9661,
    "keda-operator-metrics": 9662,
    "keda-metrics-service": 9666,
    "keda-adapter": 9667,
    "keda-adapter-metrics": 9668,
    "keda-webhooks": 9443,
    "keda-webhooks-health": 9669,
    "kube-state-metrics": 9670,
    "kube-state-metrics-telemetry": 9671,
    "prometheus": 9090,
}
"""In a network namespace of the cluster's own. Elsewhere ports of these names are chosen."""

_BUILT = (OPERATOR, ADAPTER, WEBHOOKS, KUBE_STATE_METRICS)
_SET_UP = "make setup-autoscaling"
_WATCHED = "deployments,horizontalpodautoscalers,jobs,nodes,poddisruptionbudgets,pods,statefulsets"


def missing() -> list[str]:
    """The programs that are not there, with what to do; empty where all are."""
    absent = [str(tools() / "bin" / name) for name in _BUILT if not (tools() / "bin" / name).exists()]
    if not (tools() / "crds" / "keda").exists():
        absent.append(str(tools() / "crds" / "keda"))
    if _prometheus() is None:
        absent.append(f"{PROMETHEUS} (package 'prometheus')")
    return absent


def check() -> None:
    """Refuse where a program is missing.

    Raises:
        ClusterError: names it and what to do.
    """
    absent = missing()
    if absent:
        raise ClusterError(f"autoscaling needs what is missing: {', '.join(absent)}. Run `{_SET_UP}`")


def commands(layout: Layout, config: ClusterConfig) -> tuple[Command, ...]:
    """The programs in the order in which they start; none where the cluster has no autoscaling.

    Raises:
        ClusterError: one is missing.
    """
    if config.autoscaling is None:
        return ()
    check()
    return (
        _kube_state_metrics(layout, config),
        _discovery(layout),
        _prometheus_server(layout, config),
        _operator(layout, config),
        _adapter(layout, config),
        _webhooks(layout, config),
    )


def _operator(layout: Layout, config: ClusterConfig) -> Command:
    ports = config.ports
    health = f"127.0.0.1:{ports['keda-operator-health']}"
    return Command(
        OPERATOR,
        (
            str(program(OPERATOR)),
            f"--cert-dir={layout.keda_certificates}",
            f"--health-probe-bind-address={health}",
            f"--metrics-bind-address=127.0.0.1:{ports['keda-operator-metrics']}",
            f"--metrics-service-bind-address=127.0.0.1:{ports['keda-metrics-service']}",
            # These two are ours, and name the cluster's own authority.
            "--enable-webhook-patching=false",
            "--enable-apiservice-patching=false",
        ),
        after=("kube-apiserver",),
        needs=(layout.definitions_served,),
        environment=_keda_environment(layout),
        probe=f"http://{health}/readyz",
    )


def _adapter(layout: Layout, config: ClusterConfig) -> Command:
    keys, kubeconfig = layout.keda_certificates, identities.kubeconfig_file(layout, identities.KEDA)
    return Command(
        ADAPTER,
        (
            str(program(ADAPTER)),
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--lister-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={config.ports['keda-adapter']}",
            f"--port={config.ports['keda-adapter-metrics']}",
            f"--metrics-service-address=127.0.0.1:{config.ports['keda-metrics-service']}",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--tls-cert-file={keys / 'tls.crt'}",
            f"--tls-private-key-file={keys / 'tls.key'}",
            f"--cert-dir={keys}",
        ),
        after=("kube-apiserver", OPERATOR),
        needs=(layout.definitions_served,),
        environment=_keda_environment(layout),
    )


def _webhooks(layout: Layout, config: ClusterConfig) -> Command:
    health = f"127.0.0.1:{config.ports['keda-webhooks-health']}"
    return Command(
        WEBHOOKS,
        (
            str(program(WEBHOOKS)),
            f"--cert-dir={layout.keda_certificates}",
            f"--port={config.ports['keda-webhooks']}",
            f"--health-probe-bind-address={health}",
            "--metrics-bind-address=0",
            # Its cache may lag behind an object that was made a moment ago.
            "--cache-miss-to-direct-client=true",
        ),
        after=("kube-apiserver",),
        needs=(layout.definitions_served,),
        environment=_keda_environment(layout),
        probe=f"http://{health}/readyz",
    )


def _keda_environment(layout: Layout) -> dict[str, str]:
    return {
        **LESS_MEMORY,
        "KUBECONFIG": str(identities.kubeconfig_file(layout, identities.KEDA)),
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
        "WATCH_NAMESPACE": "",
    }


def _kube_state_metrics(layout: Layout, config: ClusterConfig) -> Command:
    port, telemetry = config.ports["kube-state-metrics"], config.ports["kube-state-metrics-telemetry"]
    return Command(
        KUBE_STATE_METRICS,
        (
            str(program(KUBE_STATE_METRICS)),
            f"--kubeconfig={identities.kubeconfig_file(layout, identities.KUBE_STATE_METRICS)}",
            f"--host={config.api_address}",
            f"--port={port}",
            "--telemetry-host=127.0.0.1",
            f"--telemetry-port={telemetry}",
            f"--resources={_WATCHED}",
        ),
        after=("kube-apiserver",),
        environment=LESS_MEMORY,
        probe=f"http://{config.api_address}:{port}/healthz",
    )


def _discovery(layout: Layout) -> Command:
    return Command(
        DISCOVERY,
        (sys.executable, "-m", "local.cluster.autoscaling.discovery", str(layout.root)),
        after=("kube-apiserver",),
        probe=str(layout.prometheus_targets),
    )


def _prometheus_server(layout: Layout, config: ClusterConfig) -> Command:
    address = f"{config.api_address}:{config.ports['prometheus']}"
    return Command(
        PROMETHEUS,
        (
            str(_prometheus()),
            f"--config.file={layout.prometheus_configuration}",
            f"--storage.tsdb.path={layout.prometheus / 'data'}",
            "--storage.tsdb.retention.time=1d",
            f"--web.listen-address={address}",
        ),
        environment=LESS_MEMORY,
        probe=f"http://{address}/-/ready",
        grace=15.0,
    )


def _prometheus() -> Path | None:
    searched = os.pathsep.join([str(tools() / "bin"), os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])
    path = shutil.which(PROMETHEUS, path=searched)
    return None if path is None else Path(path)
