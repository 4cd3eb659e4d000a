"""The engine as a child: started in a process group of its own, told to stop, reaped with all that it leaves.

A container's first process inherits every orphan in it and must reap them. Outside a container the kernel is asked to
treat the launcher in the same way, so that nothing outlives it there either.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_FAREWELL_SECONDS = 5.0
"""How long the launcher waits for processes that it killed; one in uninterruptible sleep must not hold it for ever."""

_libc = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """The engine's command cannot be run; the text says why."""


class EngineProcess:
    """One run of the engine. All methods belong to the main thread.

    Args:
        command: its command line.
        variables: environment variables that it gets besides the launcher's own.
        signals: those that come to the launcher from now on are kept until :meth:`wait`.
    """

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None, signals: Collection[int] = ()
    ) -> None:
        self._command = list(command)
        self._variables = dict(variables or {})
        self._child: subprocess.Popen[bytes] | None = None
        # Handlers would not do: a signal that comes just before the system call that waits for children is seen only
        # when one of them ends. Threads inherit what is blocked.
        self._signals = {*signals, signal.SIGCHLD}
        self._unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    @property
    def pid(self) -> int | None:
        """The engine's process id, ``None`` before it was started."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Start the engine. The process must have one thread only: the child runs Python before it becomes the engine.

        Raises:
            StartError: there is no such program, or it cannot be run.
        """
        # Changes nothing for process 1 of a container, to which orphans come anyway.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        launcher = os.getpid()
        try:
            self._child = subprocess.Popen(
                self._command,
                env={**os.environ, **self._variables},
                process_group=0,
                preexec_fn=lambda: _end_with(launcher, self._unblocked),
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"{self._command[0]}: the engine cannot be started: {reason}") from error

    def signal(self, number: int) -> None:
        """Pass a signal on to the engine's main process, which tells its own children."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    def wait(self, on_signal: Callable[[int], None]) -> int:
        """Reap whatever ends until the engine does; its exit status, 128 + number where a signal ended it.

        Args:
            on_signal: called with each signal that came, those from before the engine's start included.
        """
        if self._child is None:
            raise RuntimeError("the engine was not started")
        while True:
            number = signal.sigwait(self._signals)
            if number != signal.SIGCHLD:
                on_signal(number)
                continue
            for pid, status in _ended():
                if pid == self._child.pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._child.returncode = code
                    return code if code >= 0 else 128 - code

    def sweep(self) -> int:
        """Kill and reap what the engine left behind; the number of processes that were still there.

        A killed process's children become the launcher's, so that killing children until there are none reaches every
        descendant.
        """
        if self._child is None:
            return 0
        swept: set[int] = set()
        end = time.monotonic() + _FAREWELL_SECONDS
        while _reap() and time.monotonic() < end:
            for pid in _children():
                swept.add(pid)
                os.kill(pid, signal.SIGKILL)  # unreaped, so its id cannot have been given away
            time.sleep(0.01)
        return len(swept)


def _ended() -> Iterator[tuple[int, int]]:
    """Reap the children that have ended; the number and the status of each."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _reap() -> bool:
    """Reap the children that have ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_with(launcher: int, blocked: Iterable[int]) -> None:
    """In the child: ask the kernel for SIGTERM when the launcher's main thread ends, however it ends; and have signals
    go as they did before the launcher kept them."""
    # Until the child becomes the engine it has the launcher's handlers, and they would only take note of the signal.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != launcher:
        os._exit(1)  # the launcher ended before the kernel was asked
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _children() -> list[int]:
    """The launcher's children, dead ones that are not reaped included."""
    own = os.getpid()
    children: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # "pid (name) state parent ...": a name may hold anything, parentheses too.
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if parent == own:
            children.append(int(entry))
    return children
