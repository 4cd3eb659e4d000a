"""``python -m bench.gateway_faults``: what clients of a gateway see while one of its parts fails, under steady load.

The real parts as processes of this machine: Traefik with the project's objects on a real control plane (two),
LiteLLM in our application (two), vllm-router (two of the stable release, one of the canary), Redis (limits, and kept
answers). Engines are stand-ins with vLLM's interface. What Kubernetes does is done here: a Service of the edge that
spreads connections, and, some time after a process ended, its endpoint that goes (``NOTICE_SECONDS``) and the process
that is started again. A request that gets no first byte, or an error in its place, is lost; nothing is sent twice by
its client. Prints what was counted; judges nothing.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.service import Service
from llm_serving.spec import RouterSpec, RoutingPolicy
from local.cluster import LocalCluster
from local.state_folder import REPOSITORY
from tests.engine.gateway import lab
from tests.images.gateway.pods import Pod, Redis, free_port, key, start, stop, wait_ready, wait_until
from tests.images.routed import Router, interpreter, routing, told

STAND_IN = REPOSITORY / "tests" / "stand_in" / "engine.py"
MODEL = "tiny"
CLIENTS = 6
PAUSE_SECONDS = 0.1
NOTICE_SECONDS = 2.0
"""From the end of a process to the end of its endpoint, and to its next start: what the kubelet takes."""
TIMEOUTS = {"connectSeconds": 2, "firstTokenSeconds": 5, "betweenTokensSeconds": 5, "totalSeconds": 20}
PATIENT = {"connectSeconds": 10, "firstTokenSeconds": 50, "betweenTokensSeconds": 50, "totalSeconds": 120}
"""Of a quick run, for machines of any speed."""
GUARD_SECONDS = 150
KEY = "bench"


@dataclass(frozen=True)
class Plan:
    """Seconds of a fault, and of the load before it and after it; time-outs of the model."""

    fault: float = 10
    around: float = 4
    timeouts: Mapping[str, float] = field(default_factory=lambda: TIMEOUTS)


QUICK = Plan(fault=2, around=0.5, timeouts=PATIENT)


@dataclass(frozen=True)
class Request:
    """What became of one: when it ended, how long it took, and what the client saw."""

    ended: float
    seconds: float
    outcome: str

    @property
    def is_well(self) -> bool:
        return self.outcome == "answered"


@dataclass
class Load:
    """Clients that ask in turn for a whole answer and for a stream, each request on a connection of its own."""

    port: int
    requests: list[Request] = field(default_factory=list)
    _ends: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask from now on until the end of the block, and for the last answers."""
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join()

    def _client(self) -> None:
        while not self._ends.is_set():
            begin, number = time.monotonic(), next(self._numbers)
            outcome = ask(self.port, f"{number} {begin}", stream=bool(number % 2))
            now = time.monotonic()
            self.requests.append(Request(now, now - begin, outcome))
            self._ends.wait(PAUSE_SECONDS)


def ask(port: int, prompt: str, *, stream: bool) -> str:
    """What a client sees: ``answered``, ``status 503`` and the like, or how its stream ended."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD_SECONDS)
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 8, "stream": stream}
    headers = {"authorization": f"Bearer sk-llm-{KEY}", "content-type": "application/json"}
    got = b""
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            if response.status != 200:
                response.read()
                return f"status {response.status}"
            while part := response.read1(65536):
                got += part
        except (OSError, http.client.HTTPException):
            return "stream cut" if b"data: {" in got else "no answer"
    if not stream:
        return "answered" if b'"usage"' in got else "no answer"
    if not got.rstrip().endswith(b"data: [DONE]"):
        return "stream cut"
    return "stream ended with an error" if b'data: {"error"' in got else "answered"


class Engine:
    """A stand-in for an engine."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it is well."""
        names = [f"--port={self.port}", "--host=127.0.0.1", f"--served-model-name={MODEL}"]
        self.process = subprocess.Popen(
            [interpreter(), STAND_IN, "serve", "weights", *names], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: _answers(f"{self.url}/health"), "the engine")

    def end(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(GUARD_SECONDS)

    def fail(self) -> None:
        """Answer requests with 500 from now on."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/stand-in/fail", method="PUT"), timeout=60).close()

    def restart(self) -> None:
        """As new."""
        self.end()
        self.start()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=GUARD_SECONDS) as answer:
            return answer.status == 200
    except OSError:
        return False


@dataclass
class World:
    """All that runs."""

    folder: Path
    cluster: LocalCluster
    engines: Sequence[Engine]
    canary: Engine
    routers: Sequence[Router]
    pods: list[Pod]
    redis: Sequence[Redis]
    proxies: Sequence[lab.Proxy]
    services: Sequence[Service]
    configuration: Mapping[str, Any]

    @property
    def port(self) -> int:
        """Where clients ask."""
        return self.services[0].port

    def notice(self, service: str, namespace: str, number: int, port: int, *, ready: bool) -> None:
        """What the kubelet says of a pod reaches the endpoints of its Service."""
        self.cluster.apply([lab.endpoint(service, namespace, number, port, ready=ready)])

    def weigh(self, canary: int) -> None:
        """Give the canary so many percent, and wait until that holds."""
        self.cluster.apply(lab.model_routes(canary))
        wait_until(lambda: lab.shares(self.proxies[0], 20)[lab.CANARY] == canary // 5, "the weights")


STABLE_SERVICE = f"tiny-{lab.STABLE.replace('.', '-')}"


@contextlib.contextmanager
def world(folder: Path, timeouts: Mapping[str, float]) -> Iterator[World]:
    """Everything, started and answering."""
    with contextlib.ExitStack() as stack:
        redis = []
        for name in ("limits", "cache"):
            (folder / name).mkdir()
            redis.append(Redis(folder / name, free_port()))
            redis[-1].start()
            stack.callback(redis[-1].kill)
        cluster = LocalCluster(folder / "c")
        stack.callback(cluster.delete)
        cluster.create()
        cluster.install_crds("gateway-api")
        for name in (lab.NAMESPACE, lab.TEAM):
            cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
        *engines, canary = [Engine() for _ in range(3)]
        for engine in (*engines, canary):
            stack.callback(engine.end)
        spec, stable = RouterSpec(breaker_seconds=2), [each.url for each in engines]
        routers = []
        members = (stable, "127.0.0.1"), (stable, "127.0.0.2"), ([canary.url], "127.0.0.1")
        for number, (urls, host) in enumerate(members):
            running = routing(
                spec, RoutingPolicy.ROUND_ROBIN, *told(urls), host=host, log=folder / f"router-{number}.log"
            )
            routers.append(stack.enter_context(running))
        for router in routers:
            wait_until(lambda router=router: router.status("/readiness") == 200, "the router", 120)
        proxies, services, pods, configuration = _gateway(stack, folder, cluster, redis, routers, timeouts)
        wait_until(lambda: ask(services[0].port, "first", stream=False) == "answered", "the whole path", 120)
        yield World(folder, cluster, engines, canary, routers, pods, redis, proxies, services, configuration)


def _gateway(
    stack: contextlib.ExitStack,
    folder: Path,
    cluster: LocalCluster,
    redis: Sequence[Redis],
    routers: Sequence[Router],
    timeouts: Mapping[str, float],
) -> tuple[Sequence[lab.Proxy], Sequence[Service], list[Pod], Mapping[str, Any]]:
    """The proxies, the Services of both of their listeners, and the pods behind them."""
    first = lab.Proxy(cluster, folder / "proxy-1", lab.NAMESPACE, team_namespaces={lab.TEAM: lab.TEAM})
    second = first.beside(folder / "proxy-2", "127.0.0.2")
    edge, models = (
        stack.enter_context(Service([(each.address, each.ports[name]) for each in (first, second)]).running())
        for name in ("edge", "models")
    )
    base = f"http://127.0.0.1:{models.port}/tiny"
    endpoints = {
        name: {"host": "127.0.0.1", "port": each.port} for name, each in zip(("limits", "cache"), redis, strict=True)
    }
    configuration = {
        "version": 1,
        "models": [
            {
                "name": MODEL,
                "contextTokens": 8192,
                "weightedUrl": f"{base}/v1",
                "stableUrl": f"{base}/stable/v1",
                "timeouts": timeouts,
            }
        ],
        "redis": {**endpoints, "timeoutSeconds": 0.2},
        "cache": {"ttlSeconds": 3600},
        "replicas": 2,
    }
    pods = [start(folder / f"gateway-{number}", configuration, [_KEY], host=f"127.0.0.{number}") for number in (1, 2)]
    for pod in pods:
        stack.callback(stop, pod)
    for version, members in ((lab.STABLE, routers[:2]), (lab.PREVIOUS, routers[:1]), (lab.CANARY, routers[2:])):
        name = f"tiny-{version.replace('.', '-')}"
        cluster.apply([lab.service(name, lab.TEAM, 8000, 0)[0]])
        cluster.apply([lab.endpoint(name, lab.TEAM, number, each.port) for number, each in enumerate(members)])
    cluster.apply([lab.service("litellm", lab.NAMESPACE, 4000, 0)[0]])
    cluster.apply([lab.endpoint("litellm", lab.NAMESPACE, number, pod.port) for number, pod in enumerate(pods)])
    first.apply()
    cluster.apply(lab.model_routes(0))
    for proxy in (first, second):
        proxy.folder.mkdir()
        stack.enter_context(proxy.running())
        wait_until(lambda proxy=proxy: proxy.answers("/ping") == 200, "the proxy", 120)
    for pod in pods:
        wait_ready(pod)
    return (first, second), (edge, models), pods, configuration


_KEY = key(KEY, requestsPerMinute=10**9, tokensPerMinute=10**12, parallelRequests=1000)


@dataclass(frozen=True)
class Fault:
    """Something that fails: how it begins, and how it is undone. ``undo`` may be called while it lasts."""

    name: str
    begin: Callable[[World], None]
    undo: Callable[[World], None]


def _freeze(process: Callable[[World], subprocess.Popen[bytes]]) -> tuple[Callable[[World], None], ...]:
    return tuple(
        lambda world, sent=sent: os.kill(process(world).pid, sent) for sent in (signal.SIGSTOP, signal.SIGCONT)
    )


def _each_redis(*words: str) -> Callable[[World], None]:
    def tell(world: World) -> None:
        for redis in world.redis:
            redis.command(*words)

    return tell


def _kill_redis(world: World) -> None:
    for redis in world.redis:
        redis.kill()


def _start_redis(world: World) -> None:
    for redis in world.redis:
        redis.start()


def _signal_redis(sent: signal.Signals) -> Callable[[World], None]:
    def tell(world: World) -> None:
        for redis in world.redis:
            if redis.process is not None:
                redis.process.send_signal(sent)

    return tell


def _kill_pod(world: World) -> None:
    stop(world.pods[1])
    time.sleep(NOTICE_SECONDS)
    world.notice("litellm", lab.NAMESPACE, 1, world.pods[1].port, ready=False)


def _start_pod(world: World) -> None:
    folder = world.folder / f"gateway-{time.monotonic()}"
    world.pods[1] = start(folder, world.configuration, [_KEY], host="127.0.0.2")
    wait_ready(world.pods[1])
    world.notice("litellm", lab.NAMESPACE, 1, world.pods[1].port, ready=True)


def _kill_proxy(world: World) -> None:
    world.proxies[1].end()
    time.sleep(NOTICE_SECONDS)
    for service in world.services:
        service.leave_out(1)


def _start_proxy(world: World) -> None:
    world.proxies[1].start()
    # What its readiness probe asks.
    wait_until(lambda: world.proxies[1].answers("/ping") == 200, "the proxy")
    for service in world.services:
        service.take_in(1)


def _kill_router(world: World) -> None:
    os.kill(world.routers[1].process.pid, signal.SIGKILL)
    world.routers[1].process.wait(GUARD_SECONDS)
    time.sleep(NOTICE_SECONDS)
    world.notice(STABLE_SERVICE, lab.TEAM, 1, world.routers[1].port, ready=False)


def _fail_canary(world: World) -> None:
    world.canary.fail()
    world.weigh(20)


def _mend_canary(world: World) -> None:
    world.weigh(0)
    world.canary.restart()


def _slow_clients(world: World) -> None:
    """Twenty that send half of a request and wait, and twenty that do not read their streams."""
    body = json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": "slow"}], "max_tokens": 400, "stream": True}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-llm-{KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for number in range(40):
        connection = socket.create_connection(("127.0.0.1", world.port))
        connection.sendall(head + (body if number % 2 else body[:20]))
        _SLOW.append(connection)


_SLOW: list[socket.socket] = []


def _leave(_: World) -> None:
    while _SLOW:
        _SLOW.pop().close()


FAULTS = (
    Fault("one of two engines killed", lambda world: world.engines[0].end(), lambda world: world.engines[0].start()),
    Fault("one of two engines frozen", *_freeze(lambda world: world.engines[0].process)),
    Fault(
        "one of two engines answers 500",
        lambda world: world.engines[0].fail(),
        lambda world: world.engines[0].restart(),
    ),
    Fault("canary at 20 % fails every request", _fail_canary, _mend_canary),
    Fault("both Redis killed", _kill_redis, _start_redis),
    Fault("both Redis frozen", _signal_redis(signal.SIGSTOP), _signal_redis(signal.SIGCONT)),
    Fault("both Redis flushed", _each_redis("FLUSHALL"), lambda world: None),
    Fault(
        "both Redis full",
        _each_redis("CONFIG SET maxmemory 1"),
        _each_redis("CONFIG SET maxmemory 0"),
    ),
    Fault("one of two gateways killed", _kill_pod, _start_pod),
    Fault("one of two proxies killed", _kill_proxy, _start_proxy),
    Fault("forty slow clients", _slow_clients, _leave),
    # Last: it is not started again.
    Fault("one of two routers killed", _kill_router, lambda world: None),
)
QUICK_FAULTS = ("one of two engines killed", "canary at 20 % fails every request", "both Redis frozen")


@dataclass(frozen=True)
class Seen:
    """What clients saw of a fault.

    Attributes:
        lost: requests that got no first byte of an answer.
        ended: streams that ended with an error, and ``cut``, those that ended without a word.
        recovery: seconds from the fault to the end of the last request that was not answered; 0 where all were.
        slowest: request, in seconds.
    """

    requests: int
    errors: Mapping[str, int]
    lost: int
    ended: int
    cut: int
    recovery: float
    slowest: float


def observe(world: World, fault: Fault, plan: Plan) -> Seen:
    """Let it fail under load."""
    load = Load(world.port)
    with load.running():
        time.sleep(plan.around)
        begin = time.monotonic()
        fault.begin(world)
        time.sleep(max(0, begin + plan.fault - time.monotonic()))
        fault.undo(world)
        time.sleep(plan.around)
    errors = Counter(each.outcome for each in load.requests if not each.is_well)
    ends = [each.ended - begin for each in load.requests if not each.is_well]
    ended, cut = errors["stream ended with an error"], errors["stream cut"]
    return Seen(
        len(load.requests),
        errors,
        sum(errors.values()) - ended - cut,
        ended,
        cut,
        max(ends, default=0),
        max(each.seconds for each in load.requests),
    )


def measure(*, quick: bool) -> Mapping[str, Seen]:
    """What clients saw, by the name of the fault."""
    plan = QUICK if quick else Plan()
    with (
        tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name,
        world(Path(name), plan.timeouts) as everything,
    ):
        return {
            fault.name: observe(everything, fault, plan) for fault in FAULTS if not quick or fault.name in QUICK_FAULTS
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Let one part after the other fail, and print what clients saw."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three faults, short: shows that it works")
    Console(width=120).print(table(measure(quick=parser.parse_args(arguments).quick)))
    return 0


def table(seen: Mapping[str, Seen]) -> Table:
    """The figures for people."""
    made = Table(title=f"{CLIENTS} clients, whole answers and streams in turn", title_justify="left")
    for column in (
        "Fault",
        "Requests",
        "Lost",
        "Streams ended by an error",
        "Cut",
        "Errors seen",
        "Recovery",
        "Slowest",
    ):
        made.add_column(column)
    for name, each in seen.items():
        errors = ", ".join(f"{count} x {what}" for what, count in sorted(each.errors.items())) or "none"
        times = f"{each.recovery:.1f} s", f"{each.slowest:.1f} s"
        made.add_row(name, str(each.requests), str(each.lost), str(each.ended), str(each.cut), errors, *times)
    return made


if __name__ == "__main__":
    sys.exit(main())
