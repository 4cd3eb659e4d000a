"""Processes of a cluster: what to run, told apart from strangers with a recycled number, ended with another process.

A process number alone proves nothing: the kernel hands it out again. A process is therefore named by its
number and the moment of its start, and nothing else is ever signalled.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.cluster.errors import ClusterError
from local.cluster.layout import OWNER_VARIABLE, REPOSITORY

_PR_SET_PDEATHSIG = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """One process for all time: its number and when it started (in this boot of the machine)."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this number now; ``None`` where there is none, or only its zombie."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def from_json(cls, data: Any) -> "Process | None":
        """Read back what :meth:`to_json` wrote; ``None`` for anything else."""
        try:
            return cls(int(data["pid"]), str(data["started"]))
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {"pid": self.pid, "started": self.started}

    def alive(self) -> bool:
        """It still runs, and the number was not given to another one."""
        return Process.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until it has gone; say whether it has."""
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True


def _started(pid: int) -> str | None:
    if sys.platform.startswith("linux"):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the program's name stands in brackets and may hold spaces
        # A killed process shows as a zombie as soon as its first thread has gone; its ports are free with its last.
        gone = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
        return None if gone else f"{_BOOT_ID.read_text().strip()}/{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(None, 1)
    return None if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip()


class Owner:
    """A process that a cluster is not to outlive. It may be asked from inside another pid namespace, where the number
    means nothing.

    Args:
        pid: its number in the namespace that this is made in.
    """

    def __init__(self, pid: int) -> None:
        self._process = Process.of(pid)
        self._descriptor: int | None = None
        if self._process is not None and sys.platform.startswith("linux"):
            with contextlib.suppress(ProcessLookupError):
                self._descriptor = os.pidfd_open(pid)

    @classmethod
    def from_environment(cls) -> "Owner | None":
        """The process that :data:`~local.cluster.layout.OWNER_VARIABLE` names; ``None`` where it names none."""
        pid = os.environ.get(OWNER_VARIABLE)
        return cls(int(pid)) if pid else None

    def has_ended(self) -> bool:
        """It has gone, or only its zombie is left."""
        if self._descriptor is not None:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        return self._process is None or sys.platform.startswith("linux") or not self._process.alive()


def wait_until(is_so: Callable[[], bool], seconds: float, failure: Callable[[], str]) -> None:
    """Ask until it is so.

    Args:
        is_so: what is waited for.
        seconds: for how long.
        failure: makes the error's text, once the time is over.

    Raises:
        ClusterError: it is not so in time.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise ClusterError(failure())
        time.sleep(0.1)


def dies_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program, so that the kernel kills it when its parent dies, however that
    dies.

    The kernel means the parent's *thread* (prctl(2), PR_SET_PDEATHSIG): start children from the main thread.
    Systems without the call give ``None``; there the next start ends what was left.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return before_exec


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        name: its name in status and logs.
        line: the command line.
        after: programs that must be ready before it starts.
        needs: files that must be there before it starts.
        environment: variables beside those that every program gets.
        probe: how to see that it is ready: an address of HTTP, the path of a Unix socket that must answer or of a
            file that must be there. Without one it is ready once it has lived for a moment.
        grace: seconds that it gets to end, before it is killed.
    """

    name: str
    line: tuple[str, ...]
    after: tuple[str, ...] = ()
    needs: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    probe: str = ""
    grace: float = 5.0


LESS_MEMORY = {"GOGC": "50"}
"""For programs in Go that hold caches and definitions: collecting garbage earlier halves their memory at some cost in
time.
"""
# What a detached process needs of its starter's environment, which may hold passphrases and cloud
# credentials.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONDONTWRITEBYTECODE",
    "SSL_CERT_FILE",
)


def environment() -> dict[str, str]:
    """The environment of the supervisor and of its programs."""
    kept = {k: v for k, v in os.environ.items() if k in _ENVIRONMENT or k.startswith("LLM_SERVING_")}
    # Of this repository, whatever is installed.
    return {**kept, "PYTHONPATH": f"{REPOSITORY / 'components'}{os.pathsep}{REPOSITORY}"}
