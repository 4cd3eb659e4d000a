"""Command lines of the control plane's programs. Everything listens on 127.0.0.1 alone."""

import sys
from dataclasses import dataclass, field

from local.cluster import credentials
from local.cluster.layout import POOL_CONTROLLER, Facts, Layout, program, tools

_SERVICE_RANGE = "10.96.0.0/16"
_POD_RANGE = "10.244.0.0/16"
# The API server holds definitions and caches in memory: collecting garbage earlier halves it at some cost in
# time.
_LESS_MEMORY = {"GOGC": "50"}


@dataclass(frozen=True)
class Command:
    """A program to run, and the program that must be ready before it starts."""

    name: str
    line: tuple[str, ...]
    after: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def commands(layout: Layout, facts: Facts) -> tuple[Command, ...]:
    """Every program of a cluster in the order in which they start.

    Raises:
        ClusterError: one is missing.
    """
    return (
        _etcd(layout, facts),
        _apiserver(layout, facts),
        _controller_manager(layout, facts),
        _scheduler(layout, facts),
        _kwok(layout, facts),
        Command(
            POOL_CONTROLLER,
            (sys.executable, "-m", "local.cluster.pool_controller", str(layout.root)),
            after="kube-apiserver",
        ),
    )


def _etcd(layout: Layout, facts: Facts) -> Command:
    client = f"https://127.0.0.1:{facts.ports['etcd']}"
    peer = f"https://127.0.0.1:{facts.ports['etcd-peer']}"
    keys = layout.certificates
    return Command(
        "etcd",
        (
            str(program("etcd")),
            "--name=local",
            f"--data-dir={layout.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=local={peer}",
            "--client-cert-auth",
            f"--trusted-ca-file={keys / 'ca.crt'}",
            f"--cert-file={keys / 'etcd.crt'}",
            f"--key-file={keys / 'etcd.key'}",
            "--peer-client-cert-auth",
            f"--peer-trusted-ca-file={keys / 'ca.crt'}",
            f"--peer-cert-file={keys / 'etcd.crt'}",
            f"--peer-key-file={keys / 'etcd.key'}",
            "--auto-compaction-retention=1h",
            "--log-level=warn",
        ),
    )


def _apiserver(layout: Layout, facts: Facts) -> Command:
    keys = layout.certificates
    plugins = [f"--enable-admission-plugins={','.join(facts.admission_plugins)}"] if facts.admission_plugins else []
    return Command(
        "kube-apiserver",
        (
            str(program("kube-apiserver")),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={facts.ports['apiserver']}",
            # It would publish itself as an endpoint, and refuses loopback addresses there.
            "--endpoint-reconciler-type=none",
            f"--etcd-servers=https://127.0.0.1:{facts.ports['etcd']}",
            f"--etcd-cafile={keys / 'ca.crt'}",
            f"--etcd-certfile={keys / 'etcd.crt'}",
            f"--etcd-keyfile={keys / 'etcd.key'}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--token-auth-file={credentials.token_file(layout)}",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            *plugins,
            "--allow-privileged=true",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={keys / 'service-account.pub'}",
            f"--service-account-signing-key-file={keys / 'service-account.key'}",
            # Aggregated API servers (a metrics adapter) know the API server by these.
            f"--requestheader-client-ca-file={keys / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={keys / 'front-proxy-client.key'}",
            "--profiling=false",
        ),
        after="etcd",
        environment=_LESS_MEMORY,
    )


def _controller_manager(layout: Layout, facts: Facts) -> Command:
    kubeconfig = credentials.kubeconfig_file(layout, "kube-controller-manager")
    return Command(
        "kube-controller-manager",
        (
            str(program("kube-controller-manager")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={facts.ports['controller-manager']}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={layout.certificates / 'service-account.key'}",
            f"--root-ca-file={layout.certificates / 'ca.crt'}",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--controllers=*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--profiling=false",
        ),
        after="kube-apiserver",
        environment=_LESS_MEMORY,
    )


def _scheduler(layout: Layout, facts: Facts) -> Command:
    kubeconfig = credentials.kubeconfig_file(layout, "kube-scheduler")
    return Command(
        "kube-scheduler",
        (
            str(program("kube-scheduler")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={facts.ports['scheduler']}",
            "--leader-elect=false",
            "--profiling=false",
        ),
        after="kube-apiserver",
        environment=_LESS_MEMORY,
    )


def _kwok(layout: Layout, facts: Facts) -> Command:
    return Command(
        "kwok",
        (
            str(program("kwok")),
            f"--kubeconfig={credentials.kubeconfig_file(layout, 'kwok')}",
            f"--config={tools() / 'kwok' / 'stages.yaml'}",
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            f"--server-address=127.0.0.1:{facts.ports['kwok']}",
            f"--cidr={_POD_RANGE}",
            "--node-lease-duration-seconds=40",
        ),
        after="kube-apiserver",
        environment=_LESS_MEMORY,
    )
