"""The volume provisioner of a node: ``python -m local.cluster.node.provisioner DIRECTORY``.

A claim of the storage class gets a folder of its own on the machine's disk, as a ``local`` volume that only pods on the
node can use. The folder is open to every user, for pods that do not run as root, and goes with its claim. Sizes are
noted, not enforced. It remembers nothing: volumes are in the API server, folders on the disk.
"""

import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster import identities, rest
from local.cluster.config import ClusterConfig
from local.cluster.controller_runtime import ChangeSignal, Informer, event, log_to_stdout
from local.cluster.disks import is_done_with, lacks_volume, volume_name, volume_object
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.node import paths

_LOG = logging.getLogger(identities.VOLUME_PROVISIONER)

STORAGE_CLASS = "standard"
PROVISIONER = "local.llm-serving.dev/folder"
_OPEN = 0o777
_IDLE = 15.0
"""The longest time between two comparisons, in seconds."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Provisioner:
    """Makes and removes volumes of one node.

    Attributes:
        client: connection to the API server.
        folder: below it each volume has its folder, named like the volume.
        node: the node's name.
    """

    client: rest.Kubernetes
    folder: Path
    node: str

    def reconcile(self) -> None:
        """Compare once and do what is missing."""
        claims = self.client.list("v1", "PersistentVolumeClaim")
        volumes = self.client.list("v1", "PersistentVolume")
        names = {volume["metadata"]["name"] for volume in volumes}
        for volume in [volume for volume in volumes if is_done_with(volume, {PROVISIONER})]:
            self._remove(volume["metadata"]["name"])
            self.client.delete(volume)
        for claim in claims:
            if waits(claim) and volume_name(claim) not in names:
                self._provide(claim)
        # Folders of volumes that somebody deleted by hand, or whose making was interrupted.
        kept = names | {volume_name(claim) for claim in claims}
        for entry in self.folder.iterdir():
            if entry.name not in kept:
                self._remove(entry.name)

    def _provide(self, claim: Object) -> None:
        reason = refusal(claim)
        if reason is not None:
            self.client.create(event(claim, "ProvisioningFailed", reason, component=PROVISIONER, warning=True))
            return
        path = self.folder / volume_name(claim)
        path.mkdir(exist_ok=True)
        path.chmod(_OPEN)
        try:
            self.client.create(volume_for(claim, path, self.node))
        except rest.ApiError as error:
            if error.status != 409:
                raise
            return
        _LOG.info("%s/%s: %s", claim["metadata"]["namespace"], claim["metadata"]["name"], path.name)
        message = f"Successfully provisioned volume {path.name}"
        self.client.create(event(claim, "ProvisioningSucceeded", message, component=PROVISIONER))

    def _remove(self, name: str) -> None:
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
            _LOG.info("%s: removed", name)


def waits(claim: Mapping[str, Any]) -> bool:
    """A claim of our class that has no volume yet."""
    return claim["spec"].get("storageClassName") == STORAGE_CLASS and lacks_volume(claim)


def refusal(claim: Mapping[str, Any]) -> str | None:
    """Why a folder cannot serve a claim; ``None`` where it can."""
    spec = claim["spec"]
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        return f"spec.volumeMode is {spec['volumeMode']}: storage class {STORAGE_CLASS} has only Filesystem"
    for key in ("selector", "dataSource", "dataSourceRef"):
        if spec.get(key):
            return f"spec.{key} is set: storage class {STORAGE_CLASS} makes new, empty volumes only"
    return None


def volume_for(claim: Mapping[str, Any], path: Path, node: str) -> Object:
    """The volume's object."""
    at_node = {"kubernetes.io/hostname": node}
    return volume_object(claim, STORAGE_CLASS, PROVISIONER, {"local": {"path": str(path)}}, at_node)


def main(arguments: Sequence[str]) -> int:
    """Compare for ever."""
    log_to_stdout()
    layout = Layout(Path(arguments[0]))
    config = ClusterConfig.read(layout)
    assert config.node is not None
    client = identities.connect(layout, identities.VOLUME_PROVISIONER, field_manager=identities.VOLUME_PROVISIONER)
    provisioner = Provisioner(client, paths.VOLUMES, config.node.name)
    signal = ChangeSignal()
    for kind in ("PersistentVolumeClaim", "PersistentVolume"):
        Informer(client, "v1", kind, signal).start()
    while True:
        try:
            signal.wait(_IDLE)
            provisioner.reconcile()
        except (rest.ApiError, rest.UnreachableError) as error:
            _LOG.warning("%s: will try again", error)
            time.sleep(1.0)
            signal.set()
        except ClusterError as error:
            print(f"volumes are not provided: {error}", file=sys.stderr, flush=True)
            return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
