"""What runs on this machine, as tables: clusters, the node and its programs, resources of the clouds."""

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from local import kubernetes_plugin
from local.cluster import ClusterError, LocalCluster
from local.providers import host_names
from local.providers.store import Record, Store
from local.state_folder import StateFolder
from stacks.report.sections import Part, Section, Sentence, print_tables, prose, terminal


def show_status(state: StateFolder) -> None:
    """Print clusters, nodes and resources of a state folder.

    Raises:
        ClusterError: a cluster cannot be asked.
    """
    clusters = state.control_planes()
    folders = [path.parent for path in sorted(state.clouds.rglob("resources")) if path.is_dir()]
    records = [record for folder in folders for record in Store(folder).all()]
    print(f"State: {state.root}; kubernetes plugin: {kubernetes_plugin.describe(state)}")
    parts: list[Part] = []
    if clusters:
        parts.append(_clusters(clusters, host_names.everything(state)))
    parts += [_node(folder, cluster) for folder, cluster in clusters.items() if cluster.has_node and cluster.running()]
    if records:
        parts.append(_resources(records))
    print_tables(parts or [Sentence("Nothing is there yet.", "")], terminal())


def _clusters(clusters: Mapping[Path, LocalCluster], hosts: Mapping[str, str]) -> Section:
    rows: list[tuple[str, ...]] = []
    for folder, cluster in clusters.items():
        running = "running" if cluster.running() else "stopped"
        own_hosts = [host for host, place in hosts.items() if Path(place) == cluster.directory]
        pools = [f"{pool.name} ({pool.min}-{pool.max})" for pool in cluster.pools()]
        rows.append((str(folder), running, cluster.version(), "\n".join(pools), "\n".join(own_hosts)))
    return Section("Clusters", ("cluster", "state", "version", "pools (nodes)", "names"), rows)


def _node(folder: Path, cluster: LocalCluster) -> Part:
    """The node of a cluster that runs, and its programs; a line where the node does not tell."""
    try:
        health = cluster.node_health()
    except ClusterError as error:
        return Sentence(f"{folder}: {error}", "")
    held = health.memory
    rows = [
        ("node", "ready" if health.problem is None else f"not ready: {health.problem}"),
        ("pods running", str(health.pods)),
        ("memory", f"{held.resident / 1e6:.0f} MB resident in {held.processes} processes (pods and control plane)"),
    ]
    for name, program in cluster.programs().items():
        ended = f", ended {program.restarts} times, last with {program.last_exit}" if program.restarts else ""
        rows.append((name, ("runs" if program.ready else "does not answer") + ended))
    rows.append(("images", "\n".join(health.images)))
    return Section(f"Node {health.name} of {folder}", ("what", prose("state")), rows)


def _resources(records: list[Record]) -> Section:
    ordered = sorted(records, key=attrgetter("token"))
    rows = [(token, str(len(list(group)))) for token, group in groupby(ordered, key=attrgetter("token"))]
    unfinished = [f"not finished: {item.token} {item.id} ({item.phase})" for item in ordered if item.phase != "ready"]
    return Section("Resources", ("type", "number"), rows, notes=unfinished)
