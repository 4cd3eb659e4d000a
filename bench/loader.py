"""``python -m bench.loader``: loading a model from a folder into a folder, against a plain parallel copy of its files.

Prints ratios of the throughputs, taken in turn in one run; judges nothing. The plain copy computes the hash that the
loader does (SHA-256 of every byte, in the pass that copies) and checks nothing else: one read, hash and write after the
other, as many files at once as the loader has workers, and fsync at the end of each, which the loader promises too. A
copy that hashes nothing (``shutil.copyfile``, in the kernel) is shown beside it: what it is faster by is the hash's.
All read from memory: the sources have just been written.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from local.state_folder import REPOSITORY

# The loader is a package of its image, and not installed here.
sys.path.insert(0, str(REPOSITORY / "images" / "model-loader" / "src"))

from llm_serving_load.loading import Loader, Model
from llm_serving_load.sources.folder import FolderSource
from llm_serving_load.targets import FolderTarget

WORKERS = 8
BLOCK = 1024 * 1024
"""Bytes that the plain copy reads, hashes and writes at once."""
SHARDS = 4
NAME, REVISION = "bench/model", "0" * 40


@dataclass(frozen=True)
class Plan:
    """What is measured: rounds after the first, which warms up, and bytes of each of the model's large files.

    Files are large enough that what is asked once a model (claim, manifest, folders) does not count.
    """

    rounds: int = 7
    shard_bytes: int = 256_000_000


QUICK = Plan(rounds=1, shard_bytes=1_000_000)


@dataclass(frozen=True)
class Sample:
    """Seconds of wall time, and of all processors together."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.processor:.2f} s of processor)"


@dataclass(frozen=True)
class Round:
    """One round: the loader, and the plain copy with and without hashes."""

    loader: Sample
    hashing: Sample
    plain: Sample


def make(folder: Path, shard_bytes: int) -> Path:
    """A model of random bytes, in a source's layout; the source."""
    model = folder / "source" / NAME / REVISION
    model.mkdir(parents=True)
    mapping = {f"t{number}": f"model-{number:05}-of-{SHARDS:05}.safetensors" for number in range(SHARDS)}
    for tensor, name in mapping.items():
        header = json.dumps(
            {tensor: {"dtype": "U8", "shape": [shard_bytes], "data_offsets": [0, shard_bytes]}}
        ).encode()
        with open(model / name, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _ in range(shard_bytes // 1_000_000):
                file.write(os.urandom(1_000_000))
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    for name in ("config.json", "tokenizer.json"):
        (model / name).write_text("{}")
    return folder / "source"


def load(source: Path, target: Path) -> None:
    model = Model(f"file://{source}", NAME, REVISION)
    loader = Loader(model, FolderTarget(target), lambda text: None, threading.Event(), WORKERS)
    loader.load(lambda: FolderSource(source / NAME / REVISION))


def copy(source: Path, target: Path, *, hashing: bool) -> None:
    """Copy the files side by side, onto the disk."""
    target.mkdir(parents=True)

    def one(path: Path) -> None:
        place = target / path.name
        if hashing:
            _copy_and_hash(path, place)
        else:
            shutil.copyfile(path, place)
        descriptor = os.open(place, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(one, (source / NAME / REVISION).iterdir()))


def _copy_and_hash(path: Path, place: Path) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with open(path, "rb", buffering=0) as source, open(place, "wb", buffering=0) as target:
        while count := source.readinto(buffer):
            digest.update(buffer[:count])
            written = 0
            while written < count:
                written += target.write(buffer[written:count])
    return digest.hexdigest()


def timed(work: Callable[[Path], None], target: Path) -> Sample:
    """What some work takes that fills a folder, which is removed again; nothing else is on its way to the disk."""
    os.sync()
    start, processor = time.monotonic(), time.process_time()
    work(target)
    sample = Sample(time.monotonic() - start, time.process_time() - processor)
    shutil.rmtree(target)
    return sample


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.loader", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, small files: shows that it works, no figures")
    plan = QUICK if parser.parse_args(arguments).quick else Plan()
    console = Console(width=120)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name:
        folder = Path(name)
        source = make(folder, plan.shard_bytes)
        total = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        for number in range(plan.rounds + 1):
            works: dict[str, Callable[[Path], None]] = {
                "loader": lambda target: load(source, target),
                "hashing": lambda target: copy(source, target, hashing=True),
                "plain": lambda target: copy(source, target, hashing=False),
            }
            # In another order each time: what runs first finds another machine than what runs last.
            order = sorted(works, key=lambda name: (list(works).index(name) + number) % len(works))
            measured = Round(**{name: timed(works[name], folder / name) for name in order})
            if number:  # the first one warms up
                rounds.append(measured)
                console.print(
                    f"round {number} of {plan.rounds}: loader {measured.loader}, copy with hashes {measured.hashing}, "
                    f"without {measured.plain}",
                    soft_wrap=True,
                )
    title = f"Loader against a plain copy of {total / 1e9:.1f} GB in {SHARDS} large files, {WORKERS} at once"
    table = Table(title=title, title_justify="left")
    for column in ("figure", "loader", "plain copy", "ratio (median)", "ratio (min-max)", "aim"):
        table.add_column(column)
    for figure, attribute, unit, aim in (
        ("throughput, a copy that hashes", "hashing", "MB/s", ">= 0.9"),
        ("throughput, a copy that hashes nothing", "plain", "MB/s", ""),
        ("processor a gigabyte, a copy that hashes", "hashing", "s", ""),
    ):
        copies: list[Sample] = [getattr(measured, attribute) for measured in rounds]
        loads = [measured.loader for measured in rounds]
        if unit == "s":
            left, right = ([sample.processor / total * 1e9 for sample in samples] for samples in (loads, copies))
        else:
            left, right = ([total / sample.wall / 1e6 for sample in samples] for samples in (loads, copies))
        ratios = [a / b for a, b in zip(left, right, strict=True)]
        digits = 2 if unit == "s" else 0
        table.add_row(
            figure,
            f"{median(left):.{digits}f} {unit}",
            f"{median(right):.{digits}f} {unit}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            aim,
        )
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
