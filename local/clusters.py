"""Every control plane of one state folder."""

from pathlib import Path

from local.cluster import LocalCluster
from local.home import Home


def clusters_of(home: Home) -> dict[Path, LocalCluster]:
    """The clusters that were created, by their folder below ``clusters/``: ``project/location/name``."""
    found = {path: LocalCluster(path) for path in sorted(home.clusters.glob("*/*/*")) if path.is_dir()}
    return {path.relative_to(home.clusters): cluster for path, cluster in found.items() if cluster.exists()}


def start_clusters(home: Home) -> None:
    """Start the control planes that do not run, for example after a reboot, with a line for each."""
    for directory, cluster in clusters_of(home).items():
        if cluster.running():
            continue
        print(f"starting the control plane of {directory}", flush=True)
        cluster.start()
