"""Building blocks are PromQL, evaluated by Prometheus itself."""

import promql_parser
import pytest

from llm_serving.metrics import promql
from llm_serving.metrics.engines import EngineMetrics, engine_metrics
from llm_serving.metrics.series import DCGM_GPU_UTILIZATION, KubeStateSeries, LauncherSeries
from llm_serving.spec import EngineName
from tests.unit.serving.promtool import series, values

ENGINE_SERIES = {
    name
    for engine in EngineName
    for field in EngineMetrics.__dataclass_fields__
    if isinstance(name := getattr(engine_metrics(engine), field), str) and not field.endswith("_label")
}


@pytest.mark.parametrize("name", sorted({*ENGINE_SERIES, *LauncherSeries, *KubeStateSeries, DCGM_GPU_UTILIZATION}))
def test_every_series_is_selected_by_its_name(name):
    selected = promql_parser.parse(promql.selector(name, {"namespace": "chat"}))
    assert isinstance(selected, promql_parser.VectorSelector)
    assert selected.name == name


def test_a_pattern_selects_whole_values(tmp_path):
    present = [series("load", {"pod": pod}, value) for pod, value in (("tiny-1", 1), ("tiny-12", 2), ("a-tiny-1", 4))]
    chosen = promql.selector("load", {"pod": promql.Pattern("tiny-[0-9]|other")})
    assert values({"sum": f"sum({chosen})"}, present, tmp_path) == {"sum": [1]}


def test_the_series_of_a_pod_are_one_element(tmp_path):
    present = [series("load", {"pod": pod, "engine": engine}, 3) for pod in "ab" for engine in "01"]
    assert values({"pods": promql.sum_by_pod("load")}, present, tmp_path) == {"pods": [6, 6]}


def test_windows_reach_back_over_series_and_expressions(tmp_path):
    present = [series("load", {"pod": "a"}, 100, -1)]
    windows = {"max": promql.max_over_time("load", 60), "min": promql.min_of_expression("sum(load)", 60)}
    answers = values(windows, present, tmp_path)
    assert answers["max"] > answers["min"] == [60]


def test_a_quantile_of_nothing_is_nothing_and_can_be_0(tmp_path):
    buckets = [series("wait_bucket", {"le": bound}, 7) for bound in ("1.0", "+Inf")]
    nothing = promql.quantile(0.95, "wait", {}, 120)
    assert values({"bare": nothing, "zero": promql.or_zero(nothing)}, buckets, tmp_path) == {"bare": [], "zero": [0]}
