"""Memory of the container, as its control group counts it (cgroup v1 and v2)."""

from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of a page that fits into 63 bits."""


@dataclass(frozen=True)
class HostMemory:
    """Bytes.

    Attributes:
        current: all that is charged, page cache included.
        working_set: without inactive page cache; what the kubelet compares with the limit.
        limit: above it the kernel kills; ``None`` where there is none.
    """

    current: int
    working_set: int
    limit: int | None


def host_memory(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> HostMemory | None:
    """Memory of this process's control group; ``None`` where it cannot be read."""
    for folder, current, limit, inactive in _candidates(root, own):
        try:
            used = int((folder / current).read_text())
            bound = (folder / limit).read_text().strip()
            cold = _field(folder / "memory.stat", inactive)
        except (OSError, ValueError):
            continue
        number = int(bound) if bound.isdigit() else None
        return HostMemory(used, max(used - cold, 0), number if number is not None and number < _UNLIMITED else None)
    return None


def _candidates(root: Path, own: Path) -> list[tuple[Path, str, str, str]]:
    """Folders that may hold the numbers, best first: a container sees its own group at the root of the mount, unless it
    shares the host's view."""
    v1 = ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
    v2 = ("memory.current", "memory.max", "inactive_file")
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    folders: list[tuple[Path, str, str, str]] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folders.append((root / "memory" / path.lstrip("/"), *v1))
        elif not controllers:
            folders.append((root / path.lstrip("/"), *v2))
    return [*folders, (root / "memory", *v1), (root, *v2)]


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
