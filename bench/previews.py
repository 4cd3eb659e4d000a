"""``python -m bench.previews``: what a preview costs, as ratios within one run. Prints a table; judges nothing.

Ratios of pairs taken in turn hold on a noisy machine; single times do not.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.measure import Sample, preview
from bench.projects import dev_project, empty_project


@dataclass(frozen=True)
class Plan:
    """What is measured: runs of each project, numbers of models, and whether each project is previewed once before."""

    runs: int = 3
    model_counts: tuple[int, ...] = (1, 10, 50)
    warm_up: bool = True


QUICK = Plan(runs=1, model_counts=(1, 2), warm_up=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, with a line of progress for each run, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.previews", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run, two models: shows that it works, no figures")
    plan = QUICK if parser.parse_args(arguments).quick else Plan()
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as folder:
        console.print(against_empty(Path(folder), plan, console))
        console.print(against_models(Path(folder), plan, console))
    return 0


def against_empty(folder: Path, plan: Plan, console: Console) -> Table:
    """Preview of dev against an empty program that imports the same SDK modules."""
    dev, empty = dev_project(folder / "dev", models=1), empty_project(folder / "empty")
    if plan.warm_up:
        preview(dev)
        preview(empty)
    pairs: list[tuple[Sample, Sample]] = []
    for run in range(plan.runs):
        pairs.append((preview(dev), preview(empty)))
        console.print(f"pair {run + 1} of {plan.runs}: dev {pairs[-1][0]}, empty {pairs[-1][1]}")
    table = Table(title="pulumi preview of dev against an empty program with the same imports", title_justify="left")
    for column in ("figure", "dev (median)", "empty (median)", "ratio (median)", "ratio (min-max)", "aim"):
        table.add_column(column)
    for name, unit, aim in (("wall", "s", "<= 1.5"), ("memory", "MiB", "<= 1.2")):
        dev_figures = [getattr(sample, name) for sample, _ in pairs]
        empty_figures = [getattr(sample, name) for _, sample in pairs]
        ratios = [a / b for a, b in zip(dev_figures, empty_figures, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        figures = (
            f"{median(dev_figures):.1f} {unit}",
            f"{median(empty_figures):.1f} {unit}",
            f"{median(ratios):.2f}",
            spread,
            aim,
        )
        table.add_row({"wall": "wall time", "memory": "peak memory of the program"}[name], *figures)
    return table


def against_models(folder: Path, plan: Plan, console: Console) -> Table:
    """Preview against the number of models: seconds a model beyond the first."""
    times: dict[int, float] = {}
    for count in plan.model_counts:
        project = dev_project(folder / f"models-{count}", models=count)
        if plan.warm_up:
            preview(project)
        times[count] = median(preview(project).wall for _ in range(plan.runs))
        console.print(f"{count} models: {times[count]:.1f} s")
    one = times[plan.model_counts[0]]
    table = Table(title="pulumi preview against the number of models", title_justify="left")
    for column in ("models", "wall time", "ratio to one model", "milliseconds for each further model"):
        table.add_column(column)
    for count, wall in times.items():
        each = f"{(wall - one) / (count - 1) * 1000:.0f}" if count > 1 else ""
        table.add_row(str(count), f"{wall:.1f} s", f"{wall / one:.2f}", each)
    return table


if __name__ == "__main__":
    sys.exit(main())
