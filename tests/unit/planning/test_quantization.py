"""What is quantized is refused where it cannot work, and what the Job needs is counted with all the rest."""

from typing import Any

import pytest

from llm_serving import catalog
from llm_serving.errors import Problem
from llm_serving.planning.clouds import EXISTING, GCP
from llm_serving.planning.quantization import gpu_gib, host_gib, plan_quantization, result_bytes
from llm_serving.planning.rules import StackShape, check
from llm_serving.spec import (
    CacheStorageSpec,
    EncoderFacts,
    LoaderSpec,
    ModelFacts,
    QuantizationScheme,
    QuantizationSpec,
    ReleaseSpec,
    StoredQuantization,
    TeamSpec,
)
from tests.unit.planning.builders import entry, existing_pool, model, pool, release, stack

LOADER = LoaderSpec.model_validate({"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}})
CALIBRATION = {"path": "calibration/chat"}


def job(**fields: Any) -> QuantizationSpec:
    defaults = {
        "name": "chat-fp8",
        "team": "search",
        "pool": "l4",
        "base": {"model": "chat", "release": "1.0.0"},
        "scheme": "FP8_DYNAMIC",
        "image": {"repository": "registry.example/quantizer", "tag": "0.1.0"},
    }
    return QuantizationSpec.model_validate(defaults | fields)


BIG = pool(capacity=[entry(machineType="g2-standard-48", max=2)])


def shape(*jobs: QuantizationSpec, **parts: Any) -> StackShape:
    return stack(**({"pools": (BIG,), "loader": LOADER, "quantizations": jobs or (job(),)} | parts))


def single(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def with_facts(**changes: Any) -> ReleaseSpec:
    """A release with facts of its own, of which some are others."""
    facts = catalog.architecture("llama-3.1-8b").facts.model_copy(update=changes)
    plain = {"repository": "a/b", "revision": "0" * 40, "license": "x", "facts": facts}
    return release().model_copy(update={"model": type(release().model).model_validate(plain)})


def test_a_good_quantization_passes() -> None:
    assert check(shape()) == []
    assert check(shape(job(scheme="W4A16", calibration=CALIBRATION))) == []


def test_no_stack_without_quantizations_is_looked_at() -> None:
    assert check(stack()) == []


@pytest.mark.parametrize(
    ("fields", "path", "reason", "suggestion"),
    [
        ({"team": "serch"}, "team", "no such team", "search"),
        ({"pool": "l5"}, "pool", "no such pool", "l4"),
        ({"base": {"model": "chta", "release": "1.0.0"}}, "base.model", "no releases of a model", "chat"),
        ({"base": {"model": "chat", "release": "1.0.1"}}, "base.release", "chat has no such release", "1.0.0"),
        ({"scheme": "W8A8"}, "calibration", "W8A8 needs text", "or scheme FP8_DYNAMIC"),
        ({"calibration": CALIBRATION}, "calibration", "FP8_DYNAMIC calibrates nothing", "leave it out"),
        (
            {"scheme": "NVFP4", "calibration": CALIBRATION | {"sequenceLength": 200000}},
            "calibration.sequenceLength",
            "was made for at most 131072 tokens",
            "2048",
        ),
    ],
)
def test_what_names_nothing_or_does_not_belong_together_is_refused(
    fields: dict[str, Any], path: str, reason: str, suggestion: str
) -> None:
    problem = single(check(shape(job(**fields))))
    assert problem.path == f"quantizations[0].{path}"
    assert reason in problem.reason
    assert suggestion in str(problem.suggestion)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (release(quantization="awq"), "its weights are quantized already (awq)"),
        (with_facts(quantization=StoredQuantization(method="fp8")), "its weights are quantized already (fp8)"),
        (release("mixtral-8x7b"), "it is a mixture of 8 experts"),
        (
            with_facts(encoders=(EncoderFacts.model_validate({
                "modality": "image", "hiddenSize": 1152, "intermediateSize": 4304, "tokens": 256}),)),
            "it reads image beside text",
        ),
        (with_facts(task="embed"), "its task is embed"),
    ],
    ids=["awq", "stored", "mixture", "pictures", "vectors"],
)  # fmt: skip
def test_a_base_that_the_quantizer_refuses_is_refused_before_anything_is_made(base: ReleaseSpec, reason: str) -> None:
    problems = check(shape(models=(), releases=[base]))
    assert [problem.path for problem in problems] == ["quantizations[0].base.release"], list(map(str, problems))
    assert reason in problems[0].reason


def test_groups_of_weights_divide_the_widths_of_layers() -> None:
    odd = with_facts(intermediate_size=14400)
    problem = single(check(shape(job(scheme="W4A16", calibration=CALIBRATION), models=(), releases=[odd])))
    assert (problem.path, problem.suggestion) == ("quantizations[0].scheme", "FP8_DYNAMIC, without calibration")
    assert check(shape(job(scheme="FP8_DYNAMIC"), models=(), releases=[odd])) == []


def test_a_node_holds_the_weights_in_its_memory_and_the_suggestion_does() -> None:
    """An 8B model has 15 GiB of weights, which a machine with 16 GiB does not hold beside the result."""
    small = pool(capacity=[entry(machineType="g2-standard-4", max=3)])
    problem = single(check(shape(pools=(small,), models=())))
    assert problem.path == "quantizations[0].pool"
    assert "GiB of memory, and a node of the pool has" in problem.reason
    machine = str(problem.suggestion).removeprefix("a pool of ")
    node = GCP.gpu_nodes()[machine]
    assert plan_quantization(job(), release(), node, GCP).memory_gib >= host_gib(job(), facts())
    for name, other in GCP.gpu_nodes().items():
        if (other.gpus, other.memory_gib) < (node.gpus, node.memory_gib) and other.accelerator == "L4":
            assert other.memory_gib < host_gib(job(), facts()) + 3, name


def test_a_gpu_holds_what_a_layer_needs() -> None:
    tiny = pool(
        capacity=[entry(machineType="g2-standard-48", max=2)], sharing={"strategy": "time-sharing", "clients": 8}
    )
    spec = job(scheme="W4A16", calibration=CALIBRATION)
    problem = single(check(shape(spec, pools=(tiny,), models=())))
    assert problem.path == "quantizations[0].pool"
    assert "of a GPU, and L4 shared by 8 has" in problem.reason


def facts() -> ModelFacts:
    return catalog.architecture("llama-3.1-8b").facts


def test_calibration_costs_memory_of_host_and_gpu() -> None:
    small = job(scheme="W4A16", calibration=CALIBRATION | {"samples": 128})
    large = job(scheme="W4A16", calibration=CALIBRATION | {"samples": 512})
    # Two values of 16 bits for each of 4096 numbers of a token.
    assert host_gib(large, facts()) - host_gib(small, facts()) == pytest.approx(384 * 2048 * 4096 * 4 / 2**30)
    assert gpu_gib(small, facts()) > gpu_gib(job(), facts())


@pytest.mark.parametrize("scheme", list(QuantizationScheme))
def test_a_result_is_half_of_its_base_or_less(scheme: QuantizationScheme) -> None:
    spec = job(scheme=scheme, calibration=CALIBRATION if scheme.calibrates else None)
    assert result_bytes(spec, facts()) < 0.6 * 2 * facts().parameters


def test_the_job_finds_room_beside_the_models_at_their_most() -> None:
    full = model(replicas=8)
    one_node = pool(capacity=[entry(machineType="g2-standard-96", max=1)])
    problem = single(check(shape(pools=(one_node,), models=(full,))))
    assert problem.path == "quantizations[0].pool"
    assert "8 pod(s) of models and other quantizations want them" in problem.reason
    more = pool(capacity=[entry(machineType="g2-standard-96", max=2)])
    assert check(shape(pools=(more,), models=(full,))) == []


def test_the_jobs_of_a_pool_find_room_beside_each_other() -> None:
    one_gpu = pool(capacity=[entry(machineType="g2-standard-16", max=1)])
    jobs = (job(), job(name="other", scheme="W4A16", calibration=CALIBRATION | {"samples": 64}))
    problem = single(check(shape(*jobs, pools=(one_gpu,), models=())))
    assert problem.path == "quantizations[1].pool"


def test_a_teams_gpu_quota_covers_its_jobs() -> None:
    team = TeamSpec.model_validate({"name": "search", "gpuQuota": 2})
    problem = single(check(shape(teams=(team,))))
    assert (problem.path, problem.suggestion) == ("teams[0].gpuQuota", "3")
    assert "and 1 for quantizations" in problem.reason


def test_one_team_has_the_weights_of_a_base() -> None:
    teams = (TeamSpec(name="search"), TeamSpec(name="chat"))
    problem = single(check(shape(job(team="chat"), teams=teams)))
    assert (problem.path, problem.suggestion) == ("quantizations[0].team", "search")
    assert check(shape(job(team="chat"), teams=teams, models=())) == []


def test_nothing_is_quantized_without_a_loader() -> None:
    assert single(check(shape(loader=None))).path == "loader"


def test_names_are_given_once_and_no_models_folder_is_that_of_results() -> None:
    assert single(check(shape(job(), job()))).path == "quantizations[1].name"
    releases = [release(), release(name="quantized")]
    problem = single(check(shape(models=(model(), model("quantized")), releases=releases)))
    assert (problem.path, "quantized-model" in str(problem.suggestion)) == ("models[1].name", True)


def test_a_gated_base_needs_its_licence_and_a_token() -> None:
    parts = {"models": (), "releases": [release(gated=True)]}
    assert [problem.path for problem in check(shape(**parts))] == [
        "quantizations[0].base.release",
        "quantizations[0].acceptLicense",
    ]
    token = LOADER.model_copy(update={"token_secret": "hub"})
    assert check(shape(job(acceptLicense=True), loader=token, **parts)) == []


def test_a_claim_holds_base_and_result() -> None:
    lab = {
        "cloud": EXISTING,
        "region": "",
        "pools": (existing_pool(),),
        "models": (),
        "quantizations": (job(pool="lab"),),
    }
    claim = {"sizeGib": 20, "accessMode": "ReadWriteMany"}
    problem = single(check(shape(**lab, cache_storage=CacheStorageSpec.model_validate(claim))))
    assert problem.path == "cluster.cacheStorage.sizeGib"
    assert "releases with what is quantized are 2" in problem.reason
    assert check(shape(**lab, cache_storage=CacheStorageSpec.model_validate(claim | {"sizeGib": 30}))) == []
