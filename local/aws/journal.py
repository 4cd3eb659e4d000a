"""What the API was asked to change, in order, so that a process that starts anew has everything again.

moto keeps its records in memory. Each request that changed something is written down with the seed from which moto drew
its ids; repeated with the same seed it makes the same records under the same ids. Messages in queues are not kept.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_READS = ("Describe", "Get", "List", "Head", "Receive", "BatchGet", "Lookup", "Search", "Simulate")
_QUEUES = ("SendMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue", "PutEvents")
_KEPT_HEADERS = ("CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_X_AMZ_TARGET", "HTTP_HOST", "HTTP_X_AMZN_QUERY_MODE")


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
    def of(cls, environ: Mapping[str, Any], body: bytes) -> "Request":
        """From a WSGI environment whose body was read."""
        headers = {key: str(environ[key]) for key in _KEPT_HEADERS if environ.get(key)}
        headers |= {key: str(value) for key, value in environ.items() if key.startswith("HTTP_X_AMZ_")}
        return cls(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""), headers,
                   body)  # fmt: skip

    def changes(self, operation: str) -> bool:
        """It may change records that are kept.

        Args:
            operation: its name in the service, or an empty string where method and path say what it is.
        """
        if operation:
            return not operation.startswith((*_READS, *_QUEUES))
        return self.method not in ("GET", "HEAD", "OPTIONS")


@dataclass
class Journal:
    """The requests in a file, one a line."""

    file: Path
    number: int = field(default=0)
    """The seed of the request that came last."""

    def entries(self) -> Iterator[tuple[int, Request]]:
        """What was written down, with its seeds. A last line that a killed process left unfinished is passed over."""
        if not self.file.exists():
            return
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                data = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.number = data["number"]
            yield data["number"], Request(**{**data["request"], "body": base64.b64decode(data["request"]["body"])})

    def next(self) -> int:
        """The seed of the next request."""
        self.number += 1
        return self.number

    def write(self, number: int, request: Request) -> None:
        """Write down a request that has changed something."""
        shown = {**vars(request), "headers": dict(request.headers), "body": base64.b64encode(request.body).decode()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps({"number": number, "request": shown}) + "\n")
