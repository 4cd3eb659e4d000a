"""Command lines of Karpenter and of what makes its machines nodes."""

import sys

from local.cluster import identities
from local.cluster.config import ClusterConfig
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout, program, tools
from local.cluster.processes import LESS_MEMORY, Command

KARPENTER, NODES = identities.KARPENTER, identities.KARPENTER_NODES
PORTS = ("karpenter-health", "karpenter-metrics")
"""Karpenter listens there on all addresses of the machine: it has no flag for one address. Both only answer."""


def check() -> None:
    """Refuse where a program is missing.

    Raises:
        ClusterError: names it and what to do.
    """
    absent = [path for path in (tools() / "bin" / KARPENTER, tools() / "crds" / KARPENTER) if not path.exists()]
    if absent:
        missing = ", ".join(map(str, absent))
        raise ClusterError(f"Karpenter needs what is missing: {missing}. Run `make setup-karpenter`")


def commands(layout: Layout, config: ClusterConfig) -> tuple[Command, ...]:
    """The programs in the order in which they start; none where the cluster has no Karpenter.

    Raises:
        ClusterError: one is missing.
    """
    options = config.karpenter
    if options is None:
        return ()
    check()
    health = config.ports["karpenter-health"]
    return (
        Command(
            KARPENTER,
            (str(program(KARPENTER)),),
            after=("kube-apiserver",),
            needs=(layout.definitions_served,),
            environment={
                **LESS_MEMORY,
                "KUBECONFIG": str(identities.kubeconfig_file(layout, KARPENTER)),
                "DISABLE_LEADER_ELECTION": "true",
                "HEALTH_PROBE_PORT": str(health),
                "METRICS_PORT": str(config.ports["karpenter-metrics"]),
                "CLUSTER_NAME": options.cluster,
                "CLUSTER_ENDPOINT": config.server,
                "INTERRUPTION_QUEUE": options.queue,
                "PREFERENCE_POLICY": options.preferences,
                # Prices that Karpenter brings along: the local AWS has no price list.
                "ISOLATED_VPC": "true",
                "AWS_ENDPOINT_URL": options.aws,
                "AWS_REGION": options.region,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                # Nothing of this machine's own, and no machine of a cloud that this one may be.
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": "/dev/null",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            },
            probe=f"http://127.0.0.1:{health}/readyz",
        ),
        Command(
            NODES,
            (sys.executable, "-m", "local.cluster.karpenter.nodes", str(layout.root)),
            after=("kube-apiserver",),
            needs=(layout.definitions_served,),
        ),
    )
