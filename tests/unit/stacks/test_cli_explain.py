"""``stacks explain`` and the reports tell, for every release of a model, what was decided and why."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_serving import catalog
from llm_serving.catalog import Basis, StartupStage
from llm_serving.errors import ProblemsError
from llm_serving.planning.cold_start import ColdStart, StartupChoices, cold_start
from llm_serving.planning.fit import weight_bytes
from llm_serving.planning.instance_cost import capacity_costs
from llm_serving.planning.timeouts import TIMEOUT_FACTOR
from llm_serving.spec import EngineName, Quantization
from stacks.cli import app
from stacks.outputs import read_outputs
from stacks.report.cluster_view import ClusterView, PodState, PodView
from stacks.report.explain import model_sections
from stacks.report.explain_report import report_models
from stacks.report.sections import plain_text
from stacks.report.stack_report import report_stack, warnings
from stacks.report.summary import summary_sections
from stacks.settings import ServedModel, Stack, parse_settings, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings

MODEL = "qwen3-0-6b"
THREE = {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 10, "replicas": 2}}


def data(**model: Any) -> dict[str, Any]:
    """The stack dev with room for many instances, and a model of which nothing but this is asked."""
    settings = settings_data()
    put(settings, "pools[0].capacity[0].max", 40)
    settings["models"] = [{"name": MODEL, "team": "chat", "pool": "l4", "releases": {"stable": "1.0.0"}} | model]
    return settings


def stack(**model: Any) -> Stack:
    return resolve(parse_settings(data(**model), "Pulumi.dev.yaml"), "Pulumi.dev.yaml")


def explain_output(folder: Path, **model: Any) -> str:
    write_settings(folder, data(**model))
    done = CliRunner().invoke(app, ["explain", "dev", MODEL, "--folder", str(folder)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def row(text: str, *starts: str) -> list[str]:
    """The row whose first cells are these."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    (match,) = [cells for cells in rows if cells[: len(starts)] == list(starts)]
    return match


@pytest.mark.parametrize("name", ["local", "dev", "staging", "prod", "prod-aws"])
def test_every_model_of_every_committed_stack_is_explained(name: str) -> None:
    done = CliRunner().invoke(app, ["explain", name, "--folder", str(REPOSITORY)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    resolved = resolve(read_settings_file(REPOSITORY / f"Pulumi.{name}.yaml"), name)
    for model in resolved.models:
        assert f"Model {model.spec.name}" in done.output
        for served in model.releases:
            assert served.release.sha256[:12] in done.output
            assert f"│ total      │ {served.plan.cold_start.total}" in done.output


def test_a_model_that_is_not_served_is_refused_with_those_that_are() -> None:
    done = CliRunner().invoke(app, ["explain", "dev", "qwen3-8b", "--folder", str(REPOSITORY)])
    assert isinstance(done.exception, ProblemsError)
    assert MODEL in str(done.exception)


def test_each_release_has_its_role_its_share_and_its_instances(tmp_path: Path) -> None:
    text = explain_output(tmp_path, releases=THREE, replicas=3)
    assert row(text, "1.1.0", "stable")[-1] == "3"
    assert row(text, "1.0.0", "canary")[-1] == "2"
    assert "1.0.0: canary, weight 10 % not in force: no gateway" in text
    # Their contexts differ, so they are planned apart.
    assert "One instance of 1.1.0" in text
    assert "One instance of 1.0.0" in text
    assert "Cold start of 1.1.0, 1.0.0" in text


@pytest.mark.parametrize(
    ("quantization", "repository", "text"),
    [
        (
            "fp8",
            "meta-llama/Llama-3.1-8B-Instruct",
            "99.7 % in OpenLLM v1, 101.2 % in OpenLLM v2, 105.4 % in Arena-Hard",
        ),
        (
            "fp8",
            "meta-llama/Llama-3.1-8B-Instruct",
            "(of another checkpoint, RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8",
        ),
        (
            "gptq",
            "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16",
            "93 % in Arena-Hard, 99.7 % in HumanEval (RedHat",
        ),
        ("awq", "meta-llama/Llama-3.1-8B-Instruct", "quality in awq: not measured"),
    ],
)
def test_what_a_quantization_costs_is_told_with_its_source_or_as_not_measured(
    quantization: str, repository: str, text: str
) -> None:
    (report,) = report_models(stack(), MODEL).models
    assert "quality" not in plain_text(model_sections(report))
    quality = catalog.quantization_quality(repository, Quantization(quantization))
    changed = {"quantization": quantization, "repository": repository, "quality": quality}
    release = report.releases[0].model_copy(update=changed)
    assert text in plain_text(model_sections(report.model_copy(update={"releases": (release,)})))


def test_the_drain_is_held_against_the_clouds_notice(tmp_path: Path) -> None:
    text = explain_output(tmp_path)
    grace, notice = int(row(text, "grace period")[1]), int(row(text, "the cloud's notice")[1])
    assert grace <= notice
    assert f"{notice - grace} s to spare" in text


def test_a_request_that_a_drain_may_cut_is_told(tmp_path: Path) -> None:
    assert (
        "may be cut"
        in row(explain_output(tmp_path, drain={"longestRequestSeconds": 600}), "the longest request", "600")[2]
    )
    assert (
        "ends within"
        in row(explain_output(tmp_path, drain={"longestRequestSeconds": 5}), "the longest request", "5")[2]
    )


def test_signals_and_bounds_of_a_model_that_scales_are_told(tmp_path: Path) -> None:
    night = {"start": "0 8 * * *", "end": "0 18 * * *", "replicas": 4}
    scaling = {"min": 2, "max": 6, "queueDepth": 7, "ttftSeconds": 1.5, "schedules": [night]}
    text = explain_output(tmp_path, autoscaling=scaling)
    assert row(text, "1.0.0 (stable)")[1] == "2-6"
    for words in (
        "more than 7 waiting requests",
        "over 1.5 s",
        "GPU utilization over 80 %",
        "at least 4 from 0 8 * * *",
        "down: 50 % a minute after 300 s",
    ):
        assert words in text


def test_priority_and_placeholders_are_told(tmp_path: Path) -> None:
    text = explain_output(tmp_path, serviceClass="batch", warmPool={"placeholders": 2})
    assert row(text, "priority")[1] == "batch"
    assert row(text, "placeholders")[1] == "2"


def test_the_cost_is_the_models_share_of_its_nodes() -> None:
    prod = resolve(read_settings_file(REPOSITORY / "Pulumi.prod.yaml"), "prod")
    model = next(model for model in prod.models if model.spec.name == "qwen3-32b")
    pool = next(pool for pool in prod.settings.pools if pool.name == model.spec.pool)
    costs = capacity_costs(prod.cloud, prod.settings.region, pool, model.spec, [model.plan.gpus])
    spot = next(cost for cost in costs if cost.market == "spot")
    assert model.plan.gpus == 2
    assert spot.instance is not None
    assert spot.fewest == pytest.approx(model.spec.fewest_replicas * spot.instance)
    assert spot.most == pytest.approx(model.spec.most_replicas * spot.instance)
    # A node of 8 GPUs at 20.0448 USD an hour (catalog).
    assert spot.instance == pytest.approx(20.0448 * 2 / 8, abs=0.01)


def pod(name: str, release: str, node: str = "node", state: PodState = PodState.READY) -> PodView:
    return PodView(name=name, namespace="chat", model=MODEL, release=release, node=node, state=state)


def summary(served: Stack, view: ClusterView) -> str:
    urls = {"url": "http://model", "releaseUrls": {"1.0.0": "http://canary"}}
    outputs = read_outputs({"models": {MODEL: {**urls, "release": "1.1.0", "deployment": f"{MODEL}-1-1-0"}}})
    return plain_text(summary_sections(report_stack(served, outputs, view)))


def test_the_summary_has_a_row_for_each_release_with_its_own_pods() -> None:
    pods = (pod("a", "1.1.0", "node-a"), pod("b", "1.0.0", "node-b"), pod("c", "1.0.0", "node-c"))
    lines = [line.split() for line in summary(stack(releases=THREE), ClusterView(nodes=(), pods=pods)).splitlines()]
    for release, node in (("1.1.0", "node-a"), ("1.0.0", "node-b"), ("1.0.0", "node-c")):
        assert [MODEL, release, "ready", node] in lines
    for release, address in (("1.1.0", "http://model"), ("1.0.0", "http://canary")):
        assert [MODEL, f"{release}:", address, "(inside", "the", "cluster)"] in lines


def test_a_release_with_too_few_pods_is_told_whatever_the_others_have() -> None:
    view = ClusterView(nodes=(), pods=tuple(pod(name, "1.1.0") for name in "abc"))
    assert warnings(stack(releases=THREE), view) == [f"{MODEL} 1.0.0: 0 of 2 pods exist"]


def test_nothing_is_explained_that_nothing_provides(tmp_path: Path) -> None:
    scaled = {"autoscaling": {"max": 2}}
    launched = explain_output(tmp_path, **scaled)
    assert row(launched, "1.0.0", "comes with the release")[3:] == ["one request", "utilization, by NVML"]
    assert "no launcher" not in launched
    alone = explain_output(tmp_path, engine={"launcher": False}, **scaled)
    assert row(alone, "1.0.0", "none")[2:] == ["vllm's own way, not counted", "none", "none"]
    assert "warm up" not in alone
    assert "llm_serving_startup_seconds" not in alone
    assert "weights: nothing measures it" in alone
    assert "no launcher reports it: the exporter that the cloud runs does, and Prometheus reads it" in alone
    assert "gpuUtilization" not in alone
    assert "gpuUtilization" not in launched


def test_a_gpu_signal_that_nothing_brings_is_told() -> None:
    settings = data(autoscaling={"max": 2}, engine={"launcher": False})
    settings["addons"] = {"dcgmExporter": "existing"}
    (model,) = report_models(resolve(parse_settings(settings, "dev"), "dev")).models
    text = plain_text(model_sections(model))
    assert "no launcher reports it: only where Prometheus has NVIDIA's exporter" in text
    assert "llm-serving:models[0].autoscaling.gpuUtilization = 80: nothing of this stack measures it" in text


def test_a_model_on_cpus_is_not_said_to_scale_by_what_gpus_do() -> None:
    local = settings_data("local")
    put(local, "models[0].autoscaling", {"max": 2})
    (model,) = report_models(resolve(parse_settings(local, "local"), "local")).models
    text = plain_text(model_sections(model))
    assert "more than 10 waiting requests" in text
    assert "GPU utilization" not in text


def test_where_signals_come_from_is_told_where_prometheus_is_somebody_elses() -> None:
    settings = data(autoscaling={"max": 2})
    settings["addons"] = {"monitoring": "existing", "prometheusUrl": "http://prometheus.theirs.svc:9090"}
    (model,) = report_models(resolve(parse_settings(settings, "dev"), "dev")).models
    text = plain_text(model_sections(model))
    assert "from http://prometheus.theirs.svc:9090, which must read PodMonitors" in text


def test_the_stages_of_an_engine_that_tells_none_are_not_said_to_be_measured() -> None:
    release = stack().models[0].release.spec
    sglang = release.model_copy(update={"engine": release.engine.model_copy(update={"name": EngineName.SGLANG})})
    choices = StartupChoices.of(stack().cloud, stack().models[0].spec, sglang)
    assert choices.measured_by(StartupStage.WEIGHTS) is None
    assert choices.measured_by(StartupStage.WARM_UP) is not None
    assert choices.measured_by(StartupStage.NODE_START) is not None


def committed(name: str) -> Stack:
    return resolve(read_settings_file(REPOSITORY / f"Pulumi.{name}.yaml"), name)


def cautious_start(served: Stack, model: ServedModel) -> ColdStart:
    """The cold start of a model of which no setting asks for a faster one."""
    device = catalog.device(catalog.accelerator(model.node.accelerator).device)
    architecture = catalog.model_facts(model.release.spec.model)
    weights = weight_bytes(architecture, model.release.spec.quantization)
    return cold_start(served.cloud, device, weights, choices=StartupChoices(warm_up=True))


def test_the_models_of_prod_start_in_at_most_half_of_the_time_by_settings_that_ship() -> None:
    prod = committed("prod")
    for model in prod.models:
        cautious, shipped = cautious_start(prod, model), model.plan.cold_start
        assert shipped.total <= cautious.total / 2
        # Each saving has a measurement that somebody published, and says which.
        for before, after in zip(cautious.stages, shipped.stages, strict=True):
            if after.seconds < before.seconds:
                assert after.basis in (Basis.PUBLISHED, Basis.MEASURED)
                assert after.source


def test_the_page_on_cold_starts_has_the_figures_of_the_committed_stacks() -> None:
    page = (REPOSITORY / "docs/cold-start.md").read_text(encoding="utf-8")
    section = page.partition("## What the committed stacks do")[2].partition("\n## ")[0]
    table = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    prod, dev = committed("prod"), committed("dev")
    for column, model in enumerate(prod.models, start=2):
        assert table[0][column].strip("`") == model.spec.name
        cautious, shipped = cautious_start(prod, model), model.plan.cold_start
        written = [row[column] for row in table[2:]][: len(shipped.stages) + 1]
        pairs = [(before.seconds, after.seconds) for before, after in zip(cautious.stages, shipped.stages, strict=True)]
        pairs.append((cautious.total, shipped.total))
        assert written == [str(after) if before == after else f"{before} -> {after}" for before, after in pairs]
    (small,) = dev.models
    assert f"({cautious_start(dev, small).total} -> {small.plan.cold_start.total})" in section
    held = next(model for model in prod.models if model.spec.warm_pool.placeholders)
    assert table[-1][2] == str(held.plan.cold_start.total - held.plan.cold_start.node_start)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_an_update_waits_long_enough_for_an_image_that_is_not_streamed_yet(name: str) -> None:
    """GKE streams an image once its service has cached it, and the first node pulls all of it (its documentation, "Use
    Image streaming to pull container images", limitations)."""
    shipped = committed(name)
    pulled = cold_start(shipped.cloud, catalog.device("cuda"), 0).image_pull
    for model in shipped.models:
        start = model.plan.cold_start
        assert start.image_pull < pulled
        assert start.total - start.image_pull + pulled <= TIMEOUT_FACTOR * start.total


@pytest.mark.parametrize("name", ["dev", "staging", "prod", "prod-aws"])
def test_engines_of_cloud_stacks_refuse_requests_that_would_wait_too_long(name: str) -> None:
    shipped = committed(name)
    for model in shipped.models:
        options = model.spec.engine
        assert options.max_queued_requests
        # No batch is larger than the largest graph, or it would run without one.
        assert options.max_sequences == max(options.graph_sizes)
