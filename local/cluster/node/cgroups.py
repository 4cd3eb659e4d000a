"""The cgroup folder below which a node's pods are kept apart from those of any other kubelet on the machine."""

import contextlib
import os
import time
from pathlib import Path

from local.cluster.errors import ClusterError

_ROOT = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuset", "memory", "pids")
_BUSY_SECONDS = 5.0
"""A folder whose last process has just been killed may stay busy for a moment."""


def hierarchies(*kinds: str) -> list[Path]:
    """Where cgroups are mounted: each controller (``cgroup``, version 1), or all at once (``cgroup2``)."""
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return sorted({Path(fields[1]) for fields in lines if fields[2] in kinds})


def make(name: str) -> None:
    """Make the folder; the kubelet asks that it is there.

    Version 2 was not to be had where this was written: there the root must hand its controllers down first, or the
    kubelet calls the folder incomplete (pkg/kubelet/cm/cgroup_manager_linux.go, Validate).

    Raises:
        ClusterError: no cgroups, or the system refuses.
    """
    roots = [_ROOT] if (_ROOT / "cgroup.controllers").exists() else hierarchies("cgroup")
    if not roots:
        raise ClusterError(f"{_ROOT} holds no cgroups: mount them, a kubelet cannot run without")
    try:
        for root in roots:
            if root == _ROOT:
                available = (root / "cgroup.controllers").read_text().split()
                (root / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in _NEEDED if c in available))
            (root / name).mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 leaves them empty, and then no process may enter
                file = root / name / setting
                if root != _ROOT and file.exists() and not file.read_text().strip():
                    file.write_text((root / setting).read_text())
    except OSError as error:
        raise ClusterError(f"the cgroup folder for the node's pods cannot be made: {error}") from error


def remove(name: str) -> None:
    """Remove the folder with all below it; its processes must have ended. runc makes it also where version 2 is
    mounted beside version 1.

    Raises:
        ClusterError: something still runs in it.
    """
    for root in hierarchies("cgroup", "cgroup2"):
        folder = root / name
        end = time.monotonic() + _BUSY_SECONDS
        while folder.exists():
            for path, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            if folder.exists():
                if time.monotonic() > end:
                    raise ClusterError(f"{folder} cannot be removed: processes still run in it (see its cgroup.procs)")
                time.sleep(0.05)
