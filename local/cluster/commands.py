"""Command lines of a cluster's programs. Everything listens on 127.0.0.1 alone, but for the API server and the kubelet
of a cluster with a node: they listen on the link between the machine and the node.
"""

import sys

from local.cluster import identities
from local.cluster.autoscaling import programs as autoscaling
from local.cluster.config import AutoscalingOptions, ClusterConfig
from local.cluster.karpenter import programs as karpenter
from local.cluster.layout import POOL_CONTROLLER, Layout, program
from local.cluster.node import programs
from local.cluster.processes import LESS_MEMORY, Command
from local.cluster.simulated_nodes import KWOK_SELECTOR

_SIMULATED_PODS = "10.244.0.0/16"
_SIMULATED_PODS_BESIDE_REAL_ONES = "100.64.0.0/16"
"""RFC 6598, for carriers: no address of a pod that runs, whatever the slot."""


def commands(layout: Layout, config: ClusterConfig) -> tuple[Command, ...]:
    """Every program of a cluster in the order in which they start.

    Raises:
        ClusterError: one is missing.
    """
    return (
        _etcd(layout, config),
        _apiserver(layout, config),
        _controller_manager(layout, config),
        _scheduler(layout, config),
        _kwok(layout, config),
        Command(
            POOL_CONTROLLER,
            (sys.executable, "-m", "local.cluster.pool_controller", str(layout.root)),
            after=("kube-apiserver",),
        ),
        *programs.commands(layout, config),
        *autoscaling.commands(layout, config),
        *karpenter.commands(layout, config),
    )


def _etcd(layout: Layout, config: ClusterConfig) -> Command:
    client = f"https://127.0.0.1:{config.ports['etcd']}"
    peer = f"https://127.0.0.1:{config.ports['etcd-peer']}"
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
        grace=15.0,
    )


def _apiserver(layout: Layout, config: ClusterConfig) -> Command:
    keys = layout.certificates
    # A kubelet may change its own node and pods alone.
    wanted = [*config.admission_plugins, *([] if config.node is None else ["NodeRestriction"])]
    plugins = [f"--enable-admission-plugins={','.join(wanted)}"] if wanted else []
    node = [] if config.node is None else programs.apiserver_flags(layout)
    return Command(
        "kube-apiserver",
        (
            str(program("kube-apiserver")),
            f"--bind-address={config.api_address}",
            f"--advertise-address={config.api_address}",
            f"--secure-port={config.ports['apiserver']}",
            # It would publish itself as an endpoint, and refuses loopback addresses there.
            *(["--endpoint-reconciler-type=none"] if config.node is None else []),
            f"--etcd-servers=https://127.0.0.1:{config.ports['etcd']}",
            f"--etcd-cafile={keys / 'ca.crt'}",
            f"--etcd-certfile={keys / 'etcd.crt'}",
            f"--etcd-keyfile={keys / 'etcd.key'}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--token-auth-file={identities.token_file(layout)}",
            f"--authorization-mode={'RBAC' if config.node is None else 'Node,RBAC'}",
            "--anonymous-auth=false",
            *plugins,
            *node,
            "--allow-privileged=true",
            f"--service-cluster-ip-range={config.service_range}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={keys / 'service-account.key'}",
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
        after=("etcd",),
        environment=LESS_MEMORY,
        grace=15.0,
    )


def _controller_manager(layout: Layout, config: ClusterConfig) -> Command:
    kubeconfig = identities.kubeconfig_file(layout, "kube-controller-manager")
    sync_seconds = (config.autoscaling or AutoscalingOptions()).sync_seconds
    return Command(
        "kube-controller-manager",
        (
            str(program("kube-controller-manager")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={config.ports['controller-manager']}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={layout.certificates / 'service-account.key'}",
            f"--root-ca-file={layout.certificates / 'ca.crt'}",
            f"--service-cluster-ip-range={config.service_range}",
            "--controllers=*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller",
            f"--horizontal-pod-autoscaler-sync-period={sync_seconds}s",
            "--profiling=false",
        ),
        after=("kube-apiserver",),
        environment=LESS_MEMORY,
    )


def _scheduler(layout: Layout, config: ClusterConfig) -> Command:
    kubeconfig = identities.kubeconfig_file(layout, "kube-scheduler")
    return Command(
        "kube-scheduler",
        (
            str(program("kube-scheduler")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={config.ports['scheduler']}",
            "--leader-elect=false",
            "--profiling=false",
        ),
        after=("kube-apiserver",),
        environment=LESS_MEMORY,
    )


def _kwok(layout: Layout, config: ClusterConfig) -> Command:
    return Command(
        "kwok",
        (
            str(program("kwok")),
            f"--kubeconfig={identities.kubeconfig_file(layout, 'kwok')}",
            f"--config={layout.kwok_stages}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={KWOK_SELECTOR}",
            f"--server-address=127.0.0.1:{config.ports['kwok']}",
            f"--cidr={_SIMULATED_PODS if config.node is None else _SIMULATED_PODS_BESIDE_REAL_ONES}",
            "--node-lease-duration-seconds=40",
        ),
        after=("kube-apiserver",),
        environment=LESS_MEMORY,
    )
