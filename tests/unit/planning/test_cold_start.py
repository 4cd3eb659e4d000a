"""The cold start is a budget: each stage has an estimate with a source, and says what would shorten it."""

import re
from pathlib import Path

import pytest

from llm_serving import catalog
from llm_serving.catalog import Basis, StartupStage, UnknownFact
from llm_serving.planning.clouds import AWS, EXISTING, GCP, Cloud
from llm_serving.planning.cold_start import ColdStart, StartupChoices, cold_start
from tests.unit.planning.builders import model, release

CUDA, CPU = catalog.device("cuda"), catalog.device("cpu")
LLAMA_8B = 16.06e9
"""Bytes of the model of the published measurement."""


def start(cloud: Cloud = GCP, **choices: object) -> ColdStart:
    return cold_start(cloud, CUDA, LLAMA_8B, choices=StartupChoices(**choices))  # type: ignore[arg-type]


def test_without_choices_the_budget_is_the_published_measurement() -> None:
    budget = start(EXISTING)
    assert budget.weights == pytest.approx(61 + 33, abs=1)
    assert {stage.name: stage.seconds for stage in budget.stages[3:]} == {
        StartupStage.COMPILE: 10 + 42,
        StartupStage.GRAPHS: 54,
        StartupStage.INIT: 94,
    }
    assert budget.engine_init == CUDA.init_seconds


def test_the_total_is_the_sum_of_all_stages() -> None:
    budget = start(warm_up=True)
    parts = budget.node_start + budget.image_pull + budget.weights + budget.engine_init + budget.warm_up
    assert budget.total == parts == sum(stage.seconds for stage in budget.stages)
    assert budget.warm_up > 0


@pytest.mark.parametrize(
    ("choice", "stage"),
    [
        ({"image_streamed": True}, StartupStage.IMAGE_PULL),
        ({"image_preloaded": True}, StartupStage.IMAGE_PULL),
        ({"weights_streamed": True}, StartupStage.WEIGHTS),
        ({"weights_parallel": True}, StartupStage.WEIGHTS),
        ({"compile_cached": True}, StartupStage.COMPILE),
        ({"graphs": 8}, StartupStage.GRAPHS),
    ],
)
def test_a_choice_shortens_its_own_stage_and_no_other(choice: dict[str, object], stage: StartupStage) -> None:
    before, after = start(), start(**choice)
    assert after.seconds(stage) < before.seconds(stage)
    assert after.total - before.total == after.seconds(stage) - before.seconds(stage)


def test_what_a_shortcut_promises_is_what_the_choice_gives() -> None:
    promised = {shortcut.setting: shortcut.seconds for stage in start().stages for shortcut in stage.shortcuts}
    assert promised["compileCache: true"] == start(compile_cached=True).seconds(StartupStage.COMPILE)
    assert promised["engine.streamWeights: true"] == start(weights_streamed=True).weights
    assert promised["engine.graphSizes: [1, 2, 4, 8, 16, 24, 32, 64]"] == start(graphs=8).seconds(StartupStage.GRAPHS)


def test_a_shortcut_that_was_taken_is_not_offered_again() -> None:
    taken = start(image_preloaded=True, weights_streamed=True, compile_cached=True, graphs=8)
    assert [s.setting for stage in taken.stages[1:] for s in stage.shortcuts] == []


def test_more_graphs_take_longer() -> None:
    sizes = [start(graphs=number).seconds(StartupStage.GRAPHS) for number in (1, 8, 40, 100)]
    assert sizes == sorted(set(sizes))


def test_placeholders_never_shorten_what_time_outs_are_made_of() -> None:
    assert start(placeholders=3).total == start().total
    (held,) = start(placeholders=3).stages[0].shortcuts
    assert (held.setting, held.seconds) == ("warmPool.placeholders: 3", 0)


def test_nodes_that_are_there_need_not_start() -> None:
    assert start(EXISTING).node_start == 0
    assert start(EXISTING).stages[0].shortcuts == ()


def test_a_cpu_neither_compiles_nor_captures_graphs() -> None:
    budget = cold_start(EXISTING, CPU, 1e6, choices=StartupChoices(compile_cached=True, graphs=4))
    stages = {stage.name for stage in budget.stages}
    assert not stages & {StartupStage.COMPILE, StartupStage.GRAPHS}
    assert budget.engine_init == CPU.init_seconds


def test_a_way_of_which_nothing_is_known_counts_as_the_cautious_one() -> None:
    assert start(AWS, image_streamed=True).image_pull == start(AWS).image_pull
    streamed = cold_start(GCP, CPU, LLAMA_8B, choices=StartupChoices(weights_streamed=True))
    assert streamed.weights == cold_start(GCP, CPU, LLAMA_8B).weights


def test_every_stage_has_a_source_a_date_and_a_metric_of_its_own() -> None:
    stages = start(warm_up=True).stages
    assert [stage.name for stage in stages] == list(StartupStage)
    for stage in stages:
        assert stage.source
        assert stage.date
        assert stage.basis in Basis
    assert len({stage.measured_by for stage in stages}) == len(stages)
    inside = {stage.measured_by for stage in stages[2:]}
    parts = ("weights", "compilation", "graphs", "initialization", "warm_up")
    assert inside == {f'llm_serving_startup_seconds{{stage="{part}"}}' for part in parts}


def test_the_parts_of_the_engines_start_never_exceed_the_whole() -> None:
    for device in (CUDA, CPU):
        assert cold_start(EXISTING, device, 0).engine_init == device.init_seconds


def test_the_choices_are_what_settings_and_release_say() -> None:
    plain = StartupChoices.of(GCP, model(), release())
    assert plain == StartupChoices(warm_up=True)
    with_every_choice = model(
        engine={"streamWeights": True, "graphSizes": [1, 2, 2, 4], "warmUp": False},
        compileCache=True,
        warmPool={"placeholders": 2},
    )
    wanted = StartupChoices(weights_streamed=True, compile_cached=True, graphs=3, placeholders=2)
    assert StartupChoices.of(GCP, with_every_choice, release()) == wanted


@pytest.mark.parametrize(
    ("cloud", "repository", "streams"),
    [
        (GCP, "us-east4-docker.pkg.dev/acme/llm/vllm", True),
        (GCP, "docker.io/vllm/vllm-openai", False),
        (GCP, "registry.example/us-docker.pkg.dev/vllm", False),
        (EXISTING, "us-east4-docker.pkg.dev/acme/llm/vllm", False),
    ],
)
def test_images_are_streamed_from_the_clouds_own_registry_only(cloud: Cloud, repository: str, streams: bool) -> None:
    choices = StartupChoices.of(cloud, model(), release(image={"repository": repository, "tag": "1"}))
    assert choices.image_streamed is streams


def test_the_page_on_cold_starts_has_the_numbers_of_the_catalog() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/cold-start.md").read_text()
    stages = {stage.name: stage for stage in start(warm_up=True).stages}
    for stage in stages.values():
        assert stage.measured_by.split("{stage=")[-1].rstrip("}") in page, stage.name
        line, *_ = re.findall(rf"^\| {_IN_PAGE.get(stage.name, stage.name.value)} \|.*$", page, re.MULTILINE)
        if stage.name is not StartupStage.WEIGHTS:
            assert f" {stage.seconds} s" in line
        for shortcut in stage.shortcuts:
            if shortcut.setting.startswith(("engine", "warmPool", "compileCache")):
                assert f"`{shortcut.setting.split(':')[0]}`" in page
    assert f"{16.06e9 / (61 + 33) / 1e6:.0f} MB/s" in page


_IN_PAGE = {
    StartupStage.NODE_START: "node start",
    StartupStage.IMAGE_PULL: "image pull",
    StartupStage.GRAPHS: "CUDA graphs",
    StartupStage.WARM_UP: "warm-up request",
}


def test_a_cloud_without_a_value_is_refused() -> None:
    with pytest.raises(UnknownFact, match="azure"):
        catalog.startup("azure", CUDA.device)
