"""How much memory the processes of a node hold."""

import contextlib
from dataclasses import dataclass
from pathlib import Path


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
