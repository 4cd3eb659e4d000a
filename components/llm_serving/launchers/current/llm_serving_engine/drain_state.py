"""What the launcher and the engine's API processes tell each other while they drain: numbers in shared memory.

A folder of small files, each mapped into memory: ``order``, which the launcher writes, and one named after the number
of each API process, which that process writes. Owns the layout. Leaves alone what the numbers lead to
(``drain_middleware`` in the API process, ``drain`` in the launcher).
"""

import mmap
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path

VARIABLE = "LLM_SERVING_ENGINE_LEDGER"
"""Variable that names the folder to the engine's processes."""

_ORDER = "order"
_CELL = 8  # bytes: an aligned machine word is read as it was written, never half


class Order(IntEnum):
    """What API processes have to do with requests."""

    OPEN = 0
    """Take them."""
    CLOSED = 1
    """Refuse new ones; those that run go on."""
    CUT = 2
    """End those that still run too."""


@dataclass(frozen=True)
class RequestCounts:
    """Requests, summed over API processes. All but ``running`` count from the moment that new ones are refused.

    Attributes:
        running: those that are being answered.
        completed: answered to their end.
        refused: new ones, told to try elsewhere.
        failed: ended before the first byte of their answer, told to try elsewhere.
        ended: their stream was ended with an explicit error.
        broken: their connection was cut, since the answer had begun in a form that has no place for an error.
    """

    running: int = 0
    completed: int = 0
    refused: int = 0
    failed: int = 0
    ended: int = 0
    broken: int = 0


_FIELDS = tuple(field.name for field in fields(RequestCounts))


class DrainState:
    """The launcher's side: gives orders and reads the counts.

    Raises:
        OSError: there is no folder for temporary files that can be written to.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="llm-serving-ledger-"))
        self._order = _map(self.folder / _ORDER, 1)

    def order(self, order: Order) -> None:
        """Tell every API process, those that start later included."""
        self._order[0] = order

    @property
    def attached(self) -> bool:
        """Whether an API process that still runs reads the orders."""
        return any(_runs(int(name)) for name in self._names())

    @property
    def known(self) -> bool:
        """Whether an API process counts requests here, or did."""
        return bool(self._names())

    def counts(self) -> RequestCounts:
        """All that was counted; requests that run in a process which is gone do not."""
        total = dict.fromkeys(_FIELDS, 0)
        for name in self._names():
            cells = _map(self.folder / name, len(_FIELDS))
            for index, field in enumerate(_FIELDS):
                if field != "running" or _runs(int(name)):
                    total[field] += cells[index]
            cells.release()
        return RequestCounts(**total)

    def remove(self) -> None:
        """Remove the folder; what is mapped of it stays usable."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder) if name.isdigit()]
        except OSError:
            return []


class ApiProcessState:
    """One API process's side: reads the order and counts requests."""

    def __init__(self, folder: Path) -> None:
        self._order = _map(folder / _ORDER, 1)
        self._cells = _map(folder / str(os.getpid()), len(_FIELDS))

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "ApiProcessState | None":
        """The state of this process; ``None`` where no launcher asks for one."""
        folder = environment.get(VARIABLE)
        return cls(Path(folder)) if folder else None

    @property
    def order(self) -> Order:
        """The launcher's last order."""
        return Order(self._order[0])

    def add(self, field: str, number: int = 1) -> None:
        """Change one of the numbers of :class:`RequestCounts`."""
        self._cells[_FIELDS.index(field)] += number


def _map(path: Path, cells: int) -> memoryview:
    """Numbers in a file of that many machine words, made with zeros where there is none."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        size = cells * _CELL
        if os.fstat(descriptor).st_size < size:
            os.truncate(descriptor, size)
        return memoryview(mmap.mmap(descriptor, size)).cast("q")
    finally:
        os.close(descriptor)


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
