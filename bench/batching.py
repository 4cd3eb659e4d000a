"""``python -m bench.batching``: tokens a second of continuous batching, against one at a time and static batches.

Continuous batching is vLLM, started bare from the engine's image and asked over HTTP by 1, 4, 16 and 32 clients, each
of which sends its next request when the last one is answered. The others are ``transformers`` (``bench.generator``)
with the Python of the same image: one request at a time, whose rate does not depend on how many wait, and padded
batches as large as the number of clients, each of which ends with its longest answer.

All answer the same requests, greedily and with the same number of tokens, with the same random Llama in bfloat16, the
same number of threads, the same allocator, and without compiling (the image has no C++ compiler); vLLM's prefix cache
is off. Counted are tokens that were asked for, not those that a static batch makes beyond them. Both processes stay
up, and work in turn: half of the requests one at a time before the batches of a round, half after them. Ratios are
taken within a round. The clients and vLLM's HTTP server share the CPU with it. Needs root and the image's program
(buildah); judges nothing.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.launcher import ENVIRONMENT, NAME, Root, mounted
from local.images import LocalImages
from local.model import VARIANTS, Shape, make, weights

ENGINE_PORT, GENERATOR_PORT = 18300, 18301
START_SECONDS = 300
APPEAR_SECONDS = 5
ANSWER_SECONDS = 300
LOOK_SECONDS = 0.2
SEED = 5
REPEATS = 2
"""At least so many requests for each client: most of the time all clients have one running."""
SHAPE = Shape(layers=8, hidden_size=512, heads=8, kv_heads=4, head_dim=64, intermediate_size=1408)
"""Large enough that the model's arithmetic, and not what surrounds it, takes most of a step."""


@dataclass(frozen=True)
class Request:
    """A prompt as token ids, and how many tokens answer it."""

    prompt: tuple[int, ...]
    tokens: int


@dataclass(frozen=True)
class Plan:
    """What is measured: numbers of clients, rounds, different requests, and bounds of their lengths in tokens."""

    clients: tuple[int, ...] = (1, 4, 16, 32)
    rounds: int = 3
    requests: int = 16
    prompt: tuple[int, int] = (16, 64)
    answer: tuple[int, int] = (16, 128)

    def draw(self) -> list[Request]:
        """The requests, the same in every run."""
        source = random.Random(SEED)
        letters = range(ord("a"), ord("z") + 1)  # a token of the model is a byte
        return [
            Request(tuple(source.choices(letters, k=source.randint(*self.prompt))), source.randint(*self.answer))
            for _ in range(self.requests)
        ]


QUICK = Plan(clients=(1, 4), rounds=1, requests=4, prompt=(8, 16), answer=(4, 16))


@dataclass(frozen=True)
class Level:
    """Tokens a second of one round with one number of clients; batches of one are the rate of one at a time."""

    continuous: float
    static: float | None

    def __str__(self) -> str:
        static = "" if self.static is None else f" (static {self.static:.0f})"
        return f"{self.continuous:.0f}{static}"


@dataclass(frozen=True)
class Round:
    """Tokens a second of one round: one request at a time, and each number of clients."""

    alone: float
    levels: dict[int, Level]

    def __str__(self) -> str:
        levels = (f"clients {clients} {level}" for clients, level in self.levels.items())
        return ", ".join((f"one at a time {self.alone:.0f}", *levels))


class Engine:
    """vLLM, asked by several clients."""

    def __init__(self, base: str) -> None:
        self._base = base

    def answer(self, requests: Sequence[Request], clients: int) -> list[list[int]]:
        """Token ids of all answers."""
        with ThreadPoolExecutor(clients) as threads:
            return list(threads.map(self._one, requests))

    def _one(self, request: Request) -> list[int]:
        body = {
            "model": NAME,
            "prompt": request.prompt,
            "max_tokens": request.tokens,
            "ignore_eos": True,
            "temperature": 0,
            "return_token_ids": True,
        }
        answer = post(f"{self._base}/v1/completions", body)
        return answer["choices"][0]["token_ids"]


class Generator:
    """``transformers``, one batch after the other."""

    def __init__(self, base: str) -> None:
        self._base = base

    def answer(self, requests: Sequence[Request], batch: int) -> list[list[int]]:
        """Token ids of all answers."""
        body = {"requests": [asdict(request) for request in requests], "batch": batch}
        return post(self._base, body)["answers"]


def post(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)
    except OSError as error:
        raise SystemExit(f"error: {address}: {error}") from error


def make_model(folder: Path) -> Path:
    """A random Llama of :data:`SHAPE`, with the tokenizer of the tiny one; its folder."""
    tiny = make(folder / "tiny", VARIANTS[0].seed).folder
    target = folder / "model"
    shutil.copytree(tiny, target)
    config = json.loads((tiny / "config.json").read_text())
    config |= {
        "num_hidden_layers": SHAPE.layers,
        "hidden_size": SHAPE.hidden_size,
        "num_attention_heads": SHAPE.heads,
        "num_key_value_heads": SHAPE.kv_heads,
        "head_dim": SHAPE.head_dim,
        "intermediate_size": SHAPE.intermediate_size,
        "vocab_size": SHAPE.vocabulary,
        "max_position_embeddings": SHAPE.max_context,
    }
    (target / "config.json").write_text(json.dumps(config))
    (target / "model.safetensors").write_bytes(weights.checkpoint(SEED, SHAPE))
    return target


@contextlib.contextmanager
def started(root: Root, command: Sequence[str]) -> Iterator[None]:
    """A command that runs in the image's root meanwhile."""
    root.start(command)
    try:
        yield
    finally:
        # A build of an image removes all containers of the store, this one too: then there is no status, but an end.
        with contextlib.suppress(ValueError, BrokenPipeError):
            root.end("stop")


def wait_for(root: Root, address: str, word: str) -> bytes:
    """What an address answers, as soon as it does.

    Raises:
        SystemExit: it does not, or the process with that word in its command line has ended.
    """
    begin = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read()
        except OSError as error:
            waited = time.monotonic() - begin
            if waited > START_SECONDS or (waited > APPEAR_SECONDS and not runs(word)):
                raise SystemExit(f"error: {address} does not answer ({error}):\n{root.tail()}") from error
            time.sleep(LOOK_SECONDS)


def runs(word: str) -> bool:
    """Whether there is a process with that word in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if word.encode() in path.read_bytes().split(b"\0"):
                return True
    return False


@contextlib.contextmanager
def sides(image: str, model: Path, folder: Path) -> Iterator[tuple[Engine, Generator]]:
    """Both processes, each with a copy of the image's files, loaded and idle."""
    engine = ["vllm", "serve", "/weights", f"--served-model-name={NAME}", "--host=127.0.0.1", f"--port={ENGINE_PORT}"]
    engine += ["--max-model-len=2048", "--enforce-eager", "--no-enable-prefix-caching", "--shutdown-timeout=5"]
    shared = model / "generator.py"
    shared.write_bytes(Path(__file__).with_name(shared.name).read_bytes())
    places = [folder / "engine", folder / "generator"]
    for place in places:
        place.mkdir()
    with (
        mounted(image, model, places[0]) as one,
        mounted(image, model, places[1]) as other,
        started(one, engine),
        started(other, ["python", "-I", f"/weights/{shared.name}", "/weights", str(GENERATOR_PORT)]),
    ):
        bases = f"http://127.0.0.1:{ENGINE_PORT}", f"http://127.0.0.1:{GENERATOR_PORT}"
        threads = json.loads(wait_for(other, bases[1], str(GENERATOR_PORT)))["threads"]
        if threads != int(ENVIRONMENT["OMP_NUM_THREADS"]):
            raise SystemExit(f"error: transformers runs {threads} threads, not {ENVIRONMENT['OMP_NUM_THREADS']}")
        wait_for(one, f"{bases[0]}/v1/models", f"--port={ENGINE_PORT}")
        yield Engine(bases[0]), Generator(bases[1])


def agreement(engine: Engine, generator: Generator, requests: Sequence[Request], clients: Sequence[int]) -> int:
    """Warm both up, at every size; how many answers begin with the same token, one at a time and together.

    Rounding differs, so that greedy answers part somewhere; different models would part at once.
    """
    expected = generator.answer(short(requests), 1)
    answers_by_way = [expected]
    for count in clients:
        many = repeated(short(requests), count)
        answers_by_way += [side.answer(many, count)[: len(requests)] for side in (engine, generator)]
    agreeing = [len({answers[index][0] for answers in answers_by_way}) == 1 for index in range(len(requests))]
    return sum(agreeing)


def short(requests: Sequence[Request]) -> list[Request]:
    return [replace(request, tokens=4) for request in requests]


def repeated(requests: Sequence[Request], clients: int) -> list[Request]:
    """All requests, as often as it takes for :data:`REPEATS` requests a client."""
    return [*requests] * max(1, -(-clients * REPEATS // len(requests)))


def rate(answer: Callable[[Sequence[Request], int], list[list[int]]], requests: Sequence[Request], size: int) -> float:
    """Tokens a second.

    Raises:
        SystemExit: an answer has another length than was asked for.
    """
    begin = time.monotonic()
    answers = answer(requests, size)
    seconds = time.monotonic() - begin
    if [len(tokens) for tokens in answers] != [request.tokens for request in requests]:
        raise SystemExit("error: answers do not have the lengths that were asked for")
    return sum(request.tokens for request in requests) / seconds


def measure(engine: Engine, generator: Generator, requests: Sequence[Request], clients: Sequence[int]) -> Round:
    """One round."""
    middle = len(requests) // 2
    halves = [requests[:middle], requests[middle:]]
    before = rate(generator.answer, halves[0], 1)
    levels: dict[int, Level] = {}
    for count in clients:
        many = repeated(requests, count)
        continuous = rate(engine.answer, many, count)
        levels[count] = Level(continuous, rate(generator.answer, many, count) if count > 1 else None)
    after = rate(generator.answer, halves[1], 1)
    tokens = [sum(request.tokens for request in half) for half in halves]
    return Round(sum(tokens) / (tokens[0] / before + tokens[1] / after), levels)


def spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def report(rounds: Sequence[Round], console: Console) -> None:
    """The table, then the same in sentences."""
    table = Table(title="Output tokens a second, medians; ratios: median (min-max)", title_justify="left")
    for column in ("clients", "one at a time", "static batches", "continuous", "to one at a time", "aim", "to static"):
        table.add_column(column, justify="left" if column == "aim" else "right")
    alone = median(one_round.alone for one_round in rounds)
    lines: list[str] = []
    for clients in rounds[0].levels:
        levels = [one_round.levels[clients] for one_round in rounds]
        continuous = f"{median(level.continuous for level in levels):.0f}"
        to_one = spread([level.continuous / one_round.alone for level, one_round in zip(levels, rounds, strict=True)])
        line = f"clients {clients}: continuous {continuous} tokens/s, {to_one} times one at a time"
        batches = [(level.continuous, level.static) for level in levels if level.static is not None]
        static, to_static = "", ""
        if batches:
            static = f"{median(static_rate for _, static_rate in batches):.0f}"
            to_static = spread([continuous_rate / static_rate for continuous_rate, static_rate in batches])
            line += f", {to_static} times static batches"
        aim = ">= 3 to 5" if clients >= 16 else ""
        table.add_row(str(clients), f"{alone:.0f}", static, continuous, to_one, aim, to_static)
        lines.append(line)
    console.print(table)
    for line in lines:
        console.print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.batching", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short answers: shows that it works, no figures")
    plan = QUICK if parser.parse_args(arguments).quick else Plan()
    console = Console(width=120, highlight=False)
    requests = plan.draw()
    image = LocalImages().build("vllm")
    console.print(
        f"A Llama of {SHAPE.parameters / 1e6:.1f} million parameters ({SHAPE.layers} layers of {SHAPE.hidden_size}), "
        f"bfloat16, {ENVIRONMENT['OMP_NUM_THREADS']} threads; {plan.requests} requests of {plan.prompt[0]} to "
        f"{plan.prompt[1]} tokens, answers of {plan.answer[0]} to {plan.answer[1]}, "
        f"{sum(request.tokens for request in requests)} in all; load before: {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as name:
        folder = Path(name)
        begin = time.monotonic()
        with sides(image.reference, make_model(folder), folder) as (engine, generator):
            console.print(f"both started after {time.monotonic() - begin:.0f} s")
            same = agreement(engine, generator, requests, plan.clients)
            console.print(f"{same} of {len(requests)} answers begin with the same token on all ways")
            if same * 2 <= len(requests):
                raise SystemExit("error: vLLM and transformers do not run the same model")
            rounds: list[Round] = []
            for number in range(plan.rounds):
                rounds.append(measure(engine, generator, requests, plan.clients))
                console.print(f"round {number + 1} of {plan.rounds}, tokens/s: {rounds[-1]}")
        console.print(f"{time.monotonic() - begin:.0f} s in all; load after: {os.getloadavg()[0]:.1f}")
    report(rounds, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
