"""A model hub on the loopback that speaks the part of the Hugging Face hub's protocol that the loader uses.

Files over a kilobyte are "large": they have a SHA-256 in the listing, and their bytes come by a redirect from a second
server, as from a content network.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.images.models import NAME, REVISION

LARGE = 1000


class Hub:
    """The hub and its content network.

    Attributes:
        token: the one that opens the model, ``None``: it is open to all.
        gated: the model asks for a licence to be accepted.
        accepted: it was, with the account of the token.
        cut: names of files whose next answer ends in the middle.
        busy: how many of the next requests are answered with 503.
        limited: how many of the next requests are answered with 429.
        limits: headers of these answers.
        damaged: names of files that arrive with another last byte.
        spoiled: name -> for how many of the next whole answers the same is true.
        silent: names of small files that are answered with 503.
        public_network: the content network's URL in redirects, where it is not its own.
        requests: what was asked: server, path, Range header and Authorization header.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.token: str | None = None
        self.gated = False
        self.accepted = True
        self.cut: set[str] = set()
        self.busy = 0
        self.limited = 0
        self.limits: dict[str, str] = {}
        self.damaged: set[str] = set()
        self.spoiled: dict[str, int] = {}
        self.silent: set[str] = set()
        self.public_network: str | None = None
        self.requests: list[tuple[str, str, str | None, str | None]] = []
        self._servers = [_Server(self, "hub"), _Server(self, "network")]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return self._servers[0].url

    @property
    def network(self) -> str:
        return self.public_network or self._servers[1].url

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def listing(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, content in self.files.items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
            if len(content) > LARGE:
                digest = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        return {"id": NAME, "sha": REVISION, "private": False, "tags": [], "downloads": 0, "siblings": siblings}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub, role: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.role = role
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization")
        hub.requests.append((self.server.role, path, self.headers.get("Range"), authorization))
        if hub.busy:
            hub.busy -= 1
            self._send(503, b"busy")
            return
        if hub.limited and NAME in path:
            hub.limited -= 1
            self._send(429, b"", hub.limits)
            return
        if self.server.role == "network":
            self._file(path.lstrip("/"))
            return
        if authorization not in (None, f"Bearer {hub.token}"):
            self._send(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
            return
        api, resolve = f"/api/models/{NAME}/revision/", f"/{NAME}/resolve/"
        begin = api if path.startswith(api) else resolve
        if not path.startswith(begin) or (hub.token and not hub.gated and authorization is None):
            self._send(401 if authorization is None else 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif not path.removeprefix(begin).startswith(REVISION):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif begin == api:
            self._send(200, json.dumps(hub.listing()).encode())
        elif hub.gated and (authorization is None or not hub.accepted):
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            name = path.removeprefix(f"{resolve}{REVISION}/")
            if len(hub.files[name]) > LARGE:
                self._send(302, b"", {"Location": f"{hub.network}/{name}"})
            elif name in hub.silent:
                self._send(503, b"busy")
            else:
                self._file(name)

    def _file(self, name: str) -> None:
        hub = self.server.hub
        content = hub.files[name]
        range_header = self.headers.get("Range")
        begin = int(range_header.removeprefix("bytes=").rstrip("-")) if range_header else 0
        spoiled = begin == 0 and hub.spoiled.get(name, 0) > 0
        if spoiled:
            hub.spoiled[name] -= 1
        if spoiled or name in hub.damaged:
            content = content[:-1] + b"\xff"
        body = content[begin:]
        self.send_response(206 if range_header else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if name in hub.cut and begin == 0 and len(body) > LARGE:
            hub.cut.discard(name)
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
