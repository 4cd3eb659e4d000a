#!/usr/bin/env python3
"""Stands in for vLLM in tests of what is around an engine: the same interface, and no model.

``vllm serve WEIGHTS --served-model-name=NAME --port=PORT``, with vLLM's ``--max-num-seqs``, ``--max-num-queued-reqs``
and ``--middleware``; its other options change nothing here. Chat completions and completions, whole or streamed, have
as many tokens as ``max_tokens`` says. ``PUT /stand-in/hold`` keeps every further token back until
``PUT /stand-in/release``; its steps go on meanwhile, as those of a long prompt do. ``PUT /stand-in/mute`` leaves
``/health`` without an answer until ``PUT /stand-in/unmute``; ``PUT /stand-in/fail`` answers requests with an error from
then on. Served by uvicorn, as vLLM is, so that the launcher's
middleware runs in it as it runs in vLLM.
"""

import asyncio
import contextlib
import importlib
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import uvicorn

TOKEN_SECONDS = 0.01
"""Pace of a request's tokens while none are held."""

_WORD = "la "
_REASONS = ("stop", "length", "abort", "error", "repetition")
_BUCKETS = (0.01, 0.1, 1.0, 10.0, math.inf)
_GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
_COUNTERS = (
    "vllm:generation_tokens_total",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prompt_tokens_total",
)
_FINISHED = "vllm:request_success_total"
_REJECTED = "vllm:admission_rejections_total"
_FIRST_TOKEN = "vllm:time_to_first_token_seconds"
_NEXT_TOKEN = "vllm:inter_token_latency_seconds"
_LATENCY = "vllm:e2e_request_latency_seconds"
_QUEUE = "vllm:request_queue_time_seconds"
_STEPS = "vllm:iteration_tokens_total_count"


class Figures:
    """vLLM's metrics."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.values: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self._buckets = {name: dict.fromkeys(_BUCKETS, 0) for name in (_FIRST_TOKEN, _NEXT_TOKEN, _LATENCY, _QUEUE)}
        self._sums = dict.fromkeys(self._buckets, 0.0)

    def observe(self, histogram: str, seconds: float) -> None:
        """Add an observation."""
        self._sums[histogram] += seconds
        buckets = self._buckets[histogram]
        for bound in buckets:
            buckets[bound] += seconds <= bound

    def exposition(self) -> Iterator[str]:
        """All series in Prometheus' text format."""
        model = {"model_name": self._model}
        own = {"engine": "0", **model}
        # A step for each reading: more than one between two of them is as good as one.
        self.values[_STEPS] += bool(self.values["vllm:num_requests_running"])
        for name in (*_GAUGES, *_COUNTERS, _STEPS):
            yield _sample(name, self.values[name], own)
        for reason in _REASONS:
            yield _sample(_FINISHED, self.finished[reason], {**own, "finished_reason": reason})
        for reason in ("max_num_queued_reqs", "max_num_queued_tokens"):
            yield _sample(_REJECTED, self.rejected[reason], {**model, "reason": reason})
        for name, buckets in self._buckets.items():
            for bound, count in buckets.items():
                le = "+Inf" if math.isinf(bound) else str(bound)
                yield _sample(f"{name}_bucket", count, {**own, "le": le})
            yield _sample(f"{name}_sum", self._sums[name], own)
            yield _sample(f"{name}_count", buckets[math.inf], own)


def _sample(name: str, value: float, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f"{key}={json.dumps(text)}" for key, text in sorted(labels.items()))
    return f"{name}{{{pairs}}} {float(value)}\n"


class Application:
    """The engine's API.

    Args:
        model: name under which it is served.
        most_running: requests that run at once; the others wait.
        most_requests: requests, running and waiting, beyond which new ones are refused; ``None``: no limit.
    """

    def __init__(self, model: str, most_running: int, most_requests: int | None) -> None:
        self._model = model
        self._places = asyncio.Semaphore(most_running)
        self._most_requests = most_requests
        self._released = asyncio.Event()
        self._released.set()
        self._heard = asyncio.Event()
        self._heard.set()
        self._fails = False
        self._figures = Figures(model)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        match scope["method"], scope["path"]:
            case "GET", "/health":
                await self._heard.wait()
                await _send(send, "text/plain", b"")
            case "GET", "/v1/models":
                await _send_json(send, {"object": "list", "data": [{"id": self._model, "object": "model"}]})
            case "GET", "/metrics":
                await _send(send, "text/plain; version=0.0.4", "".join(self._figures.exposition()).encode())
            case "PUT", "/stand-in/hold":
                self._released.clear()
                await _send_json(send, {})
            case "PUT", "/stand-in/release":
                self._released.set()
                await _send_json(send, {})
            case "PUT", "/stand-in/mute":
                self._heard.clear()
                await _send_json(send, {})
            case "PUT", "/stand-in/unmute":
                self._heard.set()
                await _send_json(send, {})
            case "PUT", "/stand-in/fail":
                self._fails = True
                await _send_json(send, {})
            case "POST", "/v1/chat/completions" | "/v1/completions" if self._fails:
                await _send_json(send, {"error": {"message": "the engine fails", "code": 500}}, 500)
            case "POST", ("/v1/chat/completions" | "/v1/completions") as path:
                await self._complete(path, json.loads(await _body(receive)), receive, send)
            case _:
                await _send_json(send, {"error": {"message": "there is no such path", "code": 404}}, 404)

    async def _complete(self, path: str, request: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, unless its client goes away first."""
        answering = asyncio.create_task(self._answer(path, request, send))
        gone = asyncio.create_task(receive())
        try:
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, gone):
                if not task.done():
                    task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering

    async def _answer(self, path: str, request: dict[str, Any], send: Any) -> None:
        if self._most_requests is not None and self._requests >= self._most_requests:
            self._figures.rejected["max_num_queued_reqs"] += 1
            await _send_json(send, {"error": {"message": "too many requests wait", "code": 503}}, 503)
            return
        came = time.monotonic()
        async with self._counted("vllm:num_requests_waiting"):
            await self._places.acquire()
        self._figures.observe(_QUEUE, time.monotonic() - came)
        try:
            async with self._counted("vllm:num_requests_running"):
                await self._generate(path, request, came, send)
        finally:
            self._places.release()
        self._figures.observe(_LATENCY, time.monotonic() - came)
        self._figures.finished["length"] += 1

    async def _generate(self, path: str, request: dict[str, Any], came: float, send: Any) -> None:
        tokens, streams, chats = int(request.get("max_tokens", 16)), request.get("stream", False), "chat" in path
        last = came
        for number in range(tokens):
            await asyncio.sleep(TOKEN_SECONDS)
            await self._released.wait()
            now = time.monotonic()
            self._figures.observe(_NEXT_TOKEN if number else _FIRST_TOKEN, now - last)
            last = now
            self._figures.values["vllm:generation_tokens_total"] += 1
            if streams:
                if number == 0:
                    await _begin(send, "text/event-stream; charset=utf-8")
                part = {"delta": {"content": _WORD}} if chats else {"text": _WORD}
                end = "length" if number == tokens - 1 else None
                await _send_event(send, json.dumps(self._content([{"index": 0, "finish_reason": end, **part}])))
        if streams:
            await _send_event(send, "[DONE]", more=False)
            return
        text = _WORD * tokens
        part = {"message": {"role": "assistant", "content": text}} if chats else {"text": text}
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
        await _send_json(send, {**self._content([{"index": 0, "finish_reason": "length", **part}]), "usage": usage})

    def _content(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "stand-in", "model": self._model, "choices": choices}

    @property
    def _requests(self) -> int:
        values = self._figures.values
        return values["vllm:num_requests_running"] + values["vllm:num_requests_waiting"]

    @contextlib.asynccontextmanager
    async def _counted(self, gauge: str) -> AsyncIterator[None]:
        self._figures.values[gauge] += 1
        try:
            yield
        finally:
            self._figures.values[gauge] -= 1


async def _body(receive: Any) -> bytes:
    content, more = b"", True
    while more:
        message = await receive()
        content, more = content + message.get("body", b""), message.get("more_body", False)
    return content


async def _begin(send: Any, kind: str, status: int = 200, length: int | None = None) -> None:
    headers = [(b"content-type", kind.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send(send: Any, kind: str, body: bytes, status: int = 200) -> None:
    await _begin(send, kind, status, len(body))
    await send({"type": "http.response.body", "body": body})


async def _send_json(send: Any, content: Any, status: int = 200) -> None:
    await _send(send, "application/json", json.dumps(content).encode(), status)


async def _send_event(send: Any, data: str, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": more})


def options_of(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The options of a command line, ``--name=value``, each with all the values that it was given."""
    options: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            options.setdefault(name, []).append(value)
    return options


def main() -> None:
    """Serve until told to stop."""
    options = options_of(sys.argv[1:])
    most_requests = options.get("max-num-queued-reqs")
    application: Any = Application(
        options["served-model-name"][0],
        int(options.get("max-num-seqs", ["256"])[0]),
        None if most_requests is None else int(most_requests[0]),
    )
    for name in options.get("middleware", []):
        module, _, attribute = name.rpartition(".")
        application = getattr(importlib.import_module(module), attribute)(application)

    class Server(uvicorn.Server):
        def capture_signals(self) -> Any:
            """Leave signals alone, as vLLM's server does."""
            return contextlib.nullcontext()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    host = options.get("host", ["0.0.0.0"])[0]
    Server(uvicorn.Config(application, host=host, port=int(options["port"][0]), log_level="warning")).run()


if __name__ == "__main__":
    main()
