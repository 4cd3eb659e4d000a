"""The process: ``python -m local.aws.server FOLDER CAPACITY``, detached, one a folder.

moto's application runs inside it, and one request at a time reaches it: moto is not made for threads, and its ids must
come out the same when the journal is repeated. A wait for messages holds nobody up.
"""

import contextlib
import io
import json
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from llm_serving.errors import ProblemsError
from local.aws import answers, fleet
from local.aws.api import ENDPOINT, JOURNAL, LOCK
from local.aws.capacity import Capacity, Machine
from local.aws.journal import Journal, Request
from local.cluster import ports
from local.cluster.processes import Owner, Process
from stacks.files import file_locked, read_json, write_json

RESERVATION_TAG = "local.llm-serving.dev/capacity-reservation"
"""Tag of an instance that takes a reserved machine: moto has no field for it."""
_LONGEST_WAIT = 20.0
"""Seconds that SQS waits for a message at most."""
_RUNNING = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def xml(cls, text: str) -> "Answer":
        """An answer of the query protocol."""
        return cls("200 OK", [("Content-Type", "text/xml;charset=UTF-8")], text.encode())

    @classmethod
    def json(cls, text: str) -> "Answer":
        """An answer of the JSON protocol."""
        return cls("200 OK", [("Content-Type", "application/x-amz-json-1.1")], text.encode())

    @property
    def succeeded(self) -> bool:
        """The API did what was asked."""
        return self.status[0] in "23"


class Application:
    """moto, its journal, and what moto lacks."""

    def __init__(self, journal: Journal, capacity: Path) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._journal = journal
        self._capacity = capacity
        self._changed = threading.Condition()
        for number, request in journal.entries():
            mock_random.seed(number)
            self._ask(request)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = self._answer(Request.of(environ, body))
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _answer(self, request: Request) -> Answer:
        parameters = _parameters(request)
        operation = parameters.get("Action") or request.headers.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if operation == "ReceiveMessage":
            return self._receive(request)
        with self._changed:
            try:
                answer = self._special(operation, parameters, request) or self._keep(operation, request)
            except ProblemsError as error:  # somebody writes the file of the capacity at this moment, or wrongly
                print(f"error: {error}", file=sys.stderr, flush=True)
                return Answer("500 Internal Server Error", [("Content-Type", "text/plain")], str(error).encode())
            if not operation.startswith(("Describe", "Get", "List")):
                self._changed.notify_all()
            return answer

    def _special(self, operation: str, parameters: Mapping[str, str], request: Request) -> Answer | None:
        region = _region(request)
        if operation == "GetParameter":
            text = answers.parameter(str(json.loads(request.body).get("Name", "")), region)
            return None if text is None else Answer.json(text)
        if operation == "DescribeCapacityReservations":
            running = _running(region)
            capacity = Capacity.read(self._capacity)
            return Answer.xml(answers.capacity_reservations(parameters, capacity, running, secrets.token_hex(8)))
        if operation == "CreateFleet" and parameters.get("DryRun") != "true":
            return self._create_fleet(parameters, request, region)
        return None

    def _create_fleet(self, parameters: Mapping[str, str], request: Request, region: str) -> Answer | None:
        offered = fleet.choices(parameters, _vcpus, lambda template: _reservation(region, template))
        if not offered:
            return None
        decision = fleet.decide(offered, Capacity.read(self._capacity), _running(region))
        if decision.choice is None:
            return Answer.xml(fleet.unfulfilled(decision.refused, secrets.token_hex(8)))
        one = fleet.narrowed(parameters, decision.choice, RESERVATION_TAG)
        answer = self._keep("CreateFleet", Request(**{**vars(request), "body": urlencode(one).encode()}))
        if not answer.succeeded:
            return answer
        return Answer(answer.status, answer.headers, fleet.with_errors(answer.body.decode(), decision.refused).encode())

    def _keep(self, operation: str, request: Request) -> Answer:
        if not request.changes(operation):
            return self._ask(request)
        number = self._journal.next()
        mock_random.seed(number)
        answer = self._ask(request)
        if answer.succeeded:
            self._journal.write(number, request)
        return answer

    def _receive(self, request: Request) -> Answer:
        """Wait as SQS does, but let others in meanwhile."""
        wanted = json.loads(request.body)
        seconds = min(float(wanted.get("WaitTimeSeconds") or 0), _LONGEST_WAIT)
        at_once = Request(**{**vars(request), "body": json.dumps({**wanted, "WaitTimeSeconds": 0}).encode()})
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                answer = self._ask(at_once)
                left = end - time.monotonic()
                if not answer.succeeded or json.loads(answer.body or b"{}").get("Messages") or left <= 0:
                    return answer
                self._changed.wait(left)

    def _ask(self, request: Request) -> Answer:
        """Ask moto."""
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
        seen: list[Any] = []
        body = b"".join(self._moto(environ, lambda *head: seen.append(head)))
        status, headers = seen[0][:2]
        return Answer(status, [(key, value) for key, value in headers if key.lower() != "content-length"], body)


def _parameters(request: Request) -> dict[str, str]:
    if "form-urlencoded" not in request.headers.get("CONTENT_TYPE", ""):
        return {}
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def _region(request: Request) -> str:
    """The region for which a request is signed."""
    match = re.search(r"Credential=[^/]+/\d+/([^/]+)/", request.headers.get("HTTP_AUTHORIZATION", ""))
    return match[1] if match else "us-east-1"


def _vcpus(kind: str) -> int:
    return int(((INSTANCE_TYPES.get(kind) or {}).get("VCpuInfo") or {}).get("DefaultVCpus") or 0)


def _running(region: str) -> list[Machine]:
    """The machines of a region."""
    machines: list[Machine] = []
    for instance in ec2_backends[DEFAULT_ACCOUNT_ID][region].all_instances():
        if instance.state not in _RUNNING:
            continue
        reservation = next((tag["value"] for tag in instance.get_tags() if tag["key"] == RESERVATION_TAG), "")
        market = "spot" if instance.lifecycle == "spot" else "reserved" if reservation else "on-demand"
        zone = str(instance.placement)
        machines.append(Machine(instance.instance_type, zone, market, _vcpus(instance.instance_type), reservation))
    return machines


def _reservation(region: str, template: str) -> str:
    """The capacity reservation that a launch template targets."""
    backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    found = backend.launch_templates.get(template)
    if found is None:
        name = backend.launch_template_name_to_ids.get(template)
        found = backend.launch_templates.get(name) if name else None
    data = found.latest_version().data if found else {}
    target = (data.get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget") or {}
    return str(target.get("CapacityReservationId") or "")


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
