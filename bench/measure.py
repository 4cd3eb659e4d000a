"""One preview: wall time of the command and peak memory of the Python program that it runs."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """A project to preview: the command and its whole environment."""

    environment: dict[str, str]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """``wall`` in seconds, ``memory`` in MiB (largest resident set of the program, VmHWM)."""

    wall: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.memory:.0f} MiB"


def preview(project: Project) -> Sample:
    """Run one preview.

    Raises:
        RuntimeError: the preview failed; the message holds its output.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        project.command, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = _Peak(process.pid)
    output, _ = process.communicate()
    wall = time.monotonic() - start
    memory = peak.stop()
    if process.returncode:
        raise RuntimeError(f"the preview failed:\n{output[-3000:]}")
    return Sample(wall, memory)


class _Peak:
    """Watches the descendants of a process and keeps the largest VmHWM of the one that runs the program."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._kib = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self._kib / 1024

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            for pid in _programs(self._root):
                self._kib = max(self._kib, _high_water(pid))


def _programs(root: int) -> list[int]:
    """Descendants of ``root`` that run a Pulumi program."""
    parents: dict[int, int] = {}
    programs: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rsplit(")", 1)[1].split()[1])
            if b"pulumi-language-python-exec" in (folder / "cmdline").read_bytes():
                programs.append(int(folder.name))
        except (OSError, IndexError):
            continue
    return [pid for pid in programs if _descends(pid, root, parents)]


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != root:
        pid = parents[pid]
    return pid == root


def _high_water(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
