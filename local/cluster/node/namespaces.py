"""The first process of a node's namespaces: mounts and network as the programs need them.

Kernel settings of the whole machine, which a kubelet changes, are covered by files with the values it wants: it
finds them right, and writes nothing (kubelet: setupKernelTunables in container_manager_linux.go).
"""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.node import paths
from local.cluster.node.addresses import AddressSlot

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000  # <linux/sched.h>
_PR_SET_PDEATHSIG = 1
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def fork_init() -> int:
    """Fork a process that is the first of a new pid namespace; it dies with its parent. As :func:`os.fork`: 0 in the
    child.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(_CLONE_NEWPID), "unshare")
        child = os.fork()
        if child == 0:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            return 0
        _check(libc.setns(own, _CLONE_NEWPID), "setns")  # later children of this process are the machine's again
        return child
    finally:
        os.close(own)


def enter() -> None:
    """Give this process, the first of its pid namespace, mounts and a network of its own.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET), "unshare")


def mount(node_folder: Path) -> None:
    """Arrange the mounts.

    Args:
        node_folder: the node's part of the cluster's folder.

    Raises:
        ClusterError: a mount is refused.
    """
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "proc", "-o", "nosuid,nodev,noexec", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs", str(paths.RUN))
    paths.STATE.mkdir()
    _run("mount", "--bind", str(node_folder), str(paths.STATE))
    for folder in (paths.RUN / "netns", paths.RUN / "lock", *paths.PERSISTENT):
        folder.mkdir(exist_ok=True)
    for folder in paths.COVERED:
        _run("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs", str(folder))
    settings = paths.RUN / "kernel-settings"
    for name, value in _KERNEL_SETTINGS.items():
        target = Path("/proc/sys") / name
        if target.exists():
            file = settings / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
            _run("mount", "--bind", str(file), str(target))


def network(slot: AddressSlot) -> None:
    """Bring up the node's side of the link, once it is there.

    Raises:
        ClusterError: ``ip`` refuses.
    """
    commands = [
        "link set lo up",
        f"address add {slot.node}/{slot.link.prefixlen} dev eth0",
        "link set eth0 up",
        # kube-proxy rewrites ClusterIPs after routing: without a route the node's own calls would end before.
        "link add services type bridge",
        "link set services up",
        f"route add {slot.services} dev services src {slot.node}",
        # Each pod has a route of its own. For an address that no pod has, an answer at once.
        f"route add unreachable {slot.pods}",
    ]
    _run("ip", "-batch", "-", text="\n".join(commands) + "\n")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"the node's namespace: `{' '.join(command)}` failed: {done.stderr.strip()}")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
