"""``make bench``: what a preview costs, as ratios within one run. Prints a table; judges nothing.

Ratios of pairs taken in turn hold on a noisy machine; single times do not.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.measure import Sample, preview
from bench.projects import dev_project, empty_project

RUNS = 3
MODEL_COUNTS = (1, 10, 50)


def main() -> int:
    """Measure, with a line of progress for each run, and print the tables."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="llm-serving-bench-") as folder:
        console.print(against_empty(Path(folder), console))
        console.print(against_models(Path(folder), console))
    return 0


def against_empty(folder: Path, console: Console) -> Table:
    """Preview of dev against an empty program that imports the same SDK modules."""
    ours, empty = dev_project(folder / "dev", models=1), empty_project(folder / "empty")
    preview(ours)
    preview(empty)
    pairs: list[tuple[Sample, Sample]] = []
    for run in range(RUNS):
        pairs.append((preview(ours), preview(empty)))
        console.print(f"pair {run + 1} of {RUNS}: dev {pairs[-1][0]}, empty {pairs[-1][1]}")
    table = Table(title="pulumi preview of dev against an empty program with the same imports", title_justify="left")
    for column in ("figure", "dev (median)", "empty (median)", "ratio (median)", "ratio (min-max)", "aim"):
        table.add_column(column)
    for name, unit, aim in (("wall", "s", "<= 1.5"), ("memory", "MiB", "<= 1.2")):
        mine = [getattr(a, name) for a, _ in pairs]
        theirs = [getattr(b, name) for _, b in pairs]
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        figures = (
            f"{median(mine):.1f} {unit}",
            f"{median(theirs):.1f} {unit}",
            f"{median(ratios):.2f}",
            spread,
            aim,
        )
        table.add_row({"wall": "wall time", "memory": "peak memory of the program"}[name], *figures)
    return table


def against_models(folder: Path, console: Console) -> Table:
    """Preview against the number of models: seconds a model beyond the first."""
    times: dict[int, float] = {}
    for count in MODEL_COUNTS:
        project = dev_project(folder / f"models-{count}", models=count)
        preview(project)
        times[count] = median(preview(project).wall for _ in range(RUNS))
        console.print(f"{count} models: {times[count]:.1f} s")
    one = times[MODEL_COUNTS[0]]
    table = Table(title="pulumi preview against the number of models", title_justify="left")
    for column in ("models", "wall time", "ratio to one model", "milliseconds for each further model"):
        table.add_column(column)
    for count, wall in times.items():
        more = (wall - one) / (count - 1) * 1000 if count > 1 else None
        table.add_row(str(count), f"{wall:.1f} s", f"{wall / one:.2f}", "" if more is None else f"{more:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
