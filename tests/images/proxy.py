"""What stands between a pod and the internet at a site: a proxy, and servers with certificates of the site's own.

Names of servers are known to the proxy alone, so that whoever reaches one came through it.
"""

import select
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import trustme


class Site:
    """A proxy, and in front of each plain server one that speaks TLS.

    Attributes:
        proxy: URL of the proxy.
        bundle: file with the site's authority.
        visited: names of the servers that were asked for through the proxy.
    """

    def __init__(self, servers: Mapping[str, str], folder: Path) -> None:
        """``servers``: URLs of plain servers on the loopback, by the names under which they are known."""
        authority = trustme.CA()
        self.bundle = folder / "site.pem"
        authority.cert_pem.write_to_path(self.bundle)
        self.visited: list[str] = []
        self._servers: list[ThreadingTCPServer] = []
        routes: dict[tuple[str, int], int] = {}
        for name, url in servers.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            plain = int(url.rpartition(":")[2])
            routes[name, 80] = plain
            routes[name, 443] = self._start(_TlsFront, context=context, backend=plain)
        self.proxy = f"http://127.0.0.1:{self._start(_Proxy, routes=routes, visited=self.visited)}"

    def _start(self, handler: type[BaseRequestHandler], **more: Any) -> int:
        server = _Server(("127.0.0.1", 0), type(handler.__name__, (handler,), more))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._servers.append(server)
        return server.server_address[1]

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # who does not trust the certificate hangs up


class _TlsFront(BaseRequestHandler):
    context: ssl.SSLContext
    backend: int

    def handle(self) -> None:
        with (
            self.context.wrap_socket(self.request, server_side=True) as front,
            socket.create_connection(("127.0.0.1", self.backend)) as back,
        ):
            _relay(front, back)


class _Proxy(BaseRequestHandler):
    routes: Mapping[tuple[str, int], int]
    visited: list[str]

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65536)
            if not received:
                return
            head += received
        method, url, _ = head.partition(b"\r\n")[0].decode().split(" ")
        if method == "CONNECT":
            name, _, port = url.rpartition(":")
            onward, answer = b"", b"HTTP/1.1 200 Connection established\r\n\r\n"
        else:
            name, _, path = url.removeprefix("http://").partition("/")
            port = "80"
            # Each request gets a connection of its own: the next one may be for another server.
            line, rest = f"{method} /{path} HTTP/1.1\r\n".encode(), head.partition(b"\r\n")[2]
            kept = [field for field in rest.split(b"\r\n") if not field.lower().startswith(b"connection:")]
            onward, answer = line + b"Connection: close\r\n" + b"\r\n".join(kept), b""
        self.visited.append(name)
        backend = self.routes.get((name, int(port)))
        if backend is None:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", backend)) as back:
            self.request.sendall(answer)
            back.sendall(onward)
            _relay(self.request, back)


def _relay(left: socket.socket, right: socket.socket) -> None:
    """Both ways, until one side ends."""
    while True:
        buffered = [side for side in (left, right) if isinstance(side, ssl.SSLSocket) and side.pending()]
        for side in buffered or select.select([left, right], [], [])[0]:
            content = side.recv(65536)
            if not content:
                return
            (right if side is left else left).sendall(content)
