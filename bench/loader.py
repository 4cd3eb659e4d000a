"""``python -m bench.loader``: loading a model from a folder into a folder, against a plain parallel copy of its files.

Prints ratios of the throughputs, taken in turn in one run; judges nothing. The plain copy is one ``shutil.copyfile`` a
file (in the kernel, with sendfile), as many at once as the loader has workers; it checks nothing. It is timed until the
bytes are on the disk, which is what the loader promises, and also until they are in the page cache only. All read from
memory: the sources have just been written.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from llm_serving_load.loading import Loader, Model
from llm_serving_load.sources.folder import FolderSource
from llm_serving_load.targets import FolderTarget
from rich.console import Console
from rich.table import Table

ROUNDS = 7
WORKERS = 8
SHARDS = 4
SHARD_BYTES = 400_000_000
NAME, REVISION = "bench/model", "0" * 40


@dataclass(frozen=True)
class Round:
    """Seconds of one round: the loader, and the plain copy until its bytes are on the disk and in the page cache."""

    loader: float
    disk: float
    cache: float


def make(folder: Path) -> Path:
    """A model of random bytes, in a source's layout; the source."""
    model = folder / "source" / NAME / REVISION
    model.mkdir(parents=True)
    mapping = {f"t{number}": f"model-{number:05}-of-{SHARDS:05}.safetensors" for number in range(SHARDS)}
    for tensor, name in mapping.items():
        header = json.dumps(
            {tensor: {"dtype": "U8", "shape": [SHARD_BYTES], "data_offsets": [0, SHARD_BYTES]}}
        ).encode()
        with open(model / name, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _ in range(SHARD_BYTES // 1_000_000):
                file.write(os.urandom(1_000_000))
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    for name in ("config.json", "tokenizer.json"):
        (model / name).write_text("{}")
    return folder / "source"


def load(source: Path, target: Path) -> None:
    model = Model(f"file://{source}", NAME, REVISION)
    loader = Loader(model, FolderTarget(target), lambda text: None, threading.Event(), WORKERS)
    loader.load(lambda: FolderSource(source / NAME / REVISION))


def copy(source: Path, target: Path, *, to_disk: bool) -> None:
    target.mkdir(parents=True)

    def one(path: Path) -> None:
        shutil.copyfile(path, target / path.name)
        if to_disk:
            descriptor = os.open(target / path.name, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(one, (source / NAME / REVISION).iterdir()))


def timed(work: Callable[[Path], None], target: Path) -> float:
    """Seconds of some work that fills a folder, which is removed again; nothing else is on its way to the disk."""
    os.sync()
    start = time.monotonic()
    work(target)
    seconds = time.monotonic() - start
    shutil.rmtree(target)
    return seconds


def main() -> int:
    """Measure in turn, and print the ratios."""
    console = Console(width=120)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name:
        folder = Path(name)
        source = make(folder)
        total = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        for number in range(ROUNDS + 1):
            found = Round(
                timed(lambda target: load(source, target), folder / "loader"),
                timed(lambda target: copy(source, target, to_disk=True), folder / "disk"),
                timed(lambda target: copy(source, target, to_disk=False), folder / "cache"),
            )
            if number:  # the first one warms up
                rounds.append(found)
                console.print(
                    f"round {number} of {ROUNDS}: loader {found.loader:.2f} s, copy to the disk {found.disk:.2f} s, "
                    f"to the page cache {found.cache:.2f} s"
                )
    ours = median(found.loader for found in rounds)
    title = f"Loader against a plain copy of {total / 1e9:.1f} GB in {SHARDS} large files, {WORKERS} at once"
    table = Table(title=title, title_justify="left")
    for column in ("figure", "loader", "plain copy", "ratio (median)", "ratio (min-max)", "aim"):
        table.add_column(column)
    for figure, attribute, aim in (
        ("throughput, bytes on the disk", "disk", ">= 0.9"),
        ("throughput, copy in the page cache", "cache", ""),
    ):
        theirs = [getattr(found, attribute) for found in rounds]
        ratios = [other / found.loader for other, found in zip(theirs, rounds, strict=True)]
        table.add_row(
            figure,
            f"{total / ours / 1e6:.0f} MB/s",
            f"{total / median(theirs) / 1e6:.0f} MB/s",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            aim,
        )
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
