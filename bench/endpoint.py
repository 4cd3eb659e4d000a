"""``python -m bench.endpoint``: what Kubernetes, Service and launcher cost a request, against the same engine alone.

Needs the running endpoint of stack ``local`` without a gateway, whose cost ``bench.gateway`` measures. The bare engine
runs the same image's files and the same command line on this machine, without container, probes and Service. Both stay
up, and are asked in turn.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from llm_serving.serving.labels import COMPONENT_GATEWAY, LABEL_COMPONENT
from local.endpoint.serving_clusters import OwnNode
from local.images.builders.buildah import NAMESPACES
from local.images.cache import ImageCache
from local.model import VARIANTS, make
from local.state_folder import StateFolder

ROUNDS = 7
CLIENTS = 4
TOKENS = 128
PORT = 18000
START_SECONDS = 300
ENGINE_PATH = "/opt/venv/bin:/usr/bin:/bin"

SCRIPT = """
set -eu
container=$(buildah --root="$STORE" --runroot="$COUNTS" --storage-driver=overlay from --pull-never "$IMAGE")
root=$(buildah --root="$STORE" --runroot="$COUNTS" --storage-driver=overlay mount "$container")
clean() {
    umount --recursive "$root/dev" "$root/proc" "$root/sys" "$root/tmp" || true
    buildah --root="$STORE" --runroot="$COUNTS" --storage-driver=overlay rm "$container" >/dev/null
}
trap clean EXIT
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/tmp/weights"
mount --bind "$WEIGHTS" "$root/tmp/weights"
chroot "$root" "$@" &
engine=$!
trap 'kill "$engine"' TERM
# A signal ends the first wait, and the engine the second.
wait "$engine" || true
wait "$engine" || true
"""


@dataclass(frozen=True)
class Sample:
    """One round.

    Attributes:
        first: median time to the first token, in seconds.
        rate: tokens a second of all clients.
    """

    first: float
    rate: float

    def __str__(self) -> str:
        return f"{self.first * 1000:.0f} ms, {self.rate:.0f} tokens/s"


def ask(base: str, model: str) -> tuple[float, int]:
    """One streamed answer: seconds to the first token, tokens."""
    body = {
        "model": model,
        "prompt": "Say something.",
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(
        f"{base}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    start = time.monotonic()
    first, tokens = 0.0, 0
    with urllib.request.urlopen(request, timeout=120) as answer:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            first = first or time.monotonic() - start
            usage = json.loads(line[6:]).get("usage")
            tokens = usage["completion_tokens"] if usage else tokens
    return first, tokens


def sample(base: str, model: str) -> Sample:
    """First tokens one at a time, then tokens a second with several clients."""
    firsts = [ask(base, model)[0] for _ in range(5)]
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(ask(base, model)[1])) for _ in range(CLIENTS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(median(firsts), sum(counts) / (time.monotonic() - start))


@contextmanager
def bare(image: str, weights: Path, command: list[str], environment: dict[str, str], counts: Path) -> Iterator[str]:
    """The engine on this machine, without anything around it."""
    inside = ["/usr/bin/env", *(f"{key}={value}" for key, value in environment.items()), *command]
    log = counts / "engine.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*NAMESPACES, "sh", "-c", SCRIPT, "bare", *inside],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "STORE": str(ImageCache.of().store),
                "COUNTS": str(counts / "counts"),
                "IMAGE": image,
                "WEIGHTS": str(weights),
            },
            stdout=output,
            stderr=output,
        )
    base = f"http://127.0.0.1:{PORT}"
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(base):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the bare engine does not answer:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(1)
        yield base
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """``unshare`` passes no signal on, so its child gets it, which ends the engine and removes the container."""
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()), signal.SIGTERM)
        process.wait(60)
    process.kill()
    process.wait()


def _answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


WITHOUT_GATEWAY = "leave llm-serving:gateway out of Pulumi.local.yaml, then make up"


def is_behind_gateway(node: OwnNode) -> bool:
    """Whether the stack has a gateway, which is then the only way to its engines."""
    return bool(node.client().list("v1", "Service", labels=f"{LABEL_COMPONENT}={COMPONENT_GATEWAY}"))


def running_engine(node: OwnNode) -> tuple[str, str, list[str], dict[str, str], str]:
    """Base address, image, command line, variables and release of the engine that serves.

    Raises:
        SystemExit: there is none, or it answers its gateway alone.
    """
    if not node.cluster.running():
        raise SystemExit("error: there is no endpoint to measure (try: make up)")
    if is_behind_gateway(node):
        raise SystemExit(f"error: an engine behind a gateway answers nobody else (try: {WITHOUT_GATEWAY})")
    client = node.client()
    (service,) = client.list("v1", "Service", labels="app.kubernetes.io/component=engine")
    pods = client.list("v1", "Pod", labels="app.kubernetes.io/component=engine")
    (pod,) = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    (container,) = pod["spec"]["containers"]
    command: list[str] = container["command"]
    engine = command[command.index("--") + 1 :]
    variables = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    base = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
    return base, container["image"], engine, variables, pod["metadata"]["labels"]["llm-serving.dev/release"]


def bare_command(command: Sequence[str], weights: str, port: int) -> list[str]:
    """The engine's command line of a pod, for another folder of weights and another port."""
    kept = [part for part in command if not part.startswith(("/models/", "--port="))]
    return [*kept[:2], weights, f"--port={port}", *kept[2:]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round: shows that it works, no figures")
    rounds = 1 if parser.parse_args(arguments).quick else ROUNDS
    console = Console(width=120)
    state = StateFolder.of()
    base, image, command, variables, release = running_engine(OwnNode(state))
    variant = next(variant for variant in VARIANTS if variant.release == release)
    weights = make(state.root / "models", variant.seed).folder
    (model,) = [part.split("=", 1)[1] for part in command if part.startswith("--served-model-name=")]
    pairs: list[tuple[Sample, Sample]] = []
    variables |= {"PATH": ENGINE_PATH}
    with (
        tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as folder,
        bare(image, weights, bare_command(command, "/tmp/weights", PORT), variables, Path(folder)) as bare_base,
    ):
        for address in (base, bare_base):
            sample(address, model)  # warms up
        for number in range(rounds):
            pairs.append((sample(base, model), sample(bare_base, model)))
            console.print(f"round {number + 1} of {rounds}: {pairs[-1][0]}, bare {pairs[-1][1]}")
    table = Table(title="Through the Service against the same engine started bare", title_justify="left")
    for column in ("figure", "through the Service", "bare", "ratio (median)", "ratio (min-max)", "aim"):
        table.add_column(column)
    for title, figure, aim in (("first token", "first", "<= 1.1"), ("tokens a second", "rate", ">= 0.9")):
        service, alone = ([getattr(pair[index], figure) for pair in pairs] for index in (0, 1))
        ratios = [a / b for a, b in zip(service, alone, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        table.add_row(title, f"{median(service):.3f}", f"{median(alone):.3f}", f"{median(ratios):.2f}", spread, aim)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
