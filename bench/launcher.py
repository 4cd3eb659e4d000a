"""``python -m bench.launcher``: from the start of a pod's command to ready, against ``vllm serve`` alone.

Both run the engine's image as it lies in the store of ``python -m local images build vllm``, as root on this machine,
with the tiny model of stack ``local``, one at a time and in turn, each with an empty ``/tmp``. Ours is ready when
``/health/ready`` answers 200, the bare engine when it lists its model. A second table compares a start that compiles
with one from a saved compile cache. On a CPU torch.compile needs a C++ compiler, which the image has not: for the
second table the bench unpacks the distribution's, from where this machine's apt finds it, into its own copy of the
image's files.
"""

import argparse
import contextlib
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from rich.console import Console
from rich.table import Table

from llm_serving.launchers import COMMAND, current
from local.images import LocalImages
from local.images.builders.buildah import NAMESPACES
from local.images.cache import ImageCache
from local.images.recipes import RECIPES
from local.model import VARIANTS, make

PORT, HEALTH_PORT = 18100, 18180
START_SECONDS = 900
LOOK_SECONDS = 0.05
COMPILER = "g++ python3-dev"
"""Packages of the distribution that torch.compile needs on a CPU."""
NAME = "tiny"
CACHE = "/saved"
"""Folder of the saved compile cache; the launcher's zip lies there too."""
ENVIRONMENT = {
    "PATH": "/opt/venv/bin:/usr/bin:/bin",
    "LD_PRELOAD": RECIPES["vllm"].arguments["PRELOAD"],
    "HOME": "/tmp",
    "USER": "vllm",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
    "PYTHONPATH": f"{CACHE}/{current().file_name}",
}

SCRIPT = """
set -eu
buildah="buildah --root=$STORE --runroot=$COUNTS --storage-driver=overlay"
container=$($buildah from --pull-never "$IMAGE")
root=$($buildah mount "$container")
clean() {
    umount --recursive "$root/dev" "$root/proc" "$root/sys" "$root/weights" "$root$CACHE" || true
    umount "$root/tmp" 2>/dev/null || true
    $buildah rm "$container" >/dev/null
}
trap clean EXIT
mkdir -p "$root/weights" "$root$CACHE"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --bind "$WEIGHTS" "$root/weights"
mount --bind "$SAVED" "$root$CACHE"
# The base image is this machine's distribution, whose apt knows what is missing by the image's list of packages.
add_compiler() {
    if chroot "$root" sh -c 'command -v g++' >/dev/null; then return 0; fi
    cmp -s /etc/os-release "$root/etc/os-release" || { echo "the image is of another distribution"; return 1; }
    mkdir -p "$PACKAGES/partial"
    apt-get -qq -y -o "Dir::State::status=$root/var/lib/dpkg/status" -o "Dir::Cache::archives=$PACKAGES" \
        --no-install-recommends --download-only install $COMPILER && dpkg --root="$root" --unpack "$PACKAGES"/*.deb
}
echo mounted
while read -r order; do
    if [ "$order" = compiler ]; then
        if add_compiler >>"$LOG" 2>&1; then echo added; else echo missing; fi
        continue
    fi
    mount -t tmpfs tmpfs "$root/tmp"
    # The order is the command line, quoted by whom it comes from.
    eval "set -- $order"
    chroot "$root" /usr/bin/env -i $ENVIRONMENT "$@" >>"$LOG" 2>&1 &
    engine=$!
    echo started
    read -r order || true
    # Stopped by its order, or because there are no more.
    if [ "$order" != wait ]; then kill -TERM "$engine" || true; fi
    status=0
    wait "$engine" || status=$?
    umount --lazy "$root/tmp"  # the engine may have left a process that is just ending
    echo "$status"
done
"""


@dataclass
class Root:
    """The image's root, in which one command at a time can be started."""

    orders: IO[str]
    answers: IO[str]
    log: Path

    def add_compiler(self) -> bool:
        """Add what compiles to the files of the image; whether that was possible."""
        print("compiler", file=self.orders, flush=True)
        return self.answers.readline().strip() == "added"

    def start(self, command: Sequence[str]) -> float:
        """Start a command; the clock at that moment."""
        print(shlex.join(command), file=self.orders, flush=True)
        begin = time.monotonic()
        if self.answers.readline().strip() != "started":
            raise SystemExit(f"the engine was not started:\n{self.tail()}")
        return begin

    def end(self, order: str) -> int:
        """``stop`` it, or ``wait`` for its end; its exit status."""
        print(order, file=self.orders, flush=True)
        return int(self.answers.readline())

    def tail(self) -> str:
        """The end of what engines said."""
        return self.log.read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def mounted(image: str, weights: Path, folder: Path) -> Iterator[Root]:
    """The image's files, mounted in namespaces that end with this."""
    log, saved = folder / "engines.log", folder / "saved"
    saved.mkdir()
    (saved / current().file_name).write_bytes(current().archive)
    variables = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "STORE": str(ImageCache.of().store),
        "COUNTS": str(folder / "counts"),
        "IMAGE": image,
        "WEIGHTS": str(weights),
        "SAVED": str(saved),
        "CACHE": CACHE,
        "LOG": str(log),
        "PACKAGES": str(folder / "packages"),
        "COMPILER": COMPILER,
        "ENVIRONMENT": " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items()),
    }
    log.touch()
    process = subprocess.Popen(
        [*NAMESPACES, "sh", "-c", SCRIPT], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        root = Root(process.stdin, process.stdout, log)
        if not process.stdout.readline():
            raise SystemExit("error: the image cannot be mounted (this needs root and buildah)")
        yield root
    finally:
        process.stdin.close()  # ends the script's loop, which cleans up
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bare(*more: str) -> list[str]:
    """The engine's own command line."""
    command = ["vllm", "serve", "/weights", f"--served-model-name={NAME}", "--host=127.0.0.1", f"--port={PORT}"]
    return [*command, "--max-model-len=2048", "--shutdown-timeout=5", *more]


def launched(*options: str, engine: Sequence[str]) -> list[str]:
    """The same under the launcher, as a pod starts it."""
    health = [f"--health-port={HEALTH_PORT}", "--health-host=127.0.0.1"]
    return [*COMMAND, *health, *options, "--", *engine]


def seconds_to_ready(root: Root, command: Sequence[str], address: str) -> float:
    """Start, wait until the address answers, stop; an engine that does not get ready is stopped too."""
    begin = root.start(command)
    while not _answers(address):
        if time.monotonic() - begin > START_SECONDS:
            root.end("stop")
            raise SystemExit(f"the engine is not ready after {START_SECONDS} s:\n{root.tail()}")
        time.sleep(LOOK_SECONDS)
    taken = time.monotonic() - begin
    root.end("stop")
    return taken


def seconds_to_end(root: Root, command: Sequence[str]) -> float:
    """Start a command that ends by itself once it is ready."""
    begin = root.start(command)
    status = root.end("wait")
    if status != 0:
        raise SystemExit(f"the start failed with status {status}:\n{root.tail()}")
    return time.monotonic() - begin


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def table(title: str, first: str, second: str, pairs: Sequence[tuple[float, float]], aim: str) -> Table:
    """Medians and ratios of pairs that were taken in turn."""
    ratio_table = Table(title=title, title_justify="left")
    for column in (f"{first} (median)", f"{second} (median)", "ratio (median)", "ratio (min-max)", "aim"):
        ratio_table.add_column(column)
    ratios = [a / b for a, b in pairs]
    ratio_table.add_row(
        f"{median(a for a, _ in pairs):.1f} s",
        f"{median(b for _, b in pairs):.1f} s",
        f"{median(ratios):.2f}",
        f"{min(ratios):.2f}-{max(ratios):.2f}",
        aim,
    )
    return ratio_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.launcher", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of starts (default 3)")
    parser.add_argument("--quick", action="store_true", help="one pair, no compiling: shows that it works")
    options = parser.parse_args(arguments)
    rounds: int = 1 if options.quick else options.rounds
    console = Console(width=120)
    images = LocalImages()
    image = images.build("vllm")
    engine = bare("--enforce-eager")
    listed, ready = f"http://127.0.0.1:{PORT}/v1/models", f"http://127.0.0.1:{HEALTH_PORT}/health/ready"
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name:
        folder = Path(name)
        weights = make(folder / "models", VARIANTS[0].seed).folder
        with mounted(image.reference, weights, folder) as root:
            if not options.quick:
                seconds_to_ready(root, engine, listed)  # brings the image's files into memory
            pairs: list[tuple[float, float]] = []
            for number in range(rounds):
                alone = seconds_to_ready(root, engine, listed)
                pairs.append((seconds_to_ready(root, launched(engine=engine), ready), alone))
                console.print(
                    f"round {number + 1} of {rounds}: launched {pairs[-1][0]:.1f} s, bare {pairs[-1][1]:.1f} s"
                )
            console.print(table("Start to ready", "our command", "vllm serve", pairs, "<= 1.05"))
            if options.quick:
                return 0
            if not root.add_compiler():
                console.print("A saved compile cache is left out, for want of a C++ compiler, which a CPU needs:")
                console.print(root.tail(), highlight=False)
                return 0
            job = launched("--exit-when-ready", f"--save-compile-cache={CACHE}", engine=bare())
            serving = launched("--exit-when-ready", f"--compile-cache={CACHE}", engine=bare())
            saved: list[tuple[float, float]] = []
            for number in range(rounds):
                cold = seconds_to_end(root, job)
                saved.append((seconds_to_end(root, serving), cold))
                console.print(f"round {number + 1} of {rounds}: saved {saved[-1][0]:.1f} s, cold {saved[-1][1]:.1f} s")
            console.print(table("Start to ready and end, compiled", "from a saved cache", "cold", saved, "< 1"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
