"""A small inference engine on a real ASGI server, for tests of what becomes of requests when it is told to stop.

``python answering.py --port=N --served-model-name=NAME --state=FOLDER [--middleware=MODULE.CLASS]...``. It answers
``POST /v1/completions`` as the body says: ``name`` is told to the test by a file of that name with ``.begun`` when
the work begins; ``kind`` is ``plain``, ``stream``, ``silent`` (a stream that has no piece yet) or ``bytes`` (a stream
in a form that has no place for errors); the end comes once there is a file of that name with ``.go``. It writes the
signals that came to ``signals``, and ends at once then, and ``NAME.gone`` when a client went away.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn


class Application:
    """The engine's API."""

    def __init__(self, state: Path, model: str) -> None:
        self._state = state
        self._model = model

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["method"] == "GET":
            body = {"data": [{"id": self._model}]} if scope["path"] == "/v1/models" else {}
            await _send(send, "application/json", json.dumps(body).encode())
            return
        content, more = b"", True
        while more:
            message = await receive()
            content, more = content + message.get("body", b""), message.get("more_body", False)
        request = json.loads(content)
        if "name" not in request:
            await self._complete(request, send)
            return
        work = asyncio.create_task(self._work(request, send))
        gone = asyncio.create_task(receive())
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            (self._state / f"{request['name']}.gone").touch()
        for task in (work, gone):
            task.cancel()

    async def _complete(self, request: Any, send: Any) -> None:
        """A warm-up, which goes as the files ``broken`` and ``stuck`` say."""
        (self._state / "completed").write_text(json.dumps(request))
        while (self._state / "stuck").exists():
            await asyncio.sleep(0.01)
        if (self._state / "broken").exists():
            await _send(send, "application/json", b'{"error":"no kernel for this GPU"}', 500)
        else:
            await _send(send, "application/json", b'{"choices":[{"text":"a b c"}]}')

    async def _work(self, request: Any, send: Any) -> None:
        kind, name = request["kind"], request["name"]
        if kind != "plain":
            streams = b"application/octet-stream" if kind == "bytes" else b"text/event-stream; charset=utf-8"
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", streams)]})
        if kind in ("stream", "bytes"):
            await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
        (self._state / f"{name}.begun").touch()
        while not (self._state / f"{name}.go").exists():
            await asyncio.sleep(0.01)
        if kind == "plain":
            await _send(send, "application/json", b'{"text":"whole"}')
        else:
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _send(send: Any, kind: str, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until told to stop."""
    words = [word[2:].split("=", 1) for word in sys.argv[1:]]
    options = dict(words)
    state = Path(options["state"])
    application: Any = Application(state, options["served-model-name"])
    for name, value in words:
        if name == "middleware":
            module, _, attribute = value.rpartition(".")
            application = getattr(importlib.import_module(module), attribute)(application)

    def on_signal(number: int, frame: object) -> None:
        with open(state / "signals", "a") as file:
            file.write(signal.Signals(number).name + "\n")
        os._exit(0)

    class Server(uvicorn.Server):
        def capture_signals(self) -> Any:
            """Leave signals alone, as vLLM's server does."""
            return contextlib.nullcontext()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    cache = os.environ.get("VLLM_CACHE_ROOT")
    if cache is not None:
        made = Path(cache) / "torch_compile_cache" / "0123456789"
        (state / "found").write_text(json.dumps(sorted(path.name for path in made.glob("*"))))
        made.mkdir(parents=True, exist_ok=True)
        (made / "model").write_text("compiled")
    config = uvicorn.Config(application, host="127.0.0.1", port=int(options["port"]), log_level="warning")
    Server(config).run()


if __name__ == "__main__":
    main()
