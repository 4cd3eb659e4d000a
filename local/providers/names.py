"""The name service of the local clouds: which control plane stands behind a host name that no resolver knows.

The file ``names.json`` in the state folder maps a host to the folder of its ``LocalCluster``. The gcp plugin
registers a cluster's endpoints; the kubernetes plugin resolves the server of a kubeconfig.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from local.state_folder import StateFolder
from stacks.files import file_locked, write_atomically


def register(host: str, directory: Path, home: StateFolder | None = None) -> None:
    """Let ``host`` stand for the control plane in ``directory``; a name that was there is taken over."""
    _change(home or StateFolder.of(), lambda names: names.__setitem__(host, str(directory.resolve())))


def unregister(hosts: Iterable[str], home: StateFolder | None = None) -> None:
    """Forget hosts; one that is not there is no error."""
    gone = set(hosts)
    _change(home or StateFolder.of(), lambda names: [names.pop(host, None) for host in gone])


def resolve(host: str, home: StateFolder | None = None) -> Path | None:
    """The folder of the control plane behind ``host``, or ``None`` where nobody registered it."""
    directory = everything(home).get(host)
    return Path(directory) if directory else None


def everything(home: StateFolder | None = None) -> dict[str, str]:
    """All names: host -> folder."""
    path = (home or StateFolder.of()).names
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _change(home: StateFolder, change: Callable[[dict[str, str]], object]) -> None:
    with file_locked(home.names.with_suffix(".lock")):
        names = everything(home)
        before = dict(names)
        change(names)
        if names != before:
            write_atomically(home.names, json.dumps(names, indent=1, sort_keys=True) + "\n")
