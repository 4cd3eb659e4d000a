"""The name service of the local clouds: which control plane stands behind a host name that no resolver knows.

The file ``names.json`` in the state folder maps a host to the folder of its ``LocalCluster``. The gcp plugin
registers a cluster's endpoints; the kubernetes plugin resolves the server of a kubeconfig.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from local.state_folder import StateFolder
from stacks.files import file_locked, write_atomically


def register(host: str, directory: Path, state_folder: StateFolder | None = None) -> None:
    """Let ``host`` stand for the control plane in ``directory``; a name that was there is taken over."""
    _change(state_folder or StateFolder.of(), lambda names: names.__setitem__(host, str(directory.resolve())))


def unregister(hosts: Iterable[str], state_folder: StateFolder | None = None) -> None:
    """Forget hosts; one that is not there is no error."""
    gone = set(hosts)
    _change(state_folder or StateFolder.of(), lambda names: [names.pop(host, None) for host in gone])


def resolve(host: str, state_folder: StateFolder | None = None) -> Path | None:
    """The folder of the control plane behind ``host``, or ``None`` where nobody registered it."""
    directory = everything(state_folder).get(host)
    return Path(directory) if directory else None


def of(directory: Path, state_folder: StateFolder | None = None) -> set[str]:
    """The host names of a control plane."""
    return {host for host, place in everything(state_folder).items() if Path(place) == directory.resolve()}


def everything(state_folder: StateFolder | None = None) -> dict[str, str]:
    """All names: host -> folder."""
    path = (state_folder or StateFolder.of()).names
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _change(state_folder: StateFolder, change: Callable[[dict[str, str]], object]) -> None:
    with file_locked(state_folder.names.with_suffix(".lock")):
        names = everything(state_folder)
        before = dict(names)
        change(names)
        if names != before:
            write_atomically(state_folder.names, json.dumps(names, indent=1, sort_keys=True) + "\n")
