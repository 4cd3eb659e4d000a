"""What the API was asked to change, in order, so that a process that starts anew has everything again.

moto keeps its records in memory. Each request that changed something is written down with the seed from which moto
drew its ids; repeated with the same seed it makes the same records under the same ids. So is the first request of each
service and region, with which moto makes what an account begins with (its default VPC), and each text of the capacity's
file by which fleets were decided. Messages in queues are not kept, and what tells a time tells that of the repetition.
"""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

_READS = ("Describe", "Get", "List", "Head", "Receive", "BatchGet", "Lookup", "Search", "Simulate")
_QUEUES = ("SendMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue", "PutEvents")
_HEADERS = ("CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_HOST")
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+/[^/]+)/")


@dataclass(frozen=True)
class Request:
    """One request as WSGI has it.

    Attributes:
        method, path, query: of HTTP.
        headers: those that decide what it means, under their names in WSGI.
        body: as it was sent.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> "Request":
        """From a WSGI environment, whose body is read."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {key: str(value) for key, value in environ.items() if key in _HEADERS or key.startswith("HTTP_X_AMZ")}
        return cls(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers, body)

    @property
    def operation(self) -> str:
        """Its name in the service; an empty string where method and path say what it is."""
        if "form-urlencoded" in self.headers.get("CONTENT_TYPE", ""):
            return parse_qs(self.body.decode()).get("Action", [""])[0]
        return self.headers.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]

    @property
    def scope(self) -> str:
        """Region and service for which it is signed; an empty string where it is not signed."""
        match = _SCOPE.search(self.headers.get("HTTP_AUTHORIZATION", ""))
        return match[1] if match else ""

    @property
    def changes(self) -> bool:
        """It may change records that are kept."""
        if self.operation:
            return not self.operation.startswith((*_READS, *_QUEUES))
        return self.method not in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Entry:
    """A line of the journal.

    Attributes:
        number: seed of the request.
        request: what was asked.
        capacity: text of the capacity's file from here on; ``None`` where it stays.
    """

    number: int
    request: Request
    capacity: str | None


@dataclass
class Journal:
    """The requests in a file, one a line."""

    file: Path
    number: int = field(default=0)
    """The seed of the request that came last."""

    def entries(self) -> Iterator[Entry]:
        """What was written down. A last line that a killed process left unfinished is passed over."""
        if not self.file.exists():
            return
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                data = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.number = data["number"]
            request = Request(**{**data["request"], "body": base64.b64decode(data["request"]["body"])})
            yield Entry(data["number"], request, data["capacity"])

    def next(self) -> int:
        """The seed of the next request."""
        self.number += 1
        return self.number

    def write(self, entry: Entry) -> None:
        """Write down a request that has changed something."""
        request = {**vars(entry.request), "body": base64.b64encode(entry.request.body).decode()}
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps({"number": entry.number, "request": request, "capacity": entry.capacity}) + "\n")
