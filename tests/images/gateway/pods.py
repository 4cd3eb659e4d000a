"""Gateways as real processes, each with the files of a pod; and a real Redis."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.images.gateway.environment import GATEWAY, SOURCES
from tests.images.launched import free_port
from tests.images.locked_environment import NotHereError

START_SECONDS = 400
"""A guard: LiteLLM takes half a minute to start, and much more on a busy machine."""
GUARD_SECONDS = 60


def wait_until(holds: Callable[[], bool], what: str, seconds: float = GUARD_SECONDS) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it did not come.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def key(name: str, **fields: Any) -> Mapping[str, Any]:
    """An entry of the file of keys; the key itself is ``sk-llm-`` and the name."""
    return {"name": name, "sha256": hashlib.sha256(f"sk-llm-{name}".encode()).hexdigest(), "team": "chat", **fields}


@dataclass
class Pod:
    """A gateway that runs, and the folder with its files."""

    folder: Path
    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: Any, name: str | None = "any", **arguments: Any) -> requests.Response:
        """Send a request with the key of this name."""
        headers = {} if name is None else {"authorization": f"Bearer sk-llm-{name}"}
        headers.update(arguments.pop("headers", {}))
        return requests.post(f"{self.url}{path}", json=body, headers=headers, timeout=GUARD_SECONDS, **arguments)  # pyright: ignore[reportArgumentType]

    def get(self, path: str, name: str | None = "any") -> requests.Response:
        """Ask for what is there, with the key of this name."""
        headers = {} if name is None else {"authorization": f"Bearer sk-llm-{name}"}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=GUARD_SECONDS)

    @property
    def port(self) -> int:
        """Where it answers."""
        return int(self.url.rpartition(":")[2])

    def chat(self, name: str | None = "any", **fields: Any) -> requests.Response:
        """Ask ``tiny`` something, with the key of this name."""
        stream = bool(fields.get("stream"))
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, **fields}
        return self.post("/v1/chat/completions", body, name, stream=stream)

    def metrics(self) -> Mapping[str, float]:
        """Every sample, by its name with labels."""
        lines = requests.get(self.metrics_url, timeout=GUARD_SECONDS).text.splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text()

    def freeze(self) -> None:
        """Stop its process, which keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def leaving(pod: Pod, name: str, *, stream: bool, model: str = "tiny") -> Iterator[http.client.HTTPConnection]:
    """A client that asks a model and closes its connection without having read the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", pod.port, timeout=GUARD_SECONDS)
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "stream": stream}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer sk-llm-{name}"})
    try:
        yield connection
    finally:
        connection.close()


def write_keys(folder: Path, keys: Sequence[Mapping[str, Any]] | str) -> None:
    """Put a file of keys in the place of the one that is there, at once as the kubelet does."""
    text = keys if isinstance(keys, str) else json.dumps({"keys": keys})
    new = folder / "keys" / "new"
    new.write_text(text)
    new.replace(folder / "keys" / "keys.json")


def start(
    folder: Path,
    configuration: Mapping[str, Any],
    keys: Sequence[Mapping[str, Any]],
    *role: str,
    host: str = "127.0.0.1",
    postgres: Mapping[str, str] | None = None,
) -> Pod:
    """Start a gateway, or a worker, with files of this text for the table of keys; it is not ready yet.

    Hosted providers know it by ``key-of-`` and their name.
    """
    for name in ("gateway", "keys", "redis", "hosted", "postgres", "webhooks", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for provider in configuration.get("hosted", ()):
        (folder / "hosted" / provider["name"]).write_text(f"key-of-{provider['name']}\n")
    for name, text in (postgres or {}).items():
        (folder / "postgres" / name).write_text(text)
    (folder / "gateway" / "gateway.json").write_text(json.dumps(configuration))
    (folder / "webhooks" / "secret").write_text("of a test")
    write_keys(folder, keys)
    port, metrics_port = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "work"),
        "PYTHONPATH": str(SOURCES),
        "PYTHONUNBUFFERED": "1",
        "LLM_SERVING_GATEWAY_FILES": str(folder),
        "LLM_SERVING_GATEWAY_WORK": str(folder / "work"),
        "LLM_SERVING_GATEWAY_HOST": host,
        "LLM_SERVING_GATEWAY_PORT": str(port),
        "LLM_SERVING_GATEWAY_METRICS_PORT": str(metrics_port),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [GATEWAY.interpreter(), "-m", "llm_serving_gateway", *role],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    return Pod(folder, f"http://{host}:{port}", f"http://{host}:{metrics_port}/metrics", process)


def wait_ready(pod: Pod) -> None:
    """Wait until a gateway says that it is ready.

    Raises:
        AssertionError: it ended, or did not come.
    """

    def ready() -> bool:
        assert pod.process.poll() is None, pod.log[-4000:]
        try:
            return requests.get(f"{pod.url}/health/readiness", timeout=GUARD_SECONDS).status_code == 200
        except requests.ConnectionError:
            return False

    wait_until(ready, f"the gateway: {pod.log[-4000:]}", START_SECONDS)


def stop(pod: Pod) -> None:
    """End a gateway however it is."""
    pod.process.kill()
    pod.process.wait(GUARD_SECONDS)


@contextmanager
def serving(begin: Callable[[Path], Pod], folders: Sequence[Path]) -> Iterator[list[Pod]]:
    """Gateways or workers that are ready, one in each folder, until the end of the block."""
    pods: list[Pod] = []
    try:
        for folder in folders:
            pods.append(begin(folder))
        for pod in pods:
            wait_ready(pod)
        yield pods
    except NotHereError as reason:
        pytest.fail(str(reason))
    finally:
        for pod in pods:
            stop(pod)


@dataclass
class Redis:
    """A Redis that can be killed, frozen and started again on its port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    program: Path | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = self.program or shutil.which("redis-server")
        assert program is not None, "redis-server is missing: run `make setup-node`, or install it"
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *arguments, "--dir", str(self.folder), "--maxmemory-policy", "noeviction"],
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.command("PING") == "+PONG", "Redis")

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(GUARD_SECONDS)
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """What it answers to a command, a word; or nothing."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=GUARD_SECONDS) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                answer = connection.makefile()
                line = answer.readline().strip()
                return answer.readline().strip() if line.startswith("$") and line != "$-1" else line
        except OSError:
            return ""

    def number(self, name: str, field: str) -> int:
        """A field of a hash."""
        return int(self.command("HGET", name, field))
