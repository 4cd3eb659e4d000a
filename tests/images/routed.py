"""Runs the real vllm-router as the component calls it, with engines whose addresses it is told."""

import contextlib
import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_serving.gateway.router_pod import router_command
from llm_serving.serving.gateway_access import ROUTER_METRICS_PORT, ROUTER_PORT
from llm_serving.spec import RouterSpec, RoutingPolicy
from tests.images.launched import PATIENCE, free_port, until
from tests.images.locked_environment import NotHereError
from tests.images.router_environment import ROUTER
from tests.unit.serving.promtool import samples

Answer = tuple[int, dict[str, str], bytes]
LONGEST_REQUEST_SECONDS = 2 * int(PATIENCE)


@dataclass
class Router:
    """A router that runs."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    host: str = "127.0.0.1"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Status, headers and body of an answer."""
        connection = self.connection(method, path, body, **headers)
        response = connection.getresponse()
        answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        connection.close()
        return answer

    def connection(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """A connection on which a request was sent."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        text = None if body is None else json.dumps(body)
        sent = {"content-type": "application/json", **{name.replace("_", "-"): each for name, each in headers.items()}}
        connection.request(method, path, text, sent)
        return connection

    def chat(self, prompt: str = "sing", **options: Any) -> int:
        """Status of a chat completion."""
        return self.ask("POST", "/v1/chat/completions", chat(prompt, **options))[0]

    def figures(self, name: str) -> dict[str, float]:
        """A metric of every engine, by the engine's address."""
        connection = http.client.HTTPConnection(self.host, self.metrics_port, timeout=PATIENCE)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {
            dict(labels).get("worker", ""): value for (each, labels), value in samples(text).items() if each == name
        }

    def status(self, path: str) -> int | None:
        """Status of a path; ``None`` where nobody answers."""
        try:
            return self.ask("GET", path)[0]
        except OSError:
            return None


def chat(prompt: str, **options: Any) -> dict[str, Any]:
    """A request for a chat completion."""
    return {"model": "tiny-llama", "messages": [{"role": "user", "content": prompt}], **options}


def interpreter() -> Path:
    """The Python of the router's image, which can also run the stand-in for the engine."""
    try:
        return ROUTER.interpreter()
    except NotHereError as reason:
        pytest.skip(f"NOT TESTED: the router: {reason}")


@contextmanager
def routing(
    spec: RouterSpec,
    policy: RoutingPolicy,
    *options: str,
    host: str = "127.0.0.1",
    log: Path | None = None,
    **environment: str,
) -> Iterator[Router]:
    """A router as its pod runs it, on ports of its own, once it lives.

    Args:
        spec: the router's settings.
        policy: which engine gets a request.
        options: more options; those that the pod has too get this value.
        host: where it listens.
        log: where it writes; left out: where this process does.
        environment: more variables.
    """
    python = interpreter()
    ports = {f"={ROUTER_PORT}": f"={free_port()}", f"={ROUTER_METRICS_PORT}": f"={free_port()}"}
    words = router_command(spec, policy, LONGEST_REQUEST_SECONDS)
    for there, here in {**ports, "=0.0.0.0": f"={host}"}.items():
        words = [word.replace(there, here) if word.endswith(there) else word for word in words]
    # The program's first line names the folder in which the environment was made.
    command = [str(python), str(python.with_name(words[0])), *words[1:], *options]
    with contextlib.ExitStack() as opened:
        output = None if log is None else opened.enter_context(log.open("wb"))
        variables = {**os.environ, "HOME": "/tmp", "NO_COLOR": "1", **environment}
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
    port, metrics_port = (int(each[1:]) for each in ports.values())
    try:
        router = Router(process, port, metrics_port, host)
        until(lambda: process.poll() is not None or router.status("/liveness") == 200, "the router lives")
        yield router
    finally:
        process.kill()
        process.wait(PATIENCE)


def told(engines: Sequence[str]) -> list[str]:
    """Options by which a router is told its engines, in the place of looking for them; it asks soon how they are."""
    return ["--health-check-interval-secs=1", "--health-check-timeout-secs=1", "--worker-urls", *engines]
