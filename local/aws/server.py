"""The process: ``python -m local.aws.server FOLDER CAPACITY``, detached, one a folder.

moto's application runs inside it, and one request at a time reaches it: moto is not made for threads, and its ids must
come out the same when the journal is repeated. A wait for messages holds nobody up.
"""

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from local.aws import events, fleets, images, interfaces, machines, placement_groups
from local.aws.api import ENDPOINT, JOURNAL, LOCK
from local.aws.capacity import Capacity
from local.aws.journal import Entry, Journal, Request
from local.cluster import ports
from local.cluster.processes import Owner, Process
from stacks.files import file_locked, read_json, write_json

_RECEIVE = "AmazonSQS.ReceiveMessage"
_LONGEST_WAIT = 20.0
"""Seconds that SQS waits for a message at most."""


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """The API did what was asked."""
        return self.status[0] in "23"


class Application:
    """moto, its journal, and what moto lacks."""

    def __init__(self, journal: Journal, capacity: Path) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._journal = journal
        self._capacity_file = capacity
        self._capacity = ""
        self._begun: set[str] = set()
        self._changed = threading.Condition()
        fleets.install(lambda: Capacity.parse(self._capacity, str(capacity)))
        images.install()
        machines.install()
        interfaces.install()
        events.install()
        placement_groups.install()
        for entry in journal.entries():
            self._capacity = self._capacity if entry.capacity is None else entry.capacity
            mock_random.seed(entry.number)
            self._ask(entry.request)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._answer(Request.of(environ))
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _answer(self, request: Request) -> Answer:
        if request.headers.get("HTTP_X_AMZ_TARGET") == _RECEIVE:
            return self._receive(request)
        with self._changed:
            answer = self._keep(request)
            self._changed.notify_all()
            return answer

    def _keep(self, request: Request) -> Answer:
        """Ask, and write down what must be repeated."""
        capacity = self._capacity_file.read_text(encoding="utf-8") if self._capacity_file.exists() else ""
        differs, self._capacity = capacity != self._capacity, capacity
        begins = request.scope not in self._begun
        number = self._journal.next()
        mock_random.seed(number)
        answer = self._ask(request)
        if (request.changes and answer.succeeded) or begins or differs:
            self._journal.write(Entry(number, request, capacity if differs else None))
        return answer

    def _receive(self, request: Request) -> Answer:
        """Wait as SQS does, but let others in meanwhile."""
        wanted = json.loads(request.body)
        at_once = replace(request, body=json.dumps({**wanted, "WaitTimeSeconds": 0}).encode())
        end = time.monotonic() + min(float(wanted.get("WaitTimeSeconds") or 0), _LONGEST_WAIT)
        with self._changed:
            while True:
                answer = self._ask(at_once)
                left = end - time.monotonic()
                if not answer.succeeded or json.loads(answer.body or b"{}").get("Messages") or left <= 0:
                    return answer
                self._changed.wait(left)

    def _ask(self, request: Request) -> Answer:
        """Ask moto."""
        self._begun.add(request.scope)
        environ = {
            **request.headers,
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "RAW_URI": request.path + (f"?{request.query}" if request.query else ""),
            "QUERY_STRING": request.query,
            "CONTENT_LENGTH": str(len(request.body)),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        heads: list[Any] = []
        body = b"".join(self._moto(environ, lambda *head: heads.append(head)))
        status, headers = heads[0][:2]
        return Answer(status, [(key, value) for key, value in headers if key.lower() != "content-length"], body)


class _Handler(MotoRequestHandler):
    """Logs nothing: Karpenter asks several times a second."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep silent."""


def serve(folder: Path, capacity: Path, owner: Owner | None) -> None:
    """Serve until SIGTERM, until the folder is gone, or until the owner has ended."""
    application = Application(Journal(folder / JOURNAL), capacity)
    with ports.choosing():
        kept = {"aws": (read_json(folder / ENDPOINT) or {}).get("port")}
        port = ports.choose(("aws",), {key: value for key, value in kept.items() if value})["aws"]
        server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Handler)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = Process.of(os.getpid())
    assert own is not None
    write_json(folder / ENDPOINT, {"port": port, "process": own.to_json()})
    while not ended.wait(0.5):
        if not (folder / ENDPOINT).exists() or (owner is not None and owner.has_ended()):
            break


def main(arguments: list[str]) -> int:
    """Detach, take the lock, serve."""
    folder, capacity = map(Path, arguments)
    if os.fork():
        os._exit(0)
    os.setsid()
    with contextlib.suppress(_AlreadyServedError), file_locked(folder / LOCK, on_wait=_give_up):
        serve(folder, capacity, Owner.from_environment())
    return 0


class _AlreadyServedError(Exception):
    """Another process serves this folder."""


def _give_up() -> None:
    raise _AlreadyServedError


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
