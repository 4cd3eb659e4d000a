"""A back end with OpenAI's interface that does what a test tells it and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GUARD_SECONDS = 120


@dataclass
class Behaviour:
    """How it answers: a test sets it, and puts it back.

    Attributes:
        status: of every answer.
        error: body of an answer that is not 200.
        prompt_tokens: what it says it counted; ``output_tokens`` likewise.
        chunks: how many a stream has.
        breaks_after: chunks after which a stream's connection is cut.
        hold: a request waits, before its first byte, until this is set.
        hold_stream: a stream waits after its first chunk until this is set.
        stall: a stream says nothing more after its first chunk until this is set.
        text: what an answer says, from the body of its request; a stream says it in chunks of three characters.
        said_as: where an answer says it: ``content``, ``reasoning_content``, ``reasoning``, or ``arguments`` of a tool
            call.
        fails: whether a request, by its number from 0 on, gets ``status``; left out: every one.
        ends_with: a stream ends with this event in the place of the last ones.
        releases: those that a request may name, as the models' route knows them; left out: it looks at no name.
        sleeps: there is no engine, and the proxy says so in its place.
    """

    status: int = 200
    error: Mapping[str, Any] = field(default_factory=lambda: {"error": {"message": "secret internals of 10.0.0.7"}})
    prompt_tokens: int = 10
    output_tokens: int = 12
    chunks: int = 5
    breaks_after: int | None = None
    hold: threading.Event | None = None
    hold_stream: threading.Event | None = None
    stall: threading.Event | None = None
    text: Callable[[Mapping[str, Any]], str] | None = None
    said_as: str = "content"
    fails: Callable[[int], bool] | None = None
    ends_with: Mapping[str, Any] | None = None
    releases: frozenset[str] | None = None
    sleeps: bool = False


@dataclass
class Backend:
    """One that runs: its address, what it is told, and the requests that it got."""

    url: str
    release: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    requests: list[tuple[str, Mapping[str, str], Mapping[str, Any]]] = field(default_factory=list)
    cut: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed its connection in the middle of an answer."""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once a request."""
    probes: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released whenever it is asked whether an engine is there, and none is."""


@contextmanager
def running(release: str) -> Iterator[Backend]:
    """Run one in threads of this process."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    backend = Backend(f"http://127.0.0.1:{server.server_port}/v1", release)
    server.backend = backend  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Clients that come at once; from the sixth on, they would be refused."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """It is well, where it is there."""
        backend: Backend = self.server.backend  # pyright: ignore[reportAttributeAccessIssue]
        if backend.behaviour.sleeps:
            backend.probes.release()
            self._nobody()
            return
        self._json(200, {})

    def do_POST(self) -> None:
        backend: Backend = self.server.backend  # pyright: ignore[reportAttributeAccessIssue]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        behaviour = backend.behaviour
        if self.path == "/tokenize":
            tokens = [ord(letter) for message in body["messages"] for letter in message["content"]]
            self._json(200, {"count": len(tokens), "max_model_len": 4096, "tokens": tokens})
            return
        if self.path.endswith("/render"):
            # As vLLM answers where its scale-out endpoints are off.
            self._json(404, {"detail": "Not Found"})
            return
        backend.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        backend.arrived.release()
        if behaviour.sleeps:
            self._nobody()
            return
        if behaviour.hold is not None:
            behaviour.hold.wait(GUARD_SECONDS)
        pinned = self.headers["x-llm-release"]
        try:
            if behaviour.releases is not None and pinned is not None and pinned not in behaviour.releases:
                self.send_response(503)
                self.send_header("content-length", "0")
                self.end_headers()
            elif behaviour.status != 200 and (behaviour.fails is None or behaviour.fails(len(backend.requests) - 1)):
                self._json(behaviour.status, behaviour.error)
            elif body.get("stream"):
                self._stream(body, behaviour)
            else:
                self._json(200, _answer(self.path, body, behaviour))
        except (BrokenPipeError, ConnectionResetError):
            backend.cut.set()
            self.close_connection = True

    def _nobody(self) -> None:
        text = b"no available server\n"
        self._start(503, "text/plain; charset=utf-8", [("content-length", str(len(text)))])
        self.wfile.write(text)

    def _json(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self._start(status, "application/json", [("content-length", str(len(text)))])
        self.wfile.write(text)

    def _start(self, status: int, kind: str, more: list[tuple[str, str]]) -> None:
        self.send_response(status)
        release = self.headers["x-llm-release"] or self.server.backend.release  # pyright: ignore[reportAttributeAccessIssue]
        for name, value in [("content-type", kind), ("x-llm-release", release), *more]:
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, body: Mapping[str, Any], behaviour: Behaviour) -> None:
        self._start(200, "text/event-stream", [("transfer-encoding", "chunked")])
        base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunks = [f"w{number} " for number in range(behaviour.chunks)]
        if behaviour.text is not None:
            text = behaviour.text(body)
            chunks = [text[start : start + 3] for start in range(0, len(text), 3)]
        for number, chunk in enumerate(chunks):
            if behaviour.ends_with is not None and number == behaviour.breaks_after:
                self._event(behaviour.ends_with)
                self.wfile.write(b"0\r\n\r\n")
                return
            if number == behaviour.breaks_after:
                self.close_connection = True
                self.connection.close()
                return
            finish = "stop" if number == len(chunks) - 1 else None
            choice = {"index": 0, "delta": _said(behaviour, chunk), "finish_reason": finish}
            self._event({**base, "choices": [choice]})
            if number == 0 and behaviour.stall is not None:
                behaviour.stall.wait(GUARD_SECONDS)
            if number == 0 and behaviour.hold_stream is not None:
                while not behaviour.hold_stream.wait(0.05):
                    # A connection that the client closed shows when it is written to.
                    self._event({**base, "choices": [{**choice, "delta": {"content": "."}}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            self._event({**base, "choices": [], "usage": _usage(behaviour)})
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, value: object) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.flush()


def _usage(behaviour: Behaviour) -> Mapping[str, int]:
    prompt, output = behaviour.prompt_tokens, behaviour.output_tokens
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def _said(behaviour: Behaviour, text: str) -> Mapping[str, Any]:
    """A text as part of a message, or of a piece of one."""
    if behaviour.said_as == "arguments":
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "send", "arguments": text}}
        return {"tool_calls": [call]}
    return {behaviour.said_as: text}


def _answer(path: str, body: Mapping[str, Any], behaviour: Behaviour) -> Mapping[str, Any]:
    model, usage = body["model"], _usage(behaviour)
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
        usage = {"prompt_tokens": behaviour.prompt_tokens, "total_tokens": behaviour.prompt_tokens}
        return {"object": "list", "data": data, "model": model, "usage": usage}
    if path.endswith("/rerank"):
        results = [
            {"index": index, "document": {"text": document}, "relevance_score": 0.5}
            for index, document in enumerate(body["documents"])
        ]
        return {"id": "r1", "model": model, "usage": {"total_tokens": behaviour.prompt_tokens}, "results": results}
    text = "hello" if behaviour.text is None else behaviour.text(body)
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": None, **_said(behaviour, text)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        kind = "chat.completion"
    else:
        choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
        kind = "text_completion"
    return {"id": "a1", "object": kind, "created": 1, "model": model, "choices": [choice], "usage": usage}
