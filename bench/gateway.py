"""``python -m bench.gateway``: what the gateway adds to a request, against LiteLLM with its defaults and against none.

All stay up and are asked in turn, by the same clients, for the same back end, which answers at once: the gateway with
keys, limits, a cache and request checks; the same with guardrails; the same asked what it has kept; LiteLLM as it
comes, with nothing but the model and a key; and the back end itself. Prints ratios in one run; judges nothing.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from local.state_folder import REPOSITORY
from tests.images.gateway.environment import GATEWAY
from tests.images.gateway.pods import Redis, free_port, key, start, stop, wait_ready, wait_until

CLIENTS = 4
MODEL = "tiny"
PATH = "/v1/chat/completions"
PROMPT = "The quick brown fox jumps over the lazy dog. " * 32  # 1,440 characters
KEPT = "What is kept"
MASTER_KEY = "sk-bench"
FROZEN_REQUESTS = 20

_numbers = itertools.count()


@dataclass(frozen=True)
class Plan:
    """Rounds after the first, which warms up, and requests of each round to each."""

    rounds: int = 5
    requests: int = 200


QUICK = Plan(rounds=1, requests=8)


@dataclass(frozen=True)
class Asked:
    """Who is asked: a port with the key that it takes, the process that answers, and what is asked."""

    port: int
    bearer: str
    process: subprocess.Popen[bytes]
    prompt: Callable[[], str]


@dataclass(frozen=True)
class Sample:
    """One round: percentiles of the seconds that a request took, requests a second, CPU seconds a request."""

    p50: float
    p95: float
    p99: float
    rate: float
    processor: float


def fresh() -> str:
    """A prompt that nobody asked before."""
    return f"{next(_numbers)} {PROMPT}"


def ask(connection: http.client.HTTPConnection, bearer: str, prompt: str) -> float:
    """Seconds that one answer took."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
    begin = time.monotonic()
    connection.request("POST", PATH, json.dumps(body), headers)
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        raise SystemExit(f"error: {response.status}: {text[:500]!r}")
    return time.monotonic() - begin


def sample(asked: Asked, requests: int) -> Sample:
    """Ask with several clients at once."""
    seconds: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=120)
        with contextlib.closing(connection):
            seconds.extend([ask(connection, asked.bearer, asked.prompt()) for _ in range(requests // CLIENTS)])

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    processor, begin = cpu_seconds(asked.process), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, processor = time.monotonic() - begin, cpu_seconds(asked.process) - processor
    if len(seconds) != requests // CLIENTS * CLIENTS:
        raise SystemExit("error: a request was not answered")
    cuts = quantiles(seconds, n=100, method="inclusive")
    return Sample(cuts[49], cuts[94], cuts[98], len(seconds) / wall, processor / len(seconds))


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """CPU time of a process until now."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    """Memory that a process has."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@contextlib.contextmanager
def served(folder: Path, application: str, environment: Mapping[str, str]) -> Iterator[tuple[int, Any]]:
    """An ASGI application in the gateway's Python: its port and process."""
    port = free_port()
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [GATEWAY.interpreter(), "-m", "uvicorn", application, f"--port={port}", "--no-access-log"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        yield port, process
    finally:
        process.kill()
        process.wait()


def answers(port: int, path: str) -> bool:
    """Whether something answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False


def configuration(back_end: int, cache: Redis, guardrails: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Of our gateway."""
    url = f"http://127.0.0.1:{back_end}/v1"
    redis = {"host": "127.0.0.1", "port": cache.port}
    return {
        "version": 1,
        "models": [{"name": MODEL, "contextTokens": 32_768, "weightedUrl": url, "stableUrl": url}],
        "redis": {"limits": redis, "cache": redis, "timeoutSeconds": 0.2},
        "cache": {"ttlSeconds": 3600},
        "guardrails": guardrails,
    }


def defaults(back_end: int) -> Mapping[str, Any]:
    """Of LiteLLM."""
    parameters = {"model": f"hosted_vllm/{MODEL}", "api_base": f"http://127.0.0.1:{back_end}/v1"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": MASTER_KEY},
    }


@contextlib.contextmanager
def everything(folder: Path, *, with_guardrails: bool) -> Iterator[tuple[Mapping[str, Asked], Redis]]:
    """All that are asked, by name, and the Redis of ours."""
    with contextlib.ExitStack() as stack:
        redis = Redis(folder, free_port())
        redis.start()
        stack.callback(redis.kill)
        back_end, engine = stack.enter_context(served(folder, "bench.answering:application", {}))
        plain = folder / "litellm.yaml"
        plain.write_text(json.dumps(defaults(back_end)))  # JSON is YAML
        variables = {"CONFIG_FILE_PATH": str(plain), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        default, litellm = stack.enter_context(served(folder, "litellm.proxy.proxy_server:app", variables))
        keys = (key("bench", requestsPerMinute=10**9, tokensPerMinute=10**12, parallelRequests=1000),)
        kinds = ["email", "phone", "credit-card", "iban", "us-ssn", "ip-address", "api-key", "private-key"]
        guardrails: dict[str, Mapping[str, Any] | None] = {"gateway": None}
        if with_guardrails:
            guardrails["gateway with guardrails"] = {"input": kinds, "output": kinds, "action": "mask"}
        pods = {
            name: start(folder / name.replace(" ", "-"), configuration(back_end, redis, rails), keys)
            for name, rails in guardrails.items()
        }
        for pod in pods.values():
            stack.callback(stop, pod)
        wait_until(lambda: answers(default, "/health/liveliness"), "LiteLLM", 600)
        for pod in pods.values():
            wait_ready(pod)
        asked = {
            "direct": Asked(back_end, "none", engine, fresh),
            "LiteLLM": Asked(default, MASTER_KEY, litellm, fresh),
            **{name: Asked(_port(pod.url), "sk-llm-bench", pod.process, fresh) for name, pod in pods.items()},
        }
        asked["gateway, kept"] = Asked(asked["gateway"].port, "sk-llm-bench", pods["gateway"].process, lambda: KEPT)
        yield asked, redis


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def slowest_while_frozen(asked: Asked, redis: Redis) -> float:
    """Seconds of the slowest of some requests that begin when Redis stops answering."""
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=120)
    with contextlib.closing(connection), redis.frozen():
        return max(ask(connection, asked.bearer, fresh()) for _ in range(FROZEN_REQUESTS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, no figures")
    quick: bool = parser.parse_args(arguments).quick
    plan = QUICK if quick else Plan()
    console = Console(width=120)
    samples: dict[str, list[Sample]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name,
        everything(Path(name), with_guardrails=not quick) as (all_asked, redis),
    ):
        for number in range(plan.rounds + 1):
            # In another order each time: what runs first finds another machine than what runs last.
            order = sorted(all_asked, key=lambda name: (list(all_asked).index(name) + number) % len(all_asked))
            measured = {name: sample(all_asked[name], plan.requests) for name in order}
            if number:  # the first one warms up
                for each, value in measured.items():
                    samples.setdefault(each, []).append(value)
                console.print(f"round {number} of {plan.rounds}")
        frozen = slowest_while_frozen(all_asked["gateway"], redis)
        memory = {name: resident_mib(asked.process) for name, asked in all_asked.items()}
    console.print(_table(samples, memory))
    usual = median(each.p50 for each in samples["gateway"])
    console.print(
        f"Slowest of {FROZEN_REQUESTS} requests once Redis stops answering: {frozen - usual:.2f} s more (aim <= 0.3)"
    )
    return 0


def _table(samples: Mapping[str, Sequence[Sample]], memory: Mapping[str, float]) -> Table:
    title = f"Requests of {CLIENTS} clients to a back end that answers at once; added: above the back end itself"
    table = Table(title=title, title_justify="left")
    for column in (
        "",
        "p50",
        "p95",
        "p99",
        "added p99 / LiteLLM's",
        "requests/s",
        "/ LiteLLM's",
        "CPU a request",
        "MiB",
    ):
        table.add_column(column)
    direct, plain = samples["direct"], samples["LiteLLM"]
    for name, rounds in samples.items():
        added = [
            (one.p99 - base.p99) / max(theirs.p99 - base.p99, 1e-6)
            for one, base, theirs in zip(rounds, direct, plain, strict=True)
        ]
        rates = [one.rate / theirs.rate for one, theirs in zip(rounds, plain, strict=True)]
        table.add_row(
            name,
            *(f"{median(getattr(one, cut) for one in rounds) * 1000:.1f} ms" for cut in ("p50", "p95", "p99")),
            f"{median(added):.2f} ({min(added):.2f}-{max(added):.2f})",
            f"{median(one.rate for one in rounds):.0f}",
            f"{median(rates):.2f} ({min(rates):.2f}-{max(rates):.2f})",
            f"{median(one.processor for one in rounds) * 1000:.1f} ms",
            f"{memory[name]:.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
