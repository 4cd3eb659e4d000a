"""Reads the few gauges that are needed from the Prometheus text format (version 0.0.4)."""

import math
import re
from collections.abc import Iterator

# A label's value may hold braces and spaces, so the labels end at the line's last brace.
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})?[ \t]+(?P<value>\S+)(?:[ \t]+-?\d+)?[ \t]*")


def samples(text: str, name: str) -> Iterator[float]:
    """The values of all series of a metric, those that are not a number left out."""
    for line in text.splitlines():
        if not line.startswith(name):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None or match["name"] != name:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if math.isfinite(value):
            yield value


def total(text: str, name: str) -> float | None:
    """Sum over all engines and labels; ``None`` where the metric is missing."""
    values = list(samples(text, name))
    return sum(values) if values else None


def largest(text: str, name: str) -> float | None:
    """The largest value over all engines and labels; ``None`` where the metric is missing."""
    return max(samples(text, name), default=None)
