"""The process that runs a cluster's programs: ``python -m local.cluster.supervisor DIRECTORY``.

It detaches from whoever starts it, runs one set of programs a directory (a lock says which supervisor is the
one), restarts a program that ends, with growing pauses, and ends all of them in the order that loses nothing:
the API server before etcd. Killed, it takes its programs with it. Single-threaded: the kernel ties a child's
life to the *thread* that started it.

For a cluster with a node it forks: what was started stays outside as the owner of the node's namespaces, and the
supervisor proper is their first process. As such it also reaps processes whose parents have ended.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import requests

from local.cluster import identities, rest
from local.cluster.commands import commands
from local.cluster.config import ClusterConfig
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.node import namespace_owner, proc
from local.cluster.node.programs import KUBELET
from local.cluster.processes import Command, Owner, Process, dies_with_parent, environment
from stacks.files import file_locked, write_json

_LOG_LIMIT = 16 * 1024 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SETTLED = 60.0
"""A program that ran so many seconds gets the shortest pause again."""
_INIT = 1

_PROBED = frozenset({"etcd", "kube-apiserver"})
_SETTLING = 1.0
"""Seconds that a program without a probe must live before it counts as ready."""


@dataclass
class _Child:
    """A program and how it fares."""

    command: Command
    log: Path
    process: subprocess.Popen[bytes] | None = None
    identity: Process | None = None
    since: float = 0.0
    pause: float = _FIRST_PAUSE
    not_before: float = 0.0
    restarts: int = 0
    last_exit: int | None = None
    ready: bool = False

    def start(self) -> None:
        with _append(self.log) as log:
            self.process = subprocess.Popen(
                self.command.line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**environment(), **self.command.environment},
                preexec_fn=dies_with_parent(),
            )
        self.identity = Process.of(self.process.pid)
        self.since = time.monotonic()

    def may_start(self, ready: set[str]) -> bool:
        """Whether everything is there that it builds on."""
        return ready.issuperset(self.command.after) and all(path.exists() for path in self.command.needs)

    def settled(self) -> bool:
        """Whether it has lived long enough that it will not end for want of a flag or a file. What is probed need not
        wait."""
        return self.command.name in _PROBED or bool(self.command.probe) or time.monotonic() - self.since > _SETTLING

    def reap(self) -> bool:
        """Notice that it has ended, and set when it may start again."""
        if self.process is None or self.process.poll() is None:
            return False
        now = time.monotonic()
        self.last_exit = self.process.returncode
        self.pause = _FIRST_PAUSE if now - self.since > _SETTLED else min(self.pause * 2, _LONGEST_PAUSE)
        self.not_before = now + self.pause
        self.restarts += 1
        self.ready = False
        self.process = self.identity = None
        return True

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.command.grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.last_exit, self.process, self.identity = self.process.returncode, None, None


@dataclass
class Supervisor:
    """Runs the programs of one cluster until it is told to stop.

    Attributes:
        layout: the cluster's files.
        owner: the process whose end also ends the cluster; ``None`` where it stays until it is stopped.
        children: the programs.
        stopping: it was told to stop.
    """

    layout: Layout
    owner: Owner | None = None
    children: list[_Child] = field(default_factory=list)
    stopping: bool = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until its owner has ended.

        Raises:
            ClusterError: a program is missing.
        """
        config = ClusterConfig.read(self.layout)
        self._take(commands(self.layout, config))
        self.listen()
        probes = _Probes(self.layout, config)
        try:
            checked = 0.0
            while self._is_wanted():
                if (changed := ClusterConfig.read(self.layout)) != config:
                    config = changed
                    self._take(commands(self.layout, config))
                    self._report()
                if self._step(probes):
                    self._report()
                if time.monotonic() - checked > 30:
                    checked = time.monotonic()
                    self._bound_logs()
                time.sleep(0.05 if not all(child.ready for child in self.children) else 0.5)
        finally:
            self._end()

    def _take(self, wanted: Sequence[Command]) -> None:
        """Run these from here on. A program whose command is another than before is started again."""
        kept = {child.command.name: child for child in self.children if child.command in wanted}
        for child in self.children:
            if child.command.name not in kept:
                child.stop()
        self.children = [kept.get(each.name) or _Child(each, self.layout.log(each.name)) for each in wanted]

    def listen(self) -> None:
        """Stop at SIGTERM and SIGINT, also at one that comes before :meth:`run`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _is_wanted(self) -> bool:
        """Nobody told it to stop, its owner lives, and its folder was not removed."""
        owned = self.owner is None or not self.owner.has_ended()
        return owned and not self.stopping and self.layout.config.exists()

    def _step(self, probes: "_Probes") -> bool:
        changed = False
        if os.getpid() == _INIT:
            self._reap_orphans()
        ready = {child.command.name for child in self.children if child.ready}
        for child in self.children:
            if self.stopping:
                break
            changed |= child.reap()
            if child.process is None and child.may_start(ready) and time.monotonic() >= child.not_before:
                child.start()
                changed = True
            if child.process is not None and not child.ready and child.settled() and probes.ready(child.command):
                child.ready = changed = True
        return changed

    def _reap_orphans(self) -> None:
        """Take note of the end of processes that this one inherited as the first of its pid namespace."""
        ours = {child.process.pid for child in self.children if child.process is not None}
        with contextlib.suppress(ChildProcessError):  # there is no child at all
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in ours:
                    return  # it is reaped as a program, and the next step looks on
                os.waitpid(ended.si_pid, 0)

    def _report(self) -> None:
        write_json(
            self.layout.programs,
            {
                child.command.name: {
                    "process": child.identity.to_json() if child.identity else None,
                    "restarts": child.restarts,
                    "lastExit": child.last_exit,
                    "ready": child.ready,
                }
                for child in self.children
            },
        )

    def _end(self) -> None:
        """End everything: the kubelet, so that it does not report the end of its pods; pods; those who talk to the
        API server, then it, then the database under it."""
        for child in self.children:
            if child.command.name == KUBELET:
                child.stop()
                proc.end_pods(self._reap_orphans)
        last = [child for child in self.children if child.command.name in ("kube-apiserver", "etcd")]
        for child in self.children:
            if child not in last and child.process is not None:
                child.process.terminate()
        for child in reversed(self.children):
            child.stop()
        if self.layout.config.exists():
            self._report()

    def _bound_logs(self) -> None:
        for log in [*(child.log for child in self.children), self.layout.log("supervisor")]:
            with contextlib.suppress(FileNotFoundError):
                if log.stat().st_size > _LOG_LIMIT:
                    shorten(log)


class _Probes:
    """Asks a program whether others may build on it."""

    def __init__(self, layout: Layout, config: ClusterConfig) -> None:
        keys = layout.certificates
        context = rest.tls(
            ca_pem=(keys / "ca.crt").read_text(),
            cert_pem=(keys / "etcd.crt").read_text(),
            key_pem=(keys / "etcd.key").read_text(),
        )
        self._etcd = rest.Kubernetes(f"https://127.0.0.1:{config.ports['etcd']}", context=context)
        self._apiserver = identities.connect(layout, identities.ADMIN)

    def ready(self, command: Command) -> bool:
        if command.name == "kube-apiserver":
            return self._apiserver.ready(timeout=1.0)
        if command.name not in _PROBED:
            return _answers(command.probe)
        try:
            answer = self._etcd.request("GET", "/health", timeout=1.0)
        except (rest.ApiError, rest.UnreachableError):
            return False
        return "true" in str(answer)


def _answers(probe: str) -> bool:
    if probe.startswith("http"):
        with contextlib.suppress(requests.RequestException), requests.Session() as session:
            session.trust_env = False
            return session.get(probe, timeout=1.0).ok
        return False
    path = Path(probe)
    if not probe or not path.is_socket():
        return not probe or path.exists()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(probe)
        return True
    return False


def shorten(log: Path) -> None:
    """Move a log's content to ``<log>.1`` and go on with an empty file. Programs append, so they need not
    reopen it.
    """
    kept = log.with_name(log.name + ".1")
    kept.write_bytes(log.read_bytes())
    os.truncate(log, 0)


@contextlib.contextmanager
def _append(log: Path) -> Iterator[IO[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        yield file


def _detach() -> None:
    """Leave session and parent behind, so that neither a terminal nor a killed process group ends the
    cluster.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)


def main(arguments: list[str]) -> int:
    """Detach, take the lock, and supervise."""
    layout = Layout(Path(arguments[0]))
    _detach()
    try:
        with file_locked(layout.supervisor_lock, on_wait=_give_up):
            return _supervise(layout)
    except _AlreadySupervisedError:
        print("another supervisor runs this cluster", flush=True)
        return 0


class _AlreadySupervisedError(Exception):
    """Another supervisor holds the cluster's lock."""


def _give_up() -> None:
    raise _AlreadySupervisedError


def _supervise(layout: Layout) -> int:
    own = Process.of(os.getpid())
    assert own is not None
    write_json(layout.supervisor, own.to_json())
    supervisor = Supervisor(layout, Owner.from_environment())
    try:
        config = ClusterConfig.read(layout)
        if config.node is None:
            supervisor.run()
            return 0
        return namespace_owner.run_in_namespaces(layout, config, supervisor)
    except ClusterError as error:
        print(f"error: {error}", flush=True)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
