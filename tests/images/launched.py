"""Runs the launcher as a process, from the zip that comes to the images of engines, and asks its health endpoint."""

import atexit
import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llm_serving.launchers import COMMAND, current

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "components" / "llm_serving" / "launchers" / "current"
ENGINE = Path(__file__).with_name("engine.py")
ANSWERING = Path(__file__).with_name("answering.py")
MODEL = "tiny-llama"
PATIENCE = 60.0
"""Seconds until a test gives up waiting for what must happen."""
_GIVEN: set[int] = set()
"""Ports that tests of this process have got."""


@dataclass
class Launched:
    """A launcher with the test's engine as its child."""

    process: subprocess.Popen[str]
    port: int
    state: Path
    engine_port: int = 0

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if body else {}
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """The launcher's own metrics: name with labels -> value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = response.read().decode().splitlines()
        finally:
            connection.close()
        samples = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in samples}

    def status_of(self, path: str) -> int | None:
        """Status of an answer, ``None`` where nobody answers."""
        try:
            return self.get(path)[0]
        except OSError:
            return None

    @property
    def engine_pid(self) -> int:
        return int(self.get("/health")[1]["engine"]["pid"])

    def set(self, name: str) -> None:
        (self.state / name).touch()

    def clear(self, name: str) -> None:
        (self.state / name).unlink()

    def signals(self) -> list[str]:
        path = self.state / "signals"
        return path.read_text().split() if path.exists() else []

    def children(self) -> list[int]:
        until(lambda: (self.state / "children").exists(), "the engine has children")
        return json.loads((self.state / "children").read_text())

    def ready(self) -> None:
        until(lambda: self.process.poll() is not None or self.status_of("/health/ready") == 200, "ready")
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.process.communicate()[1]}"

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Leave nothing behind, whatever the test did and the launcher left undone."""
        self.process.kill()
        self.process.wait(PATIENCE)
        until(self._kill_rest, "all that it started is gone")
        self.process.communicate(timeout=PATIENCE)

    def _kill_rest(self) -> bool:
        """Kill the engine and what it made, which all have its folder in their command line; whether there was none."""
        word = f"--state={self.state}".encode()
        killed = False
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if word in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    killed = True
        return not killed


Launch = Callable[..., Launched]
"""``launch(*options, files=(), engine=ENGINE, engine_options=(), **variables)``: the fixture of that name."""


@contextlib.contextmanager
def launching(folder: Path) -> Iterator[Launch]:
    """Starts launchers with an engine each, and ends them all."""
    numbers = itertools.count()

    def start(
        *options: str,
        files: tuple[str, ...] = (),
        engine: Path = ENGINE,
        engine_options: tuple[str, ...] = (),
        **variables: str,
    ) -> Launched:
        state = folder / str(next(numbers))
        state.mkdir()
        for name in files:
            (state / name).touch()
        port, engine_port = free_port(), free_port()
        options_of_launcher = [f"--health-port={port}", "--health-host=127.0.0.1", "--probe-seconds=0.05", *options]
        command = [*engine_command(state, engine_port, engine), *engine_options]
        # What a launcher that is killed leaves behind goes with the test's folder.
        process = launcher(*options_of_launcher, "--", *command, TMPDIR=str(folder), **variables)
        result = Launched(process, port, state, engine_port)
        ends.callback(result.end)
        until(lambda: result.status_of("/health") is not None or process.poll() is not None, "a health endpoint")
        return result

    with contextlib.ExitStack() as ends:
        yield start


def until(happens: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen."""
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, f"it never happened: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def free_port() -> int:
    """A port on which nobody listens, from below those that the kernel gives to outgoing connections: one of these may
    take it before the engine does. No other worker of this run gets it, and no later test."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.choice(range(20000 + own, 32000, workers))
        if port in _GIVEN:
            continue
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port


def launcher(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """The launcher with arguments and further environment variables."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("LLM_SERVING_", "VLLM_"))}
    return subprocess.Popen(
        [sys.executable, *COMMAND[1:], *arguments],
        env={**own, "PYTHONPATH": f"{_archives()}/{current().file_name}", **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@cache
def _archives() -> str:
    """A folder with the launcher's zip, for the time of this process."""
    folder = tempfile.mkdtemp(prefix="llm-serving-launcher-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (Path(folder) / current().file_name).write_bytes(current().archive)
    return folder


def engine_command(state: Path, port: int, engine: Path = ENGINE) -> list[str]:
    return [sys.executable, str(engine), f"--port={port}", f"--served-model-name={MODEL}", f"--state={state}"]
