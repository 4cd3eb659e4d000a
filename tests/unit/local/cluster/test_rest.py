"""A busy API server may be late: what only reads is asked for again while time lasts, and once in any case."""

import base64
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cluster import certificates, identities
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.rest import Kubernetes, LateError, UnreachableError, tls
from local.providers.kubernetes.kubeconfig import Connection
from local.providers.kubernetes.settings import Settings

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Late:
    """An API server that leaves its first connections without a handshake, or without an answer."""

    def __init__(self, keys: Path) -> None:
        self.silent = 0
        self.shakes_hands = False
        self.connections: list[socket.socket] = []
        self._ca = (keys / "ca.crt").read_text()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def client(self, timeout: float) -> Kubernetes:
        return Kubernetes(
            f"https://127.0.0.1:{self._listener.getsockname()[1]}", context=tls(ca_pem=self._ca), timeout=timeout
        )

    def kubeconfig(self) -> dict[str, Any]:
        authority = base64.b64encode(self._ca.encode()).decode()
        server = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        return {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [],
        }

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join()
        for connection in (self._listener, *self.connections):
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            silent = len(self.connections) <= self.silent
            if self.shakes_hands or not silent:
                # Who asked may be gone before the handshake ends.
                with (
                    contextlib.suppress(OSError),
                    self._context.wrap_socket(connection, server_side=True) as spoken,
                ):
                    spoken.recv(65536)
                    if silent:
                        while spoken.recv(65536):  # until who asked goes away; a body may come after its header
                            pass
                    else:
                        spoken.sendall(ANSWER)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Late]:
    certificates.make(tmp_path / "keys")
    server = Late(tmp_path / "keys")
    yield server
    server.close()


def test_what_is_read_is_asked_for_again_when_the_server_is_late(late: Late) -> None:
    late.silent = 1
    assert late.client(timeout=6).request("GET", "/api/v1") == {}
    assert len(late.connections) == 2


def test_a_server_that_stays_silent_is_asked_while_time_lasts_and_named_in_the_end(
    late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    late.silent = 99
    monkeypatch.setattr("local.cluster.rest._CONNECT_TIMEOUT", 0.3)
    with pytest.raises(LateError, match="does not answer"):
        late.client(timeout=6).request("GET", "/api/v1")
    assert len(late.connections) > 2


def test_an_answer_that_takes_all_the_time_is_asked_for_once_more(late: Late) -> None:
    late.silent, late.shakes_hands = 1, True
    assert late.client(timeout=2).request("GET", "/api/v1") == {}
    assert len(late.connections) == 2


def test_a_busy_cluster_is_asked_twice_whether_it_is_there(late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    late.silent = 1
    monkeypatch.setattr("local.providers.kubernetes.kubeconfig._ANSWER_SECONDS", 2.0)
    access = Settings.of({"kubeconfig": json.dumps(late.kubeconfig())}).access
    assert Connection(access, print).why_not() == ""
    assert len(late.connections) == 2


def test_a_server_side_apply_is_sent_again_as_its_result_is_the_same(late: Late) -> None:
    late.silent, late.shakes_hands = 1, True
    client = late.client(timeout=2)
    assert client.request("PATCH", "/api/v1/x", content_type="application/apply-patch+yaml") == {}
    assert len(late.connections) == 2


def test_what_else_writes_is_sent_once(late: Late) -> None:
    late.silent = 99
    with pytest.raises(UnreachableError):
        late.client(timeout=1.5).request("POST", "/api/v1/namespaces", body={})
    assert len(late.connections) == 1


def test_who_says_how_long_it_may_take_is_not_kept_longer(late: Late) -> None:
    late.silent = 99
    with pytest.raises(UnreachableError):
        late.client(timeout=30).request("GET", "/readyz", timeout=0.5)
    assert len(late.connections) == 1


def test_where_there_is_no_cluster_its_programs_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="create it first"):
        identities.connect(Layout(tmp_path / "none"), identities.ADMIN)
