"""Whether a program answers."""

import contextlib
import socket
from pathlib import Path

import requests


def answers(probe: str) -> bool:
    """Whether a URL, a socket or a file says that somebody is there; an empty probe always does."""
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
