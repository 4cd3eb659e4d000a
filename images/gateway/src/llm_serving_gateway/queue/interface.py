"""Paths of the queue: requests of our own form, and OpenAI's files and batches.

Whose an object is, is part of its name in Redis: there is no way to that of another owner, for whom it is not there.
"""

import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, StrictStr
from starlette.formparsers import MultiPartException  # pyright: ignore[reportMissingImports]
from starlette.requests import Request as FormRequest  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding, requests
from llm_serving_gateway.bounded_redis import RedisAwayError
from llm_serving_gateway.configuration import Queue, RequestLimits
from llm_serving_gateway.keys import Key
from llm_serving_gateway.queue import batch_lines, webhooks
from llm_serving_gateway.queue.batch_lines import Check
from llm_serving_gateway.queue.store import Store, away
from llm_serving_gateway.refusals import RefusalError, invalid

JSON = "application/json"
FORM_OVERHEAD_BYTES = 10_000
"""What a form has besides its file."""
PIECE_BYTES = 1_000_000
"""Of a file that is read: one operation of Redis."""
CANCELLED_AT_ONCE = 500
_CLIENT_GONE = 499


@dataclass(frozen=True)
class Reply:
    """An answer: its status and body, or the pieces of its body with their length."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    pieces: AsyncIterator[bytes] | None = None
    length: int = 0


@dataclass(frozen=True)
class Call:
    """A request to the queue: whose, and how its body is read."""

    key: Key
    owner: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    scope: Mapping[str, Any]
    receive: Callable[[], Awaitable[Mapping[str, Any]]]
    hold: Callable[[int], None]
    names: Sequence[str] = field(default=())

    async def body(self, limit: int) -> bytes:
        """Its body.

        Raises:
            RefusalError: 408, 413, 415, 503 where the pod holds too many bodies, or 499 where the client went away.
        """
        body = await requests.read_body(self.receive, self.headers, limit, self.hold)
        if body is None:
            raise RefusalError(_CLIENT_GONE, "The client went away.", "client_gone")
        return body


class Submission(BaseModel):
    """The body of ``POST /v1/queue/requests``."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    endpoint: StrictStr
    body: dict[str, Any]
    webhook: StrictStr | None = None


class Batch(BaseModel):
    """The body of ``POST /v1/batches``: OpenAI's, and a webhook."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: StrictStr
    endpoint: StrictStr
    completion_window: Literal["24h"]
    output_expires_after: dict[str, Any] | None = None
    webhook: StrictStr | None = None


def owner_of(key: Key, scope: Literal["key", "team"]) -> str:
    """Whose the objects of a key are."""
    return f"team:{key.team}" if scope == "team" else f"key:{key.name}"


class Interface:
    """What clients may do.

    Args:
        store: the queue.
        settings: of the queue.
        limits: of all requests.
        check: the model that a request asks.
        secret: what webhooks are signed with.
    """

    def __init__(self, store: Store, settings: Queue, limits: RequestLimits, check: Check, secret: str | None) -> None:
        self._store, self._settings, self._limits, self._check = store, settings, limits, check
        self._secret = secret
        name = r"([A-Za-z0-9_-]{1,64})"
        self._routes = [
            (re.compile(f"^{pattern.format(name=name)}$"), methods)
            for pattern, methods in (
                ("/v1/queue/requests", {"POST": self._submit}),
                ("/v1/queue/requests/{name}", {"GET": self._request}),
                ("/v1/queue/requests/{name}/cancel", {"POST": self._cancel}),
                ("/v1/queue/webhook-secret", {"GET": self._webhook_secret}),
                ("/v1/files", {"POST": self._upload, "GET": self._files}),
                ("/v1/files/{name}", {"GET": self._file, "DELETE": self._delete_file}),
                ("/v1/files/{name}/content", {"GET": self._content}),
                ("/v1/batches", {"POST": self._create_batch, "GET": self._batches}),
                ("/v1/batches/{name}", {"GET": self._batch}),
                ("/v1/batches/{name}/cancel", {"POST": self._cancel_batch}),
            )
        ]

    async def close(self) -> None:
        """End the connections."""
        await self._store.close()

    def takes(self, path: str) -> bool:
        """Whether this is one of the queue's paths."""
        return any(pattern.match(path) for pattern, _ in self._routes)

    def methods(self, path: str) -> list[str]:
        """Methods that a path of the queue takes."""
        return [method for pattern, methods in self._routes if pattern.match(path) for method in methods]

    async def answer(
        self,
        key: Key,
        headers: Mapping[str, str],
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        hold: Callable[[int], None],
    ) -> Reply:
        """The answer to a request whose path and method are the queue's; ``hold`` counts the bytes of its body.

        Raises:
            RefusalError: it is refused.
        """
        query = {
            name: values[-1] for name, values in parse_qs(scope.get("query_string", b"").decode("latin-1")).items()
        }
        owner = owner_of(key, self._settings.scope)
        for pattern, methods in self._routes:
            if match := pattern.match(scope["path"]):
                call = Call(key, owner, query, headers, scope, receive, hold, match.groups())
                try:
                    return await methods[scope["method"]](call)
                except RedisAwayError as error:
                    raise away(error) from error
        raise RefusalError(404, "There is no such path.", "not_found")

    async def _submit(self, call: Call) -> Reply:
        fields = requests.parse_as(Submission, await call.body(self._limits.body_bytes))
        path = _endpoint(fields["endpoint"])
        body = requests.dumps(fields["body"])
        _, model = batch_lines.check_request(call.key, path, body, self._check)
        hook = fields.get("webhook")
        if hook is not None:
            webhooks.check_url(hook, self._settings.webhooks)
        request_id = fields.get("request_id") or f"req_{uuid.uuid4().hex}"
        told = {
            "key": f"{call.key.name} {call.key.sha256}",
            "owner": call.owner,
            "path": path,
            "model": model.name,
            "body": body,
        }
        if hook is not None:
            told["hook"] = hook
        digest = hashlib.sha256(encoding.dumps([path, body.decode(), hook])).hexdigest()
        name = f"{call.owner}/{request_id}"
        await self._store.submit(name, digest, len(body), told)
        return Reply(202, encoding.dumps(_shown_request(request_id, await self._known(name))))

    async def _request(self, call: Call) -> Reply:
        found = await self._known(f"{call.owner}/{call.names[0]}")
        return Reply(200, encoding.dumps(_shown_request(call.names[0], found)))

    async def _cancel(self, call: Call) -> Reply:
        name = f"{call.owner}/{call.names[0]}"
        await self._store.cancel(name)
        return Reply(200, encoding.dumps(_shown_request(call.names[0], await self._known(name))))

    async def _known(self, name: str) -> dict[str, bytes]:
        found = await self._store.task(name)
        if not found:
            raise _missing("request")
        return found

    async def _webhook_secret(self, call: Call) -> Reply:
        if self._settings.webhooks is None or self._secret is None:
            raise RefusalError(404, "This gateway sends no webhooks.", "not_found")
        return Reply(200, encoding.dumps({"secret": webhooks.secret_of(self._secret, call.owner)}))

    async def _upload(self, call: Call) -> Reply:
        purpose, filename, content = await self._form(call)
        if purpose != "batch":
            raise invalid("purpose: is batch", "purpose", "invalid_value")
        lines = sum(1 for _ in batch_lines.spans(content))
        if not 1 <= lines <= self._settings.file_lines:
            reason = f"file: has {lines} lines, and may have 1 to {self._settings.file_lines}"
            raise invalid(reason, "file", "invalid_value")
        file = f"file-{uuid.uuid4().hex}"
        await self._store.put_file(call.owner, file, content, {"filename": filename[:200], "lines": lines})
        return Reply(200, encoding.dumps(_shown_file(await self._store.file(call.owner, file))))

    async def _form(self, call: Call) -> tuple[str, str, bytes]:
        """Purpose, name and content of the file that a form brings."""
        body = await call.body(self._settings.file_bytes + FORM_OVERHEAD_BYTES)

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        if not call.headers.get("content-type", "").startswith("multipart/form-data"):
            raise invalid("The body is not a form with a file (multipart/form-data).", "file")
        try:
            async with FormRequest(call.scope, receive).form(max_files=1, max_fields=8) as form:
                file, purpose = form.get("file"), form.get("purpose")
                if file is None or isinstance(file, str):
                    raise invalid("file: missing", "file", "missing_required_parameter")
                content = await file.read()
                if len(content) > self._settings.file_bytes:
                    limit = self._settings.file_bytes
                    raise RefusalError(413, f"The file is larger than {limit} bytes.", "request_too_large", "file")
                return str(purpose), file.filename or "batch.jsonl", content
        except MultiPartException:
            raise invalid("The body is not a form with a file (multipart/form-data).", "file") from None

    async def _files(self, call: Call) -> Reply:
        found = [_shown_file(each) for each in await self._store.listed(call.owner, "files")]
        if purpose := call.query.get("purpose"):
            found = [each for each in found if each["purpose"] == purpose]
        if call.query.get("order") == "asc":
            found.reverse()
        return _page(found, call.query)

    async def _file(self, call: Call) -> Reply:
        return Reply(200, encoding.dumps(_shown_file(await self._known_file(call))))

    async def _delete_file(self, call: Call) -> Reply:
        answer = await self._store.delete_file(call.owner, call.names[0])
        if answer == "gone":
            raise _missing("file")
        if answer == "used":
            raise RefusalError(409, "A batch that has not ended needs this file.", "file_in_use")
        return Reply(200, encoding.dumps({"id": call.names[0], "object": "file", "deleted": True}))

    async def _content(self, call: Call) -> Reply:
        length = int((await self._known_file(call))["bytes"])

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, length, PIECE_BYTES):
                size = min(PIECE_BYTES, length - start)
                piece = await self._store.piece(call.owner, call.names[0], start, size)
                if len(piece) != size:
                    raise RedisAwayError("the file went while it was read")
                yield piece

        return Reply(200, content_type="application/jsonl", pieces=pieces(), length=length)

    async def _known_file(self, call: Call) -> dict[str, bytes]:
        found = await self._store.file(call.owner, call.names[0])
        if not found:
            raise _missing("file")
        return found

    async def _create_batch(self, call: Call) -> Reply:
        fields, metadata = _without_metadata(await call.body(self._limits.body_bytes))
        fields = requests.parse_as(Batch, fields)
        path = _endpoint(fields["endpoint"])
        batch = f"batch_{uuid.uuid4().hex}"
        told = {"key": f"{call.key.name} {call.key.sha256}", "path": path, "metadata": encoding.dumps(metadata)}
        if (hook := fields.get("webhook")) is not None:
            webhooks.check_url(hook, self._settings.webhooks)
            told["hook"] = hook
        if not await self._store.create_batch(call.owner, batch, fields["input_file_id"][:100], told | _file_ids()):
            raise invalid("input_file_id: there is no such file for batches", "input_file_id", "invalid_value")
        return Reply(200, encoding.dumps(_shown_batch(await self._store.batch(f"{call.owner}/{batch}"))))

    async def _batches(self, call: Call) -> Reply:
        return _page([_shown_batch(each) for each in await self._store.listed(call.owner, "batches")], call.query)

    async def _batch(self, call: Call) -> Reply:
        found = await self._store.batch(f"{call.owner}/{call.names[0]}")
        if not found:
            raise _missing("batch")
        return Reply(200, encoding.dumps(_shown_batch(found)))

    async def _cancel_batch(self, call: Call) -> Reply:
        name, next_line = f"{call.owner}/{call.names[0]}", "0"
        while next_line not in ("over", "gone"):
            next_line = await self._store.cancel_batch(name, int(next_line), CANCELLED_AT_ONCE)
        return await self._batch(call)


def _endpoint(path: str) -> str:
    if path not in requests.BODIES:
        raise invalid(f"endpoint: one of {', '.join(requests.BODIES)}", "endpoint", "invalid_value")
    return path


def _missing(what: str) -> RefusalError:
    return RefusalError(404, f"There is no such {what}.", f"{what}_not_found")


def _file_ids() -> dict[str, str]:
    return {name: f"file-{uuid.uuid4().hex}" for name in ("output_id", "error_id")}


def _without_metadata(body: bytes) -> tuple[bytes, Mapping[str, str]]:
    """The body without OpenAI's ``metadata``, which is kept here and means nothing elsewhere."""
    try:
        fields = encoding.loads(body)
    except encoding.JSONDecodeError:
        return body, {}
    metadata = (fields.pop("metadata", None) or {}) if isinstance(fields, dict) else {}
    good = isinstance(metadata, dict) and len(metadata) <= 16
    if not good or not all(
        isinstance(value, str) and len(name) <= 64 and len(value) <= 512 for name, value in metadata.items()
    ):
        reason = "metadata: at most 16 texts of 512 characters, under names of 64"
        raise invalid(reason, "metadata", "invalid_value")
    return requests.dumps(fields), metadata


def _shown_request(request_id: str, found: Mapping[str, bytes]) -> Mapping[str, Any]:
    response = error = None
    if found.get("result"):
        response = {"status_code": int(found["status"]), "body": encoding.loads(found["result"])}
    if "code" in found:
        error = {"code": found["code"].decode(), "message": found["message"].decode()}
    return {
        "id": request_id,
        "object": "queue.request",
        "status": found["state"].decode(),
        "endpoint": found["path"].decode(),
        "model": found["model"].decode(),
        "created_at": _seconds(found, "created"),
        "started_at": _seconds(found, "started"),
        "ended_at": _seconds(found, "ended"),
        "expires_at": _seconds(found, "until" if "ended" in found else "deadline"),
        "deliveries": int(found.get("deliveries", 0)),
        "response": response,
        "error": error,
    }


def _shown_file(found: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "id": found["id"].decode(),
        "object": "file",
        "bytes": int(found["bytes"]),
        "created_at": _seconds(found, "created"),
        "expires_at": _seconds(found, "until"),
        "filename": found["filename"].decode("utf-8", "replace"),
        "purpose": found["purpose"].decode(),
        "status": "processed",
    }


def _shown_batch(found: Mapping[str, bytes]) -> dict[str, Any]:
    errors = encoding.loads(found["errors"]) if "errors" in found else None
    moments = ("in_progress_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
    return {
        "id": found["id"].decode(),
        "object": "batch",
        "endpoint": found["path"].decode(),
        "errors": None if errors is None else {"object": "list", "data": errors},
        "input_file_id": found["input"].decode(),
        "completion_window": "24h",
        "status": found["state"].decode(),
        "output_file_id": found["output_file"].decode() if "output_file" in found else None,
        "error_file_id": found["error_file"].decode() if "error_file" in found else None,
        "created_at": _seconds(found, "created"),
        "expires_at": _seconds(found, "deadline"),
        "finalizing_at": None,
        **{moment: _seconds(found, moment) for moment in moments},
        "request_counts": {
            "total": int(found["total"]),
            "completed": int(found.get("completed", 0)),
            "failed": int(found.get("failed", 0)),
        },
        "metadata": encoding.loads(found["metadata"]) or None,
    }


def _seconds(found: Mapping[str, bytes], moment: str) -> int | None:
    return int(found[moment]) // 1000 if moment in found else None


def _page(found: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> Reply:
    asked = query.get("limit", "20")
    if not asked.isdecimal() or not 1 <= int(asked) <= 10_000:
        raise invalid("limit: 1 to 10000", "limit", "invalid_value")
    start = 0
    if after := query.get("after"):
        start = next((index + 1 for index, each in enumerate(found) if each["id"] == after), len(found))
    shown = found[start : start + int(asked)]
    return Reply(
        200,
        encoding.dumps(
            {
                "object": "list",
                "data": shown,
                "first_id": shown[0]["id"] if shown else None,
                "last_id": shown[-1]["id"] if shown else None,
                "has_more": start + len(shown) < len(found),
            }
        ),
    )
