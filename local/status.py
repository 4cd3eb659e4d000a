"""What runs on this machine, as tables: clusters, the node and its programs, resources of the clouds."""

import sys
from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local import kubernetes_plugin
from local.cluster import ClusterError, LocalCluster
from local.providers import host_names
from local.providers.store import Record, Store
from local.state_folder import StateFolder


def show_status(state: StateFolder) -> None:
    """Print clusters, nodes and resources of a state folder.

    Raises:
        ClusterError: a cluster cannot be asked.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    clusters = state.control_planes()
    folders = [folder for folder in sorted(state.clouds.glob("*")) if folder.is_dir()]
    records = [record for folder in folders for record in Store(folder).all()]
    print(f"State: {state.root}; kubernetes plugin: {kubernetes_plugin.describe(state)}")
    if clusters:
        console.print(_clusters_table(clusters, host_names.everything(state)))
    for folder, cluster in clusters.items():
        if cluster.has_node and cluster.running():
            console.print(_node_table(folder, cluster))
    if records:
        console.print(_resources_table(records))
    if not clusters and not records:
        print("Nothing is there yet.")


def _clusters_table(clusters: Mapping[Path, LocalCluster], hosts: Mapping[str, str]) -> Table:
    table = Table("cluster", "state", "version", "pools (nodes)", "names", title="Clusters")
    for folder, cluster in clusters.items():
        running = "running" if cluster.running() else "stopped"
        own_hosts = [host for host, place in hosts.items() if Path(place) == cluster.directory]
        pools = [f"{pool.name} ({pool.min}-{pool.max})" for pool in cluster.pools()]
        table.add_row(str(folder), running, cluster.version(), "\n".join(pools), "\n".join(own_hosts))
    return table


def _node_table(folder: Path, cluster: LocalCluster) -> Table | str:
    """The node of a cluster that runs, and its programs; a line where the node does not tell."""
    try:
        health = cluster.node_health()
    except ClusterError as error:
        return f"{folder}: {error}"
    table = Table("what", "state", title=f"Node {health.name} of {folder}")
    table.add_row("node", "ready" if health.problem is None else f"not ready: {health.problem}")
    table.add_row("pods running", str(health.pods))
    held = health.memory
    table.add_row(
        "memory", f"{held.resident / 1e6:.0f} MB resident in {held.processes} processes (pods and control plane)"
    )
    for name, program in cluster.programs().items():
        ended = f", ended {program.restarts} times, last with {program.last_exit}" if program.restarts else ""
        table.add_row(name, ("runs" if program.ready else "does not answer") + ended)
    table.add_row("images", "\n".join(health.images))
    return table


def _resources_table(records: list[Record]) -> Table:
    table = Table("type", "number", "not finished", title="Resources")
    for token, group in groupby(sorted(records, key=attrgetter("token")), key=attrgetter("token")):
        of_type = list(group)
        unfinished = [f"{record.id} ({record.phase})" for record in of_type if record.phase != "ready"]
        table.add_row(token, str(len(of_type)), "\n".join(unfinished))
    return table
