"""Object stores on the loopback: moto for S3, and gcp-storage-emulator for Google's, both with what a test breaks.

The emulator knows no preconditions, on which the loader relies: here a request with ``ifGenerationMatch`` is held
against the object that is there, as Google does (https://cloud.google.com/storage/docs/request-preconditions).
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import Request, urlopen

import botocore.session
from botocore.config import Config
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import Router
from gcp_storage_emulator.storage import Storage
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage
from llm_serving_load.stores.store import NOTE
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

BUCKET = "models"


@dataclass
class Faults:
    """What a store does wrong, and what it was asked.

    Attributes:
        busy: how many of the next requests are answered with 503.
        retry_after: the header of that name in these answers.
        refusals: how many of the next requests are answered with 403.
        conflicts: how many of the next writes meet another one that is not over (409), on S3.
        status: answer everything with this status, 401 or 403.
        holding: parts of method, path and query: requests with all of them wait until the test lets them go.
        held: set once one waits.
        damaged: part of a path: bytes that are read there are other ones.
        spoiled: part of a path: other bytes are stored there than were sent.
        requests: method, path and query of each request.
    """

    busy: int = 0
    retry_after: str | None = None
    refusals: int = 0
    conflicts: int = 0
    status: int = 0
    holding: tuple[str, ...] = ()
    held: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    damaged: str = ""
    spoiled: str = ""
    requests: list[str] = field(default_factory=list[str])

    def status_of(self, method: str, path: str, query: str) -> int:
        """The status with which a request is refused, 0: it is not."""
        line = f"{method} {unquote(path)}?{query}"
        self.requests.append(line)
        if self.holding and all(part in line for part in self.holding):
            self.held.set()
            self.ended.wait()
            return 503
        if self.busy:
            self.busy -= 1
            return 503
        if self.refusals:
            self.refusals -= 1
            return 403
        if self.conflicts and method == "PUT":
            self.conflicts -= 1
            return 409
        return self.status

    def written(self) -> list[str]:
        """The requests that change something."""
        return [line for line in self.requests if not line.startswith(("GET", "HEAD"))]


class Bucket(ABC):
    """A bucket of a store.

    Attributes:
        url: of the bucket.
        variables: with which the loader finds the store.
        faults: what it does wrong.
    """

    url: str
    variables: dict[str, str]
    faults: Faults

    @abstractmethod
    def put(self, key: str, content: bytes, noted: str | None = None) -> None:
        """Write an object, with this as the SHA-256 that the loader notes."""
        ...

    @abstractmethod
    def objects(self) -> dict[str, bytes]: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    @abstractmethod
    def unfinished(self) -> list[str]:
        """Keys of uploads that were begun and not ended."""
        ...

    @abstractmethod
    def close(self) -> None: ...

    def below(self, prefix: str) -> dict[str, bytes]:
        """Objects below a prefix without it, the loader's claim left out."""
        parts_by_name = {
            key.removeprefix(f"{prefix}/"): content for key, content in self.objects().items() if prefix in key
        }
        parts_by_name.pop(".claim", None)
        return parts_by_name


class S3Bucket(Bucket):
    def __init__(self) -> None:
        self.faults = Faults()
        application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, _Faulty(application, self.faults), threaded=True)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"s3://{BUCKET}"
        self.variables = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        with urlopen(Request(f"{address}/moto-api/reset", method="POST")):
            pass
        self._client.create_bucket(Bucket=BUCKET)
        self.faults.requests.clear()

    def put(self, key: str, content: bytes, noted: str | None = None) -> None:
        metadata = {} if noted is None else {NOTE: noted}
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata=metadata)

    def objects(self) -> dict[str, bytes]:
        entries = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {
            entry["Key"]: self._client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in entries
        }

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def unfinished(self) -> list[str]:
        return [entry["Key"] for entry in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def close(self) -> None:
        self.faults.ended.set()
        self._server.shutdown()
        self._server.server_close()


class GoogleBucket(Bucket):
    def __init__(self) -> None:
        self.faults = Faults()
        self._storage = _Storage(self.faults)
        create_bucket(BUCKET, self._storage)
        self._server = _GoogleServer(self._storage, self.faults)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"gs://{BUCKET}"
        self.variables = {"STORAGE_EMULATOR_HOST": address}
        self._client: Any = google_storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": address}
        )

    def put(self, key: str, content: bytes, noted: str | None = None) -> None:
        blob = self._client.bucket(BUCKET).blob(key)
        blob.metadata = None if noted is None else {NOTE: noted}
        blob.upload_from_string(content)

    def objects(self) -> dict[str, bytes]:
        return {blob.name: blob.download_as_bytes() for blob in self._client.list_blobs(BUCKET)}

    def remove(self, key: str) -> None:
        self._client.bucket(BUCKET).blob(key).delete()

    def unfinished(self) -> list[str]:
        return []  # the store forgets them by itself

    def close(self) -> None:
        self.faults.ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Faulty:
    """A WSGI application that fails now and then."""

    def __init__(self, application: Callable[..., Iterable[bytes]], faults: Faults) -> None:
        self._application = application
        self._faults = faults
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        status = self._faults.status_of(method, path, query)
        if status:
            codes = {
                401: "InvalidAccessKeyId",
                403: "AccessDenied",
                409: "ConditionalRequestConflict",
                501: "NotImplemented",
                503: "SlowDown",
            }
            return _refused(
                403 if status == 401 else status,
                "" if method == "HEAD" else codes[status],
                start_response,
                self._faults.retry_after if status == 503 else None,
            )
        with self._lock:  # as in the real store, nothing comes between a condition and its write
            if _is_unknown_upload(query):
                return _refused(404, "NoSuchUpload", start_response)
            answer = self._application(environ, start_response)
        if method == "GET" and self._faults.damaged and self._faults.damaged in path:
            return [_other(b"".join(answer))]
        return answer


def _refused(
    status: int, code: str, start_response: Callable[..., Any], retry_after: str | None = None
) -> Iterable[bytes]:
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    more = [] if retry_after is None else [("Retry-After", retry_after)]
    start_response(f"{status} No", [("Content-Length", str(len(body))), *more])
    return [body]


def _is_unknown_upload(query: str) -> bool:
    """Whether a request goes on with an upload that somebody has ended. The emulator fails at a part of one (500); S3
    says NoSuchUpload (https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html)."""
    (upload,) = parse_qs(query).get("uploadId", [""])
    buckets = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets
    return bool(upload) and BUCKET in buckets and upload not in buckets[BUCKET].multiparts


class _PreconditionError(Exception):
    """Another generation is there."""


class _Storage(Storage):
    """The emulator's objects, with preconditions."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(use_memory_fs=True)
        self.expected = threading.local()
        self._faults = faults

    def create_file(self, bucket_name: str, file_name: str, content: bytes, file_obj: Any, file_id: Any = None) -> None:
        self._check(bucket_name, file_name)
        super().create_file(bucket_name, file_name, content, file_obj, file_id)

    def get_file(self, bucket_name: str, file_name: str, show_error: bool = True) -> bytes:
        self._check(bucket_name, file_name)
        content: bytes = super().get_file(bucket_name, file_name, show_error)
        return _other(content) if self._faults.damaged and self._faults.damaged in file_name else content

    def add_to_resumable_upload(self, file_id: str, content: bytes, **more: Any) -> bytes | None:
        name = self.get_resumable_file_obj(file_id)["name"]
        spoiled = self._faults.spoiled and self._faults.spoiled in name and content
        return super().add_to_resumable_upload(file_id, _other(content) if spoiled else content, **more)

    def _check(self, bucket_name: str, file_name: str) -> None:
        expected = getattr(self.expected, "generation", None)
        if expected is None or bucket_name != BUCKET:
            return
        generation_held = self.objects.get(bucket_name, {}).get(file_name, {}).get("generation", "0")
        if generation_held != expected:
            raise _PreconditionError


class _GoogleServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, storage: _Storage, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _GoogleHandler)
        self.storage = storage
        self.faults = faults
        self.lock = threading.Lock()


class _GoogleHandler(BaseHTTPRequestHandler):
    server: _GoogleServer

    @property
    def storage(self) -> _Storage:
        return self.server.storage

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        status = self.server.faults.status_of(self.command, parts.path, parts.query)
        if status:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._refuse(status)
            return
        with self.server.lock:
            self.storage.expected.generation = parse_qs(parts.query).get("ifGenerationMatch", [None])[0]
            try:
                Router(self).handle(self.command)
            except _PreconditionError:
                self._refuse(412)

    def _refuse(self, status: int) -> None:
        body = json.dumps({"error": {"code": status, "message": HTTPStatus(status).phrase}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 503 and self.server.faults.retry_after is not None:
            self.send_header("Retry-After", self.server.faults.retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _other(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1]) if content else content
