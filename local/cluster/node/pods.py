"""The end of all pods when their node stops: as when a machine is switched off, with a short warning."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_GRACE = 4.0
"""Seconds between the warning (SIGTERM) and the end. A pod's own grace period may be minutes, and nobody who stops a
local node wants to wait for them.
"""
_PROC = Path("/proc")


def end(bury: Callable[[], None]) -> None:
    """End every container; called by the first process of the node's pid namespace, when no kubelet runs.

    Args:
        bury: notices the end of processes without a parent.
    """
    for number, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 2.0)):
        until = time.monotonic() + wait
        told: set[int] = set()
        while first := first_processes():
            for pid in first - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= first
            bury()
            if time.monotonic() > until:
                break
            time.sleep(0.02)


def first_processes() -> set[int]:
    """The first process of each pid namespace inside this one; zombies do not count. The others end with it."""
    found: set[int] = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, KeyError):
            lines = (line.partition(":") for line in (entry / "status").read_text().splitlines())
            fields = {name: value.split() for name, _, value in lines}
            numbers = fields["NSpid"]
            if len(numbers) > 1 and numbers[-1] == "1" and fields["State"][0] != "Z":
                found.add(int(entry.name))
    return found
