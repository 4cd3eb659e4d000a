"""Files that several processes share: replaced in one step, and locks between processes.

Standard library only: ``tools/bootstrap`` uses it before there is a virtual environment.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def folder_locked(folder: Path) -> Generator[None]:
    """Hold the lock of a folder that exists; no file is left behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def file_locked(path: Path, on_wait: Callable[[], object] = lambda: None) -> Generator[None]:
    """Hold the lock file ``path``, which is made where it is missing. The lock ends with the process at the latest.

    Args:
        path: the lock file.
        on_wait: called once where another process holds the lock; raises to give up instead of waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step: a reader, and whoever comes after a crash, sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """What the file holds, or ``None`` where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
