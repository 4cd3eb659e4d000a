"""Controllers of charts that are not rendered here but run as programs beside a local control plane: Karpenter."""

from collections.abc import Mapping
from typing import Any

from local.cluster import ClusterError, KarpenterOptions, LocalCluster
from local.providers import host_names
from local.providers.kubernetes.releases import chart_name
from local.state_folder import StateFolder

_KARPENTER = "karpenter"


def run(host: str, values: Mapping[str, Any], state: StateFolder | None = None) -> bool:
    """Let the controller of a release run, as its values say; whether it has one that this machine has.

    Args:
        host: of the cluster's API server.
        values: the release.
        state: the state folder.

    Raises:
        ClusterError: the controller does not get ready, or is told of another cluster.
    """
    cluster = _cluster(host, values, state)
    if cluster is None:
        return False
    folder = state or StateFolder.of()
    account, region, name = cluster.directory.relative_to(folder.clusters.resolve()).parts
    settings = (values.get("values") or {}).get("settings") or {}
    if settings.get("clusterName") != name:
        raise ClusterError(
            f"Karpenter finds no cluster {settings.get('clusterName')!r}: settings.clusterName has to be this one's "
            f"name, {name!r}"
        )
    cluster.create(
        karpenter=KarpenterOptions(
            folder.aws_api(account).start(),
            region,
            name,
            queue=str(settings.get("interruptionQueue") or ""),
            preferences=str(settings.get("preferencePolicy") or KarpenterOptions.preferences),
        )
    )
    return True


def end(host: str, values: Mapping[str, Any], state: StateFolder | None = None) -> None:
    """End the controller of a release that goes."""
    cluster = _cluster(host, values, state)
    if cluster is not None and cluster.exists():
        cluster.end_karpenter()


def _cluster(host: str, values: Mapping[str, Any], state: StateFolder | None) -> LocalCluster | None:
    """The cluster of EKS behind a host, where the release is Karpenter's."""
    if chart_name(str(values["chart"])) != _KARPENTER or not host.endswith(".eks.amazonaws.com"):
        return None
    directory = host_names.resolve(host, state)
    return None if directory is None else LocalCluster(directory)
