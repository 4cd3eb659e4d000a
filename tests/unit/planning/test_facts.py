"""A release that carries its model's facts is planned for by them: what each kind of layer keeps, what is stored."""

from dataclasses import replace

import pytest

from llm_serving import catalog
from llm_serving.arguments import parse
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import GCP
from llm_serving.planning.cold_start import warms_up
from llm_serving.planning.fit import (
    Demands,
    Parallelism,
    gpu_weight_bytes,
    kv_bytes_per_request,
    kv_bytes_per_token,
    memory_budget,
    parallelism_obstacle,
    weight_bytes,
)
from llm_serving.planning.host import HostShare
from llm_serving.planning.rules import check
from llm_serving.serving.engines import EngineRequest, engine
from llm_serving.spec import EngineName, ModelFacts, ModelSource, Quantization, ReleaseSpec, release_hash
from tests.unit.planning.builders import model, plan_instance, release, stack

ONE = Parallelism()
SOURCE = {"repository": "publisher/model", "revision": "0" * 40, "license": "apache-2.0"}
FULL = {"attention": "full", "count": 36, "kvHeads": 8, "headDim": 128}


def facts(*layers, **fields):
    """Qwen3-8B, with other layers and other fields."""
    return ModelFacts.model_validate(
        {
            "architecture": "Qwen3ForCausalLM",
            "layers": list(layers or (FULL,)),
            "hiddenSize": 4096,
            "heads": 32,
            "intermediateSize": 12288,
            "vocabulary": 151936,
            "maxContext": 40960,
            "parameters": 8190735360,
        }
        | fields
    )


def released(**fields):
    spec = release()
    source = ModelSource.model_validate({**SOURCE, "facts": facts(**fields)})
    return spec.model_copy(update={"model": source})


def budget(model_facts, context=32768, parallelism=ONE):
    host = HostShare(cpu=8, memory_gib=64, shm_gib=1)
    demands = Demands(context_length=context)
    gpu = catalog.accelerator("H100-80GB")
    return memory_budget(model_facts, Quantization.NONE, gpu, parallelism, 0.9, host, demands)


def test_a_model_is_planned_by_its_own_facts_as_by_its_row_in_the_catalog():
    node = GCP.machine_node("a3-highgpu-1g")
    own, named = (plan_instance(model(), spec, node) for spec in (released(), release("qwen3-8b")))
    assert own.kv_cache_tokens == named.kv_cache_tokens
    assert own.tensor_parallelism == named.tensor_parallelism == 1


def test_facts_are_taken_as_programs_in_other_languages_send_them():
    """The plugin protocol has no integers, and Python's consumers write keys in their own way."""

    def sent(value):
        if isinstance(value, dict):
            return {key: sent(item) for key, item in value.items()}
        if isinstance(value, list):
            return [sent(item) for item in value]
        return float(value) if type(value) is int else value

    whole = facts(weights={"BF16": 16381470720}, experts={"count": 8, "active": 2, "width": 512, "layers": 36})
    for by_alias in (True, False):
        assert parse(ModelFacts, sent(whole.model_dump(mode="json", by_alias=by_alias))) == whole


@pytest.mark.parametrize("shape", [{}, {"architecture": "qwen3-8b", "facts": facts()}])
def test_a_release_has_its_shape_from_exactly_one_place(shape):
    with pytest.raises(ProblemsError) as caught:
        parse(ModelSource, {**SOURCE, **shape})
    assert caught.value.problems[0].path == "architecture"


def test_a_release_without_facts_keeps_the_hash_that_it_had():
    data = release().model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert "facts" not in data["model"]
    assert release_hash(data) == release_hash(ReleaseSpec.model_validate(data))


@pytest.mark.parametrize(
    ("layer", "key"),
    [
        ({"attention": "full", "count": 1}, "kvHeads"),
        ({"attention": "sliding", "count": 1, "kvHeads": 1, "headDim": 64}, "window"),
        ({"attention": "latent", "count": 1}, "latentDim"),
        ({"attention": "state", "count": 1}, "stateBytes"),
    ],
)
def test_a_kind_of_layer_needs_its_sizes(layer, key):
    with pytest.raises(ProblemsError) as caught:
        parse(ModelFacts, facts().model_dump(mode="json", by_alias=True) | {"layers": [layer]})
    assert caught.value.problems[0].path == f"layers[0].{key}"


def test_every_gpu_holds_all_of_a_latent_vector():
    deepseek = facts({"attention": "latent", "count": 61, "latentDim": 576})
    assert kv_bytes_per_token(deepseek, 1) == kv_bytes_per_token(deepseek, 8) == 61 * 576 * 2


def test_a_window_takes_no_more_of_a_longer_request():
    windowed = facts(
        {"attention": "sliding", "count": 18, "kvHeads": 8, "headDim": 64, "window": 128},
        {"attention": "full", "count": 18, "kvHeads": 8, "headDim": 64},
    )
    assert kv_bytes_per_token(windowed) == 18 * 2 * 8 * 64 * 2
    short, long, longer = (kv_bytes_per_request(windowed, ONE, context, 2048) for context in (1024, 65536, 131072))
    assert short == 18 * 1024 * 2 * 8 * 64 * 2
    assert short < long == longer
    keeps_all = facts({"attention": "full", "count": 36, "kvHeads": 8, "headDim": 64})
    assert budget(windowed, 131072).concurrency(131072) > 1.5 * budget(keeps_all, 131072).concurrency(131072)


def test_a_state_is_as_large_for_every_length_and_cut_over_the_gpus():
    hybrid = facts({"attention": "state", "count": 48, "stateBytes": 3207168}, FULL | {"count": 16})
    assert kv_bytes_per_request(hybrid, ONE, 256, 2048) == kv_bytes_per_request(hybrid, ONE, 40960, 2048)
    assert kv_bytes_per_request(hybrid, Parallelism(tensor=2), 256, 2048) == 48 * 3207168 // 2
    assert kv_bytes_per_token(hybrid) == 16 * 2 * 8 * 128 * 2


def test_an_encoder_keeps_nothing_and_is_held_by_its_weights_alone():
    encoder = facts({"attention": "none", "count": 24}, maxContext=512)
    assert budget(encoder, 512).kv_bytes_per_token == 0
    assert budget(encoder, 512).concurrency(512) >= 1


def test_what_is_served_as_it_is_stored_takes_what_was_counted():
    stored = {"weights": {"BF16": 2_000_000_000, "F8_E4M3": 7_000_000_000}}
    quantized = facts(quantization={"method": "fp8"}, **stored)
    assert weight_bytes(quantized, Quantization.FP8) == 9e9
    assert gpu_weight_bytes(quantized, Quantization.FP8, ONE) == pytest.approx(9e9)
    # Converted by the engine while it loads, nobody has counted them yet.
    sixteen = facts(weights={"BF16": 16_381_470_720})
    assert weight_bytes(sixteen, Quantization.NONE) == 16_381_470_720
    assert weight_bytes(sixteen, Quantization.FP8) < 10e9


def vectors(**fields):
    """A release of a model that makes vectors."""
    return released(task="embed", **fields)


def test_a_model_that_makes_vectors_is_started_for_that_and_asked_for_no_text():
    node = GCP.machine_node("a3-highgpu-1g")
    spec, chat = vectors(), released()
    plan = plan_instance(model(), spec, node)
    request = EngineRequest(plan, spec, model().engine, "/weights")
    assert "--runner=pooling" in engine(EngineName.VLLM).command(request)
    assert "--runner=pooling" not in engine(EngineName.VLLM).command(replace(request, release=chat))
    assert warms_up(model(), chat)
    assert not warms_up(model(), spec)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": {"autoscaling": {"max": 4, "ttftSeconds": 2}}}, "models[0].autoscaling.ttftSeconds"),
        ({"release": {"engine": {"name": "sglang", "version": "0.5.23"}}}, "models[0].releases.stable"),
        ({"model": {"engine": {"flags": {"runner": "generate"}}}}, "models[0].engine.flags.runner"),
    ],
)
def test_what_asks_for_text_of_a_model_that_writes_none_is_refused(fields, path):
    spec = ReleaseSpec.model_validate(vectors().model_dump(mode="json") | fields.get("release", {}))
    shape = stack(releases=[spec], models=(model(**fields.get("model", {})),))
    assert path in [problem.path for problem in check(shape)]


def test_weights_that_stay_in_host_memory_leave_room_on_the_gpu_and_take_it_from_the_host():
    """70 billion parameters in 8 bits: 71 GiB, of which an H100 with 40 GiB of them elsewhere holds the rest."""
    spec = release("llama-3.1-70b", quantization="fp8")
    node = GCP.machine_node("a3-highgpu-1g")
    with pytest.raises(ProblemsError, match="does not fit"):
        plan_instance(model(), spec, node)
    offloading = model(engine={"flags": {"cpu-offload-gb": 40}})
    assert plan_instance(offloading, spec, node).kv_cache_gib > 20
    with pytest.raises(ProblemsError, match=r"600 of weights \(engine\.flags\.cpu-offload-gb\)"):
        plan_instance(model(engine={"flags": {"cpu-offload-gb": 600}}), spec, node)


@pytest.mark.parametrize(
    ("gpu", "step"),
    [
        ("L4", 2048), ("A100-80GB", 2048), ("H100-80GB", 8192), ("RTX-PRO-6000", 8192), ("B200", 16384), ("B300", 16384)
    ],
)  # fmt: skip
def test_the_default_step_is_that_of_the_gpu(gpu, step):
    accelerator = catalog.accelerator(gpu)
    assert accelerator.step_tokens == step
    host = HostShare(cpu=8, memory_gib=64, shm_gib=1)
    by_default, asked = (
        memory_budget(facts(), Quantization.NONE, accelerator, ONE, 0.9, host, Demands(step_tokens=tokens))
        for tokens in (None, step)
    )
    assert by_default == asked


def test_layers_with_other_kv_heads_must_be_cut_evenly_too():
    gemma = facts({"attention": "full", "count": 5, "kvHeads": 2, "headDim": 512}, FULL | {"kvHeads": 6})
    assert "6 KV heads" in parallelism_obstacle(gemma, Quantization.NONE, Parallelism(tensor=4))
    assert parallelism_obstacle(gemma, Quantization.NONE, Parallelism(tensor=2)) == ""
