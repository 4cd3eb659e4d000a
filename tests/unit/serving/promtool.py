"""PromQL evaluated by Prometheus itself, on expositions as engines write them.

``promtool test rules`` runs the engine of Prometheus over series that are written down, at moments that are named: no
server, no waiting. It comes with Prometheus (Debian's package ``prometheus``).
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

STEP_SECONDS = 15
STEPS = 80
MOMENT = "10m"
"""When expressions are evaluated: late enough for every window but the hour's."""

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_ELEMENT = re.compile(r"\} ([^\s,]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Series = dict[str, Any]


def samples(exposition: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels of each sample, and its value."""
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for line in exposition.splitlines():
        match = None if line.startswith("#") else _SAMPLE.match(line)
        if match is not None:
            values[match["name"], tuple(_LABEL.findall(match["labels"] or ""))] = float(match["value"])
    return values


def scraped_series(now: str, labels: Mapping[str, str], before: str | None = None) -> list[Series]:
    """The series of one target: constant, or growing from an earlier exposition to what is said to be ``now``."""
    start = samples(before) if before is not None else {}
    made: list[Series] = []
    for (name, own), value in samples(now).items():
        # A label of the exposition that the target has too is renamed, unless the scrape honours it.
        exposed = {f"exported_{key}" if key in labels else key: text for key, text in own}
        first = start.get((name, own), value if before is None else 0.0)
        slope = (value - first) / STEPS if name.endswith(("_total", "_bucket", "_count", "_sum")) else 0.0
        made.append(series(name, {**exposed, **labels}, first if slope else value, slope))
    return made


def series(name: str, labels: Mapping[str, str], value: float, slope: float = 0.0) -> Series:
    """One series; ``slope`` is added at each step."""
    text = ",".join(f"{key}={json.dumps(label)}" for key, label in labels.items())
    sign = "-" if slope < 0 else "+"
    return {"series": f"{name}{{{text}}}", "values": f"{_plain(value)}{sign}{_plain(abs(slope))}x{STEPS}"}


def values(expressions: Mapping[str, str], known: Iterable[Series], folder: Path) -> dict[str, list[float]]:
    """The elements of each expression at :data:`MOMENT`, by its name.

    Every one is compared with a sample that it never is, and promtool says what it got instead.
    """
    cases = [asked(expression, MOMENT) for expression in expressions.values()]
    step = f"{STEP_SECONDS}s"
    found = answers([], [{"interval": step, "input_series": list(known), "promql_expr_test": cases}], step, folder)
    return {
        name: [float(value) for value in _ELEMENT.findall(text)] for name, text in zip(expressions, found, strict=True)
    }


def program() -> str:
    """Where ``promtool`` is; skips the test where it is not."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("NOT TESTED: promtool (package prometheus) is missing: run `make setup-node`")
    return promtool


def asked(expression: str, moment: str) -> dict[str, Any]:
    """An expression at a moment (``10m``), compared with a sample that it never is."""
    return {"expr": expression, "eval_time": moment, "exp_samples": [{"labels": '{never="seen"}', "value": 0}]}


def answers(
    groups: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], interval: str, folder: Path
) -> list[str]:
    """What ``promtool`` got instead of the samples of :func:`asked`, in order.

    Args:
        groups: of rules, which are evaluated first.
        tests: as its files have them.
        interval: between two evaluations of rules, such as ``1m``.
        folder: for its files.
    """
    (folder / "rules.yaml").write_text(json.dumps({"groups": groups}))
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": tests}
    file = folder / "test.yaml"
    file.write_text(json.dumps(suite))
    ran = subprocess.run([program(), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    found = [text.split("got:", 1)[1] for text in (ran.stdout + ran.stderr).split("expr: ")[1:]]
    expected = sum(len(test["promql_expr_test"]) for test in tests)
    assert len(found) == expected, f"promtool evaluated {len(found)} of {expected}: {ran.stdout}{ran.stderr}"
    return found


def _plain(value: float) -> str:
    return format(Decimal(repr(value)), "f")
