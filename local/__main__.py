"""``python -m local``: the clouds of this machine, from the outside.

Prepares what the ``pulumi`` command needs, shows what is there, starts control planes again after a reboot,
and takes everything away.
"""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from local import home as homes
from local.cluster import ClusterError, LocalCluster
from local.cluster.files import write_atomically
from local.clusters import clusters_of, start_clusters
from local.home import Home
from local.providers import names
from local.providers.store import Record, Store

_CLUSTER = "gcp:container/cluster:Cluster"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The clouds of this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (function, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=function)
        if name == "kubeconfig":
            command.add_argument("--cluster", metavar="NAME", help="which one, where there are several")
            command.add_argument("--write", type=Path, metavar="FILE", help="write it there instead of printing it")
        if name == "clean":
            command.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    try:
        return given.run(Home.of(), given)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _prepare(home: Home, given: argparse.Namespace) -> int:
    for path in homes.prepare(home):
        print(path)
    return 0


def _env(home: Home, given: argparse.Namespace) -> int:
    homes.prepare(home)
    print("unset PULUMI_CONFIG_PASSPHRASE PULUMI_ACCESS_TOKEN PULUMI_STACK")
    for key, value in homes.environment(home).items():
        print(f"export {key}={shlex.quote(value)}")
    return 0


def _status(home: Home, given: argparse.Namespace) -> int:
    console = Console(width=None if sys.stdout.isatty() else 160)
    clusters = Table("cluster", "state", "version", "pools (nodes)", "names", title="Clusters")
    hosts = names.everything(home)
    found = clusters_of(home)
    for directory, cluster in found.items():
        running = cluster.running()
        own = [host for host, place in hosts.items() if Path(place) == cluster.directory]
        pools = [f"{pool.name} ({pool.min}-{pool.max})" for pool in cluster.pools()]
        clusters.add_row(
            str(directory), "running" if running else "stopped", cluster.version(), "\n".join(pools), "\n".join(own)
        )
    resources = Table("type", "number", "not finished", title="Resources")
    records: dict[str, list[Record]] = {}
    for place in sorted(home.clouds.glob("*")):
        if place.is_dir():
            for record in Store(place).all():
                records.setdefault(record.token, []).append(record)
    for token, items in sorted(records.items()):
        unfinished = [f"{item.id} ({item.phase})" for item in items if item.phase != "ready"]
        resources.add_row(token, str(len(items)), "\n".join(unfinished))
    print(f"State: {home.root}; kubernetes plugin: {homes.kubernetes_plugin(home)}")
    if not found and not records:
        print("Nothing is there yet.")
        return 0
    if found:
        console.print(clusters)
    for directory, cluster in found.items():
        if cluster.has_node and cluster.running():
            console.print(_node(directory, cluster))
    if records:
        console.print(resources)
    return 0


def _node(directory: Path, cluster: LocalCluster) -> Table | str:
    """The node of a cluster that runs, and its programs."""
    try:
        health = cluster.node_health()
    except ClusterError as error:
        return f"{directory}: {error}"
    table = Table("what", "state", title=f"Node {health.name} of {directory}")
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


def _plugin(home: Home, given: argparse.Namespace) -> int:
    print(homes.kubernetes_plugin(home))
    return 0


def _start(home: Home, given: argparse.Namespace) -> int:
    start_clusters(home)
    return 0


def _stop(home: Home, given: argparse.Namespace) -> int:
    for directory, cluster in clusters_of(home).items():
        cluster.stop()
        print(f"{directory}: stopped")
    return 0


def _kubeconfig(home: Home, given: argparse.Namespace) -> int:
    found = clusters_of(home)
    wanted = {
        directory: cluster
        for directory, cluster in found.items()
        if given.cluster in (None, directory.name, str(directory))
    }
    if len(wanted) != 1:
        there = ", ".join(str(directory) for directory in found) or "none; run an update first"
        asked = f"no cluster {given.cluster!r}" if given.cluster and not wanted else "which cluster? Use --cluster"
        print(f"error: {asked} (there are: {there})", file=sys.stderr)
        return 1
    text = yaml.safe_dump(next(iter(wanted.values())).kubeconfig(), sort_keys=False)
    if given.write:
        write_atomically(given.write, text)  # readable by its owner only: it holds a token
        print(given.write)
    else:
        print(text, end="")
    return 0


def _clean(home: Home, given: argparse.Namespace) -> int:
    if not home.root.exists():
        print(f"{home.root} is not there")
        return 0
    # Names with a dot in front are temporary files of a write that was killed.
    foreign = {name for name in os.listdir(home.root) if not name.startswith(".")} - _OWN
    if foreign:
        print(f"error: {home.root} holds what is not ours: {', '.join(sorted(foreign))}", file=sys.stderr)
        return 1
    if not given.yes:
        if not sys.stdin.isatty():
            print("error: this removes all simulated clouds and their Pulumi state; say --yes", file=sys.stderr)
            return 1
        answer = input(f"Remove {home.root} with all simulated clouds and their Pulumi state? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            return 1
    for directory, cluster in clusters_of(home).items():
        cluster.delete()
        print(f"{directory}: removed")
    shutil.rmtree(home.root)
    print(f"{home.root}: removed")
    return 0


_OWN = frozenset(
    {
        "pulumi-home", "backend", "clouds", "clusters", "names.json", "names.lock", "passphrase", "faults.yaml",
        "quotas.yaml", "project", "kubeconfig", "models", "loaded-images",
    }
)  # fmt: skip

_COMMANDS: dict[str, tuple[Callable[[Home, argparse.Namespace], int], str]] = {
    "prepare": (_prepare, "make the Pulumi home with its plugins, the backend and a passphrase"),
    "env": (_env, "print the environment for the pulumi command, for a shell to evaluate"),
    "status": (_status, "show clusters, pools and resources"),
    "plugin": (_plugin, "say which kubernetes plugin runs: ours, or the official one"),
    "start": (_start, "start control planes that do not run, for example after a reboot"),
    "stop": (_stop, "stop all control planes; their state stays"),
    "kubeconfig": (_kubeconfig, "print an administrator's kubeconfig of a cluster"),
    "clean": (_clean, "remove all state"),
}

if __name__ == "__main__":
    sys.exit(main())
