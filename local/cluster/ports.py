"""Ports of 127.0.0.1 for one cluster: chosen once, kept, and chosen anew where somebody else has taken one.

They lie below the range from which the kernel gives ports to outgoing connections (32768 and up on Linux,
49152 on macOS): a stopped cluster's port would else be lost to any client at random.
"""

import contextlib
import random
import socket
import tempfile
from pathlib import Path

from stacks.files import folder_locked

FIRST, LAST = 20000, 29999


def choosing() -> contextlib.AbstractContextManager[None]:
    """Nobody else chooses meanwhile: hold it from the choice until something listens, since a port is free until
    then.
    """
    return folder_locked(Path(tempfile.gettempdir()))


def is_free(port: int) -> bool:
    """Nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: tuple[str, ...], kept: dict[str, int]) -> dict[str, int]:
    """A free port for each name: the kept one where it is still free.

    Raises:
        OSError: no port is free.
    """
    chosen: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        if port is None or port in chosen.values() or not is_free(port):
            port = _another(set(chosen.values()) | set(kept.values()))
        chosen[name] = port
    return chosen


def _another(taken: set[int]) -> int:
    for port in random.sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on 127.0.0.1")
