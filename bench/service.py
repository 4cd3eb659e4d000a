"""A Service of Kubernetes on this machine: each connection goes to one of its endpoints, as kube-proxy does it."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Sequence


class Service:
    """Endpoints behind one port.

    A connection is bound to its endpoint; where that refuses, it ends, as it does where kube-proxy has not yet been
    told.

    Args:
        endpoints: addresses and ports.
    """

    def __init__(self, endpoints: Sequence[tuple[str, int]]) -> None:
        self._endpoints, self._left_out = endpoints, set[int]()
        self._numbers = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    def leave_out(self, number: int) -> None:
        """An endpoint is not ready."""
        self._left_out.add(number)

    def take_in(self, number: int) -> None:
        """An endpoint is ready again."""
        self._left_out.discard(number)

    @contextlib.contextmanager
    def running(self) -> Iterator["Service"]:
        """Take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        ready = [each for number, each in enumerate(self._endpoints) if number not in self._left_out]
        try:
            endpoint = socket.create_connection(ready[next(self._numbers) % len(ready)])
        except OSError:
            client.close()
            return
        for source, target in ((client, endpoint), (endpoint, client)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
