"""On a busy machine an API server may be late: what only reads is asked for again, what writes never is."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.cluster.rest import Kubernetes, UnreachableError


class Late(ThreadingHTTPServer):
    """An API server that leaves its first requests without an answer."""

    daemon_threads = True

    def __init__(self, silent: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.silent = silent
        self.asked: list[str] = []
        self.ended = threading.Event()

    def client(self) -> Kubernetes:
        return Kubernetes(f"http://127.0.0.1:{self.server_port}", timeout=0.2)


class _Handler(BaseHTTPRequestHandler):
    server: Late

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append(self.command)
        if len(self.server.asked) <= self.server.silent:
            self.server.ended.wait(30)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"kind": "Status"}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def late(request: pytest.FixtureRequest) -> Iterator[Late]:
    server = Late(request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("late", [2], indirect=True)
def test_what_is_read_is_asked_for_again_when_the_server_is_late(late: Late) -> None:
    assert late.client().request("GET", "/api/v1") == {"kind": "Status"}
    assert late.asked == ["GET"] * 3


@pytest.mark.parametrize("late", [3], indirect=True)
def test_a_server_that_stays_silent_is_named_in_the_end(late: Late) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        late.client().request("GET", "/api/v1")
    assert late.asked == ["GET"] * 3


@pytest.mark.parametrize("late", [1], indirect=True)
def test_what_writes_is_sent_once(late: Late) -> None:
    with pytest.raises(UnreachableError):
        late.client().request("POST", "/api/v1/namespaces", body={})
    assert late.asked == ["POST"]


@pytest.mark.parametrize("late", [1], indirect=True)
def test_who_says_how_long_it_may_take_is_not_kept_longer(late: Late) -> None:
    with pytest.raises(UnreachableError):
        late.client().request("GET", "/readyz", timeout=0.2)
    assert late.asked == ["GET"]
