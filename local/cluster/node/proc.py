"""Processes of a node as /proc shows them: the memory that they hold, and the end of all pods when the node stops."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_GRACE = 4.0
"""Seconds between the warning (SIGTERM) and the end. A pod's own grace period may be minutes, and nobody who stops a
local node wants to wait for them.
"""
_PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """Memory of some processes, in bytes.

    Attributes:
        processes: how many there are.
        resident: resident memory, summed; what several share counts for each.
        proportional: the same with what is shared divided among those that share it; 0 where it may not be read.
    """

    processes: int
    resident: int
    proportional: int


def memory(proc: Path) -> Memory:
    """The memory of every process that a proc folder shows."""
    processes = resident = proportional = 0
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            own = _kibibytes(entry / "status", "VmRSS:")
            processes += 1
            resident += own
        with contextlib.suppress(OSError):
            proportional += _kibibytes(entry / "smaps_rollup", "Pss:")
    return Memory(processes, resident * 1024, proportional * 1024)


def _kibibytes(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def end_pods(reap: Callable[[], None]) -> None:
    """End every container, as when a machine is switched off with a short warning. Called by the first process of the
    node's pid namespace, when no kubelet runs.

    Args:
        reap: notices the end of processes without a parent.
    """
    for number, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 2.0)):
        until = time.monotonic() + wait
        signalled: set[int] = set()
        while first := first_processes():
            for pid in first - signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            signalled |= first
            reap()
            if time.monotonic() > until:
                break
            time.sleep(0.02)


def first_processes() -> set[int]:
    """The first process of each pid namespace inside this one; zombies do not count. The others end with it."""
    pids: set[int] = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, KeyError):
            lines = (line.partition(":") for line in (entry / "status").read_text().splitlines())
            fields = {name: value.split() for name, _, value in lines}
            numbers = fields["NSpid"]
            if len(numbers) > 1 and numbers[-1] == "1" and fields["State"][0] != "Z":
                pids.add(int(entry.name))
    return pids
