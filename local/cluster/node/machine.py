"""What a node puts on the machine, outside its own namespaces, and takes away again: a link with routes, a cgroup
folder, and mount points that were missing.

Who owns what can be read off the things themselves (the link's alias is the cluster's folder, routes carry a number,
mount points a marker), so that a killed node's are found without any note that would have to survive it. All changes
are made under one lock of the machine.
"""

import contextlib
import subprocess
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.node import addresses, cgroups
from local.cluster.node.addresses import ROUTE_PROTOCOL, SLOT_LINKS, AddressSlot
from local.cluster.node.paths import COVERED
from stacks.files import folder_locked

_NET = Path("/sys/class/net")
_ALIAS_LIMIT = 255
_LAST_METRIC = "4000"
MARKER = ".made-for-llm-serving"
"""Stands in a mount point that was missing, below what is mounted there."""


def locked() -> contextlib.AbstractContextManager[None]:
    """Nobody else changes links, routes or mount points of nodes meanwhile."""
    return folder_locked(Path("/run"))


def reserve(directory: Path, wanted: int | None) -> AddressSlot:
    """Take the cluster's address slot, or a free one, by making its link. Clears what the cluster itself left there.

    Args:
        directory: the cluster's folder, which becomes the link's alias.
        wanted: the cluster's slot; ``None`` where it has none yet.

    Raises:
        ClusterError: the slot, or every slot, is in use; names by what.
    """
    if len(str(directory).encode()) > _ALIAS_LIMIT:
        raise ClusterError(f"{directory} is longer than {_ALIAS_LIMIT} bytes: choose a shorter folder for the cluster")
    with locked():
        clear_own(directory)
        used = addresses.uses()
        held = {number: owner for link, number in SLOT_LINKS.items() if (owner := _owner(link)) is not None}
        if wanted is None:
            slot = addresses.choose(used, held)
        else:
            slot = AddressSlot(wanted)
            taken = f"the node of {held[wanted]}" if wanted in held else addresses.taken_by(slot, used)
            if taken is not None:
                raise ClusterError(
                    f"the cluster in {directory} cannot start: its address slot {wanted} is in use: {taken}. "
                    "Free it, or delete this cluster and create it anew (its objects hold addresses of the slot)"
                )
        _clear_slot(slot)
        _ip("link", "add", slot.link_name, "type", "veth", "peer", "name", _peer(slot))
        _ip("link", "set", slot.link_name, "alias", str(directory))
        for folder in COVERED:
            if not folder.exists():
                folder.mkdir(parents=True)
                (folder / MARKER).touch()
        cgroups.make(slot.cgroup)
        return slot


def connect(slot: AddressSlot, init: int) -> None:
    """Give the node its end of the link, and this machine its routes. Below them stand others that answer "no route",
    so that nothing for a node that is down leaves the machine by its default route.

    Args:
        slot: the reserved slot.
        init: a process of the node's network namespace.

    Raises:
        ClusterError: ``ip`` refuses.
    """
    routes = [str(slot.services), str(slot.pods)]
    _batch(
        f"link set {_peer(slot)} netns {init} name eth0",
        f"address add {slot.host}/{slot.link.prefixlen} dev {slot.link_name}",
        f"link set {slot.link_name} up",
        *(f"route add {route} via {slot.node} protocol {ROUTE_PROTOCOL}" for route in routes),
        *(f"route add unreachable {route} metric {_LAST_METRIC} protocol {ROUTE_PROTOCOL}" for route in routes),
    )


def clear(directory: Path, number: int | None) -> None:
    """Take away everything of the cluster's node; its processes must have ended.

    Args:
        directory: the cluster's folder.
        number: its slot; ``None`` where none was chosen.

    Raises:
        ClusterError: something cannot be removed.
    """
    with locked():
        clear_own(directory)
        if number is not None and _owner(AddressSlot(number).link_name) is None:
            _clear_slot(AddressSlot(number))
        if not any((_NET / link).exists() for link in SLOT_LINKS):
            _remove_mount_points()


def clear_own(directory: Path) -> None:
    """Remove links of this cluster, and those whose cluster's folder was removed, with what stands beside them."""
    for link, number in SLOT_LINKS.items():
        owner = _owner(link)
        if owner is not None and (owner == directory or not owner.exists()):
            _delete(link)
            _clear_slot(AddressSlot(number))


def _clear_slot(slot: AddressSlot) -> None:
    _remove_routes(slot)
    cgroups.remove(slot.cgroup)


def _remove_routes(slot: AddressSlot) -> None:
    for network in (slot.services, slot.pods):
        _ip("route", "flush", "exact", str(network), "protocol", ROUTE_PROTOCOL)


def _remove_mount_points() -> None:
    """Only where no node runs: removing a folder ends mounts over it in every namespace (rmdir(2), Linux 3.18)."""
    for folder in COVERED:
        if (folder / MARKER).exists():
            (folder / MARKER).unlink()
            with contextlib.suppress(OSError):  # somebody else has put something in
                folder.rmdir()


def _delete(link: str) -> None:
    try:
        _ip("link", "delete", link)
    except ClusterError:
        if (_NET / link).exists():  # else the kernel was quicker: it removes a link whose other end has gone
            raise


def _owner(link: str) -> Path | None:
    """The folder of the cluster that made a link; ``None`` where there is no such link."""
    try:
        return Path((_NET / link / "ifalias").read_text().strip() or "/nonexistent")
    except OSError:
        return None


def _peer(slot: AddressSlot) -> str:
    return f"{slot.link_name}n"


def _batch(*commands: str) -> None:
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"ip refuses one of these: {'; '.join(commands)}: {done.stderr.strip()}")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
