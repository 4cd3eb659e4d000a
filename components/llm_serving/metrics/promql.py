"""PromQL building blocks. Each returns an expression that yields an instant vector; windows are in seconds."""

from collections.abc import Mapping

from llm_serving.metrics.series import (
    SCRAPE_INTERVAL_SECONDS,
    SERIES_POD,
    SERIES_STAGE,
    LauncherSeries,
    LaunchStage,
)


class Pattern(str):
    """A regular expression for the whole value of a label."""

    __slots__ = ()


def selector(series: str, labels: Mapping[str, str]) -> str:
    """The series with these labels: ``name{label="value",other=~"pattern"}``. Values are names of Kubernetes and
    versions, which need no escapes."""
    matchers = (f'{label}{"=~" if isinstance(value, Pattern) else "="}"{value}"' for label, value in labels.items())
    return f"{series}{{{','.join(matchers)}}}"


def startup_seconds(stage: LaunchStage) -> str:
    """Seconds that a stage of a start took, for each instance."""
    return selector(LauncherSeries.STARTUP_SECONDS, {SERIES_STAGE: stage})


def sum_by_pod(vector: str) -> str:
    """One element a pod: the data-parallel engines of a pod have a series each."""
    return f"sum by ({SERIES_POD}) ({vector})"


def max_over_time(series: str, seconds: int) -> str:
    """The largest sample of each series in a window."""
    return f"max_over_time({series}[{seconds}s])"


def min_of_expression(expression: str, seconds: int) -> str:
    """The smallest value of an expression in a window, which is evaluated once a scrape."""
    return f"min_over_time({expression}[{seconds}s:{SCRAPE_INTERVAL_SECONDS}s])"


def quantile(share: float, histogram: str, labels: Mapping[str, str], seconds: int) -> str:
    """A quantile of what a histogram counted in a window, over all of its series; nothing where it counted nothing
    (the quantile of nothing is NaN, which is not at least 0)."""
    buckets = f"sum by (le) (rate({selector(f'{histogram}_bucket', labels)}[{seconds}s]))"
    return f"histogram_quantile({share:g}, {buckets}) >= 0"


def or_zero(expression: str) -> str:
    """0 where the expression yields nothing."""
    return f"{expression} or vector(0)"
