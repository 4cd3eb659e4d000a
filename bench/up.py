"""``python -m bench.up``: ``make up`` of stack ``local`` that must start its pods anew, against ``vllm serve`` alone.

Needs the running endpoint of stack ``local`` (``make up``), whose node and images stay; what ran on it is removed
before each round, so that weights are loaded and the engine starts again. Bare is the same command line of the same
image's files on this machine, as root, without launcher, container and Kubernetes. Both are over with the answer to the
same question, and take turns; the engine in the pod is idle while the other starts.
"""

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.endpoint import bare_command, running_engine
from bench.launcher import Root, mounted
from local import stack_runner
from local.endpoint import STACK, bring_up, open_cluster
from local.endpoint.first_answer import directly, wait_for_answer
from local.endpoint.serving_clusters import OwnNode
from local.endpoint.up import STAGES_BEFORE, Stages
from local.model import VARIANTS, make
from local.stack_runner import StackRunner
from local.state_folder import StateFolder

ROUNDS = 3
PORT = 18200
START_SECONDS = 300
TOTAL = "together"


def start_anew(runner: StackRunner) -> dict[str, float]:
    """Remove what runs, bring it up, and return the seconds of each stage of the second, in order.

    Kubernetes keeps times of a pod in whole seconds, so the parts of ``pulumi up`` are that exact; their sum is exact.

    Raises:
        SystemExit: it cannot be removed, or does not come up.
    """
    opened = open_cluster(runner).runner
    opened.prepare(STACK)
    opened.select(STACK)
    if stack_runner.destroy(opened, STACK, (), None):
        raise SystemExit("error: what runs cannot be removed")
    begin, stages = time.time(), Stages(STAGES_BEFORE + 2)
    if bring_up(runner, (), stages):
        raise SystemExit("error: it does not come up")
    before = dict(list(stages.done.items())[:STAGES_BEFORE])
    pulumi, answer = list(stages.done.values())[STAGES_BEFORE:]
    started, ready = _pod_times(OwnNode(runner.state))
    pulumi_begin = begin + sum(before.values())
    to_container, to_ready = started - pulumi_begin, ready - started
    return {
        "node and images, which are there": sum(before.values()),
        "pulumi up, to the engine's container": to_container,
        "pulumi up, to the engine that is ready": to_ready,
        "pulumi up, to its end": pulumi - to_container - to_ready,
        "first answer": answer,
        TOTAL: sum(stages.done.values()),
    }


def _pod_times(node: OwnNode) -> tuple[float, float]:
    """When the engine's container started, and when its pod was ready."""
    pods = node.client().list("v1", "Pod", labels="app.kubernetes.io/component=engine")
    (status,) = [pod["status"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    (container,) = status["containerStatuses"]
    (ready,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    return _seconds(container["state"]["running"]["startedAt"]), _seconds(ready["lastTransitionTime"])


def _seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp()


def bare_start(root: Root, command: Sequence[str], model: str) -> float:
    """Seconds from the start of the engine's command to its answer; it is stopped."""
    begin = root.start(command)
    try:
        wait_for_answer(directly(f"http://127.0.0.1:{PORT}"), model, START_SECONDS)
        return time.monotonic() - begin
    finally:
        root.end("stop")


def table(rounds: Sequence[tuple[Mapping[str, float], float]]) -> Table:
    """Medians of the stages, and their ratios to the bare start of their round."""
    result = Table(title="make up with pods that start anew, against vllm serve", title_justify="left")
    for column in ("stage", "median", "ratio to bare (median)", "ratio (min-max)"):
        result.add_column(column)
    for stage in rounds[0][0]:
        ratios = [stages[stage] / bare for stages, bare in rounds]
        seconds = median(stages[stage] for stages, _ in rounds)
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        result.add_row(stage, f"{seconds:.1f} s", f"{median(ratios):.2f}", spread)
    result.add_row("vllm serve, to its first answer", f"{median(bare for _, bare in rounds):.1f} s", "1", "")
    return result


def measure(runner: StackRunner, rounds: int, console: Console) -> None:
    """Measure in turn, and print the ratios."""
    base, image, command, variables, release = running_engine(OwnNode(runner.state))
    console.print(f"{release} at {base}", highlight=False)
    variant = next(variant for variant in VARIANTS if variant.release == release)
    weights = make(runner.state.root / "models", variant.seed).folder
    (model,) = [part.split("=", 1)[1] for part in command if part.startswith("--served-model-name=")]
    alone = _with_variables(variables, bare_command(command, "/weights", PORT))
    measured: list[tuple[dict[str, float], float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as folder,
        mounted(image, weights, Path(folder)) as root,
    ):
        if rounds > 1:
            bare_start(root, alone, model)  # brings the image's files into memory
        for number in range(rounds):
            bare = bare_start(root, alone, model)
            measured.append((start_anew(runner), bare))
            parts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in measured[-1][0].items())
            console.print(f"round {number + 1} of {rounds}: {parts}; bare {bare:.1f} s")
    console.print(table(measured))


def _with_variables(variables: Mapping[str, Any], command: Sequence[str]) -> list[str]:
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), *command]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the endpoint that runs."""
    parser = argparse.ArgumentParser(prog="python -m bench.up", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round: shows that it works, no figures")
    rounds = 1 if parser.parse_args(arguments).quick else ROUNDS
    measure(StackRunner(StateFolder.of()), rounds, Console(width=120))
    return 0


if __name__ == "__main__":
    sys.exit(main())
