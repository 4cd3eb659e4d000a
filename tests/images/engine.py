"""A small inference engine for tests of the launcher: a program of its own, with a port, children and signals.

``python engine.py --port=N --served-model-name=NAME [--state=FOLDER]``. It does what files in FOLDER say:
``loading``: answers /health, lists no model; ``unhealthy``: /health answers 503; ``late``: /health is not answered
until the file is gone; ``still``: its counters, which else move with each reading, do not; ``hung``: nor does a
completion end; ``idle``: it has no requests; ``drain``: goes on after SIGTERM until the file is gone; ``ignore``: takes
no notice of signals. It writes the signals that came to ``signals``, to ``asked`` that it got a completion to make, and
to ``children`` the processes it made: one in a session of its own, and one orphan that has ended.
"""

import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a model} 7"} 3.0
vllm:num_requests_running{engine="1",model_name="a model} 7"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a model} 7"} 11.0
vllm:num_requests_waiting{engine="1",model_name="a model} 7"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a model} 7",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="a model} 7"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a model} 7"} 0.5
"""
TOKENS = "vllm:generation_tokens_total"


def main() -> None:
    """Serve until told to stop."""
    options = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    state = Path(options["state"])
    made: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        with open(state / "signals", "a") as file:
            file.write(signal.Signals(number).name + "\n")
        if (state / "ignore").exists():
            return
        while (state / "drain").exists():
            time.sleep(0.01)
        os._exit(0)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    made.append(_sleeper())
    made.append(_orphan())
    (state / "children.new").write_text(json.dumps(made))
    (state / "children.new").rename(state / "children")

    steps = itertools.count()
    counted = [0]

    def metrics() -> str:
        if not (state / "still").exists() and not (state / "hung").exists():
            counted[0] = next(steps)
        load = re.sub(r"(num_requests\w*{.*}) .*", r"\1 0.0", METRICS) if (state / "idle").exists() else METRICS
        return f'{load}{TOKENS}{{engine="0"}} {counted[0]}.0\n'

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            (state / "asked").touch()
            self._wait_for("hung")
            self._answer(200, b"{}")

        def do_GET(self) -> None:
            body = b""
            if self.path == "/health":
                self._wait_for("late")
            status = 503 if self.path == "/health" and (state / "unhealthy").exists() else 200
            if self.path == "/v1/models":
                names = [] if (state / "loading").exists() else [options["served-model-name"]]
                body = json.dumps({"data": [{"id": name} for name in names]}).encode()
            if self.path == "/metrics":
                body = metrics().encode()
            self._answer(status, body)

        def _wait_for(self, name: str) -> None:
            while (state / name).exists():
                time.sleep(0.01)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(options["port"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(0.05)  # not signal.pause(), which a signal that comes just before it does not end


def _sleeper() -> int:
    """A child that leaves the engine's session and notices nothing."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)
    return pid


def _orphan() -> int:
    """A grandchild whose parent ends first; it ends a little later, and somebody has to reap it."""
    read, write = os.pipe()
    if os.fork() == 0:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(0.2)
            os._exit(0)
        os.write(write, str(grandchild).encode())
        os._exit(0)
    os.wait()
    return int(os.read(read, 16))


if __name__ == "__main__":
    main()
