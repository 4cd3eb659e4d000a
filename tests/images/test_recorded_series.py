"""The recorded series of an engine, on what a real vLLM says.

The expositions are those of ``test_scaling_queries``. A metric that the engine renames leaves a series empty, which
this shows for each.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.recorded import EngineSeries, engine_sources
from llm_serving.observability.recording import recording_groups
from llm_serving.spec import EngineName
from tests.images.test_scaling_queries import expositions, target_labels  # noqa: F401 (a fixture)
from tests.unit.serving.promtool import STEP_SECONDS, Series, answers, asked, scraped_series, series

SOURCES = engine_sources(engine_metrics(EngineName.VLLM))
GROUPS = recording_groups([EngineName.VLLM])
RECORDED = [rule["record"] for group in GROUPS for rule in group["rules"]]
MOMENT = "15m"


@pytest.fixture(scope="module")
def known(expositions: dict[str, str]) -> list[Series]:  # noqa: F811
    """A loaded engine under the launcher."""
    labels = target_labels("a")
    return [
        *scraped_series(expositions["loaded"], labels, expositions["idle"]),
        series("llm_serving_gpu_utilization_percent", labels, 80),
        series("llm_serving_engine_ready", labels, 1),
    ]


def recorded(cases: Iterable[list[Series]], folder: Path) -> list[set[str]]:
    """Names of the recorded series that have elements, for what is scraped in each case."""
    every = [asked('count by (__name__) ({__name__=~"llm_.*|llm:.*"})', MOMENT)]
    step = f"{STEP_SECONDS}s"
    tests = [{"interval": step, "input_series": known, "promql_expr_test": every} for known in cases]
    found = answers(GROUPS, tests, step, folder)
    return [{name for name in RECORDED if f'"{name}"' in answer or f"{name} " in answer} for answer in found]


def test_every_series_comes_out_of_what_the_engine_says_and_none_without_its_metric(
    known: list[Series], tmp_path: Path
) -> None:
    without = {
        name: [one for one in known if not one["series"].startswith(source.metric)] for name, source in SOURCES.items()
    }
    full, *missing = recorded([known, *without.values()], tmp_path)
    assert full == set(RECORDED)
    for name, present in zip(without, missing, strict=True):
        shown = f"{name}_bucket" if SOURCES[name].is_histogram else str(name)
        assert shown not in present, name


def test_every_series_that_engines_share_is_one_of_vllm() -> None:
    assert set(SOURCES) == set(EngineSeries)
