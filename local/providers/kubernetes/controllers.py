"""Controllers of charts that are not rendered here but run as programs beside a local control plane: Karpenter."""

from collections.abc import Mapping
from typing import Any

from local.cluster import ClusterError, LocalCluster
from local.providers import host_names
from local.providers.kubernetes.releases import chart_name
from local.state_folder import StateFolder

_KARPENTER = "karpenter"


def run(host: str, values: Mapping[str, Any], state: StateFolder | None = None) -> bool:
    """Let the controller of a release run; whether it has one that this machine has.

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
    settings = (values.get("values") or {}).get("settings") or {}
    options, name = cluster.karpenter(), settings.get("clusterName")
    if options is None:
        return False
    if name != options.cluster:
        raise ClusterError(
            f"Karpenter finds no cluster {name!r}: settings.clusterName has to be this one's name, {options.cluster!r}"
        )
    cluster.run_karpenter(str(settings.get("interruptionQueue") or ""))
    return True


def end(host: str, values: Mapping[str, Any], state: StateFolder | None = None) -> None:
    """End the controller of a release that goes."""
    cluster = _cluster(host, values, state)
    if cluster is not None:
        cluster.end_karpenter()


def _cluster(host: str, values: Mapping[str, Any], state: StateFolder | None) -> LocalCluster | None:
    directory = host_names.resolve(host, state) if chart_name(str(values["chart"])) == _KARPENTER else None
    return None if directory is None else LocalCluster(directory)
