"""The launcher cannot import the package, so both spell the launcher's series: here they are compared."""

import re
from dataclasses import asdict
from pathlib import Path

import llm_serving_engine
from llm_serving_engine import resource_usage, stall, startup_stages, vllm_stages
from llm_serving_engine.drain_state import RequestCounts
from llm_serving_engine.exposition import exposition

from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.promql import startup_seconds
from llm_serving.metrics.series import SERIES_OUTCOME, DrainOutcome, LauncherSeries, LaunchStage
from llm_serving.spec import EngineName
from tests.unit.serving.promtool import samples

EVERYTHING = exposition(
    up=True, ready=True, startup=dict.fromkeys(LaunchStage, 1.0), requests=RequestCounts(), gpu_utilization=50.0
)


def test_the_launcher_exports_the_series_that_the_package_asks_for():
    assert {name for name, _ in samples(EVERYTHING)} == set(LauncherSeries)


def test_the_series_of_a_stage_is_found_by_its_query():
    exported = {line.rpartition(" ")[0] for line in EVERYTHING.splitlines() if not line.startswith("#")}
    assert {startup_seconds(stage) for stage in LaunchStage} <= exported


def test_the_launcher_measures_the_stages_that_the_package_asks_for():
    sources = "".join(path.read_text() for path in Path(llm_serving_engine.__file__).parent.glob("*.py"))
    ended = set(re.findall(r'\.ended\("(\w+)"\)', sources))
    logged = {part for _, _, part in vllm_stages._MESSAGES}
    assert ended | logged | {startup_stages.TOTAL} == set(LaunchStage)


def test_the_launcher_counts_the_outcomes_that_the_package_asks_for():
    counted = {value for name, labels in samples(EVERYTHING) for label, value in labels if label == SERIES_OUTCOME}
    assert counted == asdict(RequestCounts()).keys() - {"running"} == set(DrainOutcome)


def test_the_launcher_reads_the_engines_series_as_the_package_spells_them():
    for name in (EngineName.VLLM, EngineName.SGLANG, EngineName.TGI):
        metrics = engine_metrics(name)
        assert {metrics.requests_running, metrics.requests_waiting} <= set(stall.REQUESTS)
        assert {metrics.prompt_tokens, metrics.generation_tokens} - {None} <= set(stall.TOKENS)
        assert {metrics.kv_cache_usage} - {None} <= set(stall.STEPS)
    vllm = engine_metrics(EngineName.VLLM)
    read = (resource_usage._RUNNING, resource_usage._WAITING, resource_usage._KV_CACHE)
    assert read == (vllm.requests_running, vllm.requests_waiting, vllm.kv_cache_usage)
