"""Whoever waits for a change hears of every one, also of those between two watches."""

import threading
from collections.abc import Iterator
from typing import Any, cast

from local.cluster.bell import Bell
from local.cluster.rest import Kubernetes

PATIENCE = 30.0


class Server:
    """An API server whose watches end when they are told to."""

    def __init__(self) -> None:
        self.watched: list[str] = []
        self.watching, self.ends = threading.Semaphore(0), threading.Semaphore(0)

    def newest_version(self, api_version: str, kind: str) -> str:
        return str(len(self.watched))

    def watch(self, api_version: str, kind: str, since: str) -> Iterator[dict[str, Any]]:
        self.watched.append(since)
        self.watching.release()
        self.ends.acquire()
        yield from ()


def test_it_rings_when_a_watch_begins_anew_after_its_version_is_known() -> None:
    server = Server()
    bell = Bell(cast(Kubernetes, server), ["Pod"])
    server.watching.acquire(timeout=PATIENCE)
    assert bell.take()
    assert not bell.take()
    server.ends.release()
    assert bell.wait(PATIENCE)
    server.watching.acquire(timeout=PATIENCE)
    assert server.watched == ["0", "1"]
