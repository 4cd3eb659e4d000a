"""A door in front of a server: while it is closed, nobody reaches the server, and who was connected no longer is."""

import contextlib
import socket
import threading


class Door:
    """Forwards connections of a port of its own on 127.0.0.1. Open at first.

    Args:
        host: of the server.
        port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._connected: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        """Where the server seems to be."""
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Let everybody in, from now on."""
        listening = socket.create_server(("127.0.0.1", self._port))
        self._port = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def close(self) -> None:
        """Refuse everybody, and end every connection."""
        with self._lock:
            listening, self._listening = self._listening, None
            connected, self._connected = self._connected, set()
        if listening is not None:
            # Alone, `close` does not wake the thread that waits in `accept`.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for connection in connected:
            _end(connection)

    def _accept(self, listening: socket.socket) -> None:
        while self._listening is listening:
            try:
                client, _ = listening.accept()
            except OSError:  # the door was closed, or somebody left before being let in
                continue
            threading.Thread(target=self._forward, args=(listening, client), daemon=True).start()

    def _forward(self, listening: socket.socket, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            _end(client)
            return
        ends = {client, server}
        with self._lock:
            is_open = self._listening is listening  # it may have been closed since this one came in
            if is_open:
                self._connected |= ends
        if is_open:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()
        with self._lock:
            self._connected -= ends
        for connection in ends:
            _end(connection)


def _copy(one: socket.socket, other: socket.socket) -> None:
    """All that comes in at one side, until it ends; the other side is told so."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def _end(connection: socket.socket) -> None:
    # Alone, `close` does not wake the thread that waits in `recv`.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
