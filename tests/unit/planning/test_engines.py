"""What an engine cannot do, or would not start with, is refused where it was asked for, with what works instead."""

import pytest

from llm_serving import catalog
from llm_serving.catalog import Feature
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.rules.engines import check_engines, requested_features
from llm_serving.spec import EncoderFacts, EngineName, Quantization, ReleaseSpec, Task
from tests.unit.planning.builders import existing_pool, model, plan_instance, release, stack

VLLM = {"name": "vllm", "version": "0.32.0"}
SGLANG = {"name": "sglang", "version": "0.5.23"}
NGRAM = '{"method": "ngram", "num_speculative_tokens": 3}'
TGI = {"name": "tgi", "version": "3.3.5"}
TRITON = {"name": "triton", "version": "25.10.0"}


def adapter(name="sql", rank=16):
    return {"name": name, "repository": "acme/sql", "revision": "c" * 40, "rank": rank}


def problems(release_spec=None, model_spec=None, **parts):
    return list(check_engines(stack(models=(model_spec or model(),), releases=[release_spec or release()], **parts)))


def single_problem(release_spec=None, model_spec=None, **parts):
    (problem,) = problems(release_spec, model_spec, **parts)
    return problem


def options(**fields):
    return model(engine=fields)


def with_pictures(release_spec: ReleaseSpec) -> ReleaseSpec:
    """The same model, which now reads pictures and videos."""
    encoders = [EncoderFacts(modality=each, hidden_size=1152, intermediate_size=4304) for each in ("image", "video")]
    facts = catalog.model_facts(release_spec.model).model_copy(update={"encoders": tuple(encoders)})
    source = release_spec.model.model_copy(update={"architecture": None, "facts": facts})
    return release_spec.model_copy(update={"model": source})


def test_a_plain_model_is_served_by_vllm_sglang_and_the_two_others():
    assert not problems()
    for engine in (SGLANG, TGI, TRITON):
        assert not problems(release(engine=engine))


EVERYTHING = {
    "pipelineParallelism": 2,
    "dataParallelism": 2,
    "expertParallel": True,
    "chunkedPrefill": True,
    "prefixCaching": False,
    "maxBatchedTokens": 16384,
    "maxSequences": 64,
    "maxQueuedRequests": 32,
    "maxQueuedTokens": 100000,
    "streamWeights": True,
    "graphSizes": [1, 2],
    "mediaPerPrompt": {"image": 2},
    "maxLoras": 2,
    "maxLoraRank": 32,
}
ADAPTED = {
    "adapters": [adapter()],
    "sampling": {"top_k": 20},
    "kvCache": "fp8",
    "chatTemplate": "{{ messages }}",
    "toolParser": "hermes",
    "reasoningParser": "qwen3",
}


def test_vllm_does_all_that_can_be_asked_for_but_to_refuse_structured_outputs():
    model_spec = model(tensorParallelism=2, engine={**EVERYTHING, "nodes": 2, "structuredOutputs": False})
    release_spec = with_pictures(release(quantization="fp8", **ADAPTED))
    problem = single_problem(release_spec, model_spec)
    assert problem.path == "models[0].engine.structuredOutputs"
    assert "sglang or tgi" in problem.suggestion


def test_everything_that_can_be_asked_for_is_looked_up():
    """But for what follows from the pool, and the shutdown timeout, without which the grace period takes its place."""
    model_spec = model(tensorParallelism=2, engine={**EVERYTHING, "nodes": 2, "structuredOutputs": False})
    features = set()
    for quantization in Quantization:
        release_spec = release(quantization=quantization, **ADAPTED)
        shape = catalog.model_facts(release_spec.model).model_copy(update={"task": Task.EMBED})
        source = release_spec.model.model_copy(update={"architecture": None, "facts": shape})
        release_spec = release_spec.model_copy(update={"model": source})
        features |= {feature for feature, _, _ in requested_features("models[0]", "there", model_spec, release_spec)}
    assert features == set(Feature) - {Feature.CPU, Feature.SHUTDOWN_TIMEOUT}


@pytest.mark.parametrize("engine", [SGLANG, TGI, TRITON], ids=lambda engine: engine["name"])
def test_what_an_engine_lacks_is_refused_with_the_reason_and_an_engine_that_has_it(engine):
    release_spec = release(engine=engine, quantization="bitsandbytes", **ADAPTED)
    model_spec = model(tensorParallelism=2, engine={**EVERYTHING, "nodes": 2, "structuredOutputs": False})
    features = catalog.engine_features(EngineName(engine["name"]))
    by_reason = {problem.reason: problem for problem in problems(release_spec, model_spec)}
    for feature, path, _ in requested_features("models[0]", "models[0].releases.stable", model_spec, release_spec):
        matching = [
            problem
            for reason, problem in by_reason.items()
            if features[feature].why and features[feature].why in reason
        ]
        assert bool(matching) == (not features[feature].has), feature
        if matching:
            having = [name for name in EngineName if catalog.engine_features(name)[feature].has]
            assert matching[0].path == path or len(matching) > 1
            assert all(name.value in matching[0].suggestion for name in having) or len(matching) > 1


@pytest.mark.parametrize("engine", [VLLM, SGLANG, TGI, TRITON], ids=lambda engine: engine["name"])
def test_gguf_is_refused_everywhere_with_a_quantization_that_works(engine):
    problem = single_problem(release(engine=engine, quantization="gguf"))
    assert problem.path == "models[0].releases.stable"
    assert "awq" in problem.suggestion
    assert not problems(release(engine=engine, quantization="awq"))


def test_bitsandbytes_is_refused_by_vllm_and_served_by_tgi():
    problem = single_problem(release(quantization="bitsandbytes"))
    assert "vllm-bnb-plugin" in problem.reason
    assert problem.suggestion == "a release with tgi"
    assert not problems(release(engine=TGI, quantization="bitsandbytes"))


@pytest.mark.parametrize(
    ("gpu", "quantization"),
    [("B200", "int8"), ("CPU", "fp8"), ("CPU", "bitsandbytes"), ("CPU", "awq"), ("CPU", "gptq")],
)
def test_a_quantization_that_the_gpu_has_no_kernels_for_is_refused(gpu, quantization):
    pool = existing_pool(accelerator=gpu)
    shape = stack(cloud=EXISTING, pools=(pool,), models=(model(pool="lab"),), releases=[release()])
    with pytest.raises(ProblemsError, match="kernels for"):
        plan_instance(model(pool="lab"), release("llama-3.1-8b", quantization=quantization), shape.node("lab"))


def test_every_release_that_serves_is_checked_and_what_they_share_is_said_once():
    old = release(version="0.9.0", quantization="gguf")
    new = release(version="1.1.0", toolParser="hermès")
    model_spec = model(
        releases={"stable": "1.0.0", "canary": {"release": "1.1.0", "weight": 5}, "previous": "0.9.0"},
        engine={"flags": {"no-such-flag": 1}},
    )
    refusals = list(check_engines(stack(models=(model_spec,), releases=[release(), new, old])))
    assert sorted(problem.path for problem in refusals) == [
        "models[0].engine.flags.no-such-flag",
        "models[0].releases.canary.release",
        "models[0].releases.previous",
    ]


def test_a_version_whose_flags_nobody_recorded_is_refused_with_one_whose_were():
    problem = single_problem(release(engine={"name": "vllm", "version": "0.33.0"}))
    assert problem.path == "models[0].releases.stable"
    assert "vllm 0.32.0" in problem.suggestion


def test_our_launchers_images_hold_vllm_alone():
    image = {"repository": "r", "tag": "t", "launcher": True}
    assert not problems(release(image=image))
    assert "launcher false" in single_problem(release(engine=SGLANG, image=image)).suggestion


def test_engines_made_for_gpus_are_refused_on_cpus():
    pool = existing_pool(accelerator="CPU")
    parts = {"cloud": EXISTING, "pools": (pool,)}
    model_spec = model(pool="lab")
    assert not problems(model_spec=model_spec, **parts)
    problem = single_problem(release(engine=SGLANG), model_spec, **parts)
    assert problem.path == "models[0].pool"
    assert "vllm" in problem.suggestion


def test_stages_do_not_run_on_cpus():
    parts = {"cloud": EXISTING, "pools": (existing_pool(accelerator="CPU"),)}
    problem = single_problem(model_spec=model(pool="lab", engine={"pipelineParallelism": 2}), **parts)
    assert problem.path == "models[0].engine.pipelineParallelism"
    assert "tensorParallelism" in problem.suggestion


@pytest.mark.parametrize(
    ("name", "value", "suggestion"),
    [
        ("max-num-seqz", 4, "engine.maxSequences"),
        ("enable-mfu-metric", True, "enable-mfu-metrics"),
        ("speculative-confg.method", "ngram", "speculative-config"),
        ("no-async-scheduling", True, "async-scheduling: false"),
    ],
)
def test_a_flag_that_the_pinned_version_does_not_know_is_refused_with_the_nearest(name, value, suggestion):
    problem = single_problem(model_spec=options(flags={name: value}))
    assert problem.path == f"models[0].engine.flags.{name}"
    assert problem.value == value
    assert suggestion in problem.suggestion


def test_a_flag_like_no_other_is_refused_without_a_list_of_all():
    assert single_problem(model_spec=options(flags={"xyzzy": 1})).suggestion == ""


@pytest.mark.parametrize(
    ("engine", "name", "setting"),
    [
        (VLLM, "served-model-name", "name"),
        (VLLM, "tensor-parallel-size", "tensorParallelism"),
        (VLLM, "max-num-seqs", "engine.maxSequences"),
        (VLLM, "max-model-len", "contextLength"),
        (VLLM, "shutdown-timeout", "drain.shutdownTimeoutSeconds"),
        (VLLM, "compilation-config.cudagraph_capture_sizes", "engine.graphSizes"),
        (VLLM, "device-memory-utilization", "gpuMemoryUtilization"),
        (VLLM, "port", "leave it out"),
        (VLLM, "api-key", "leave it out"),
        (SGLANG, "tp-size", "tensorParallelism"),
        (SGLANG, "tensor-parallel-size", "tensorParallelism"),
        (SGLANG, "mem-fraction-static", "gpuMemoryUtilization"),
        (SGLANG, "host", "leave it out"),
    ],
)
def test_a_flag_that_something_else_decides_is_refused_with_what_does(engine, name, setting):
    problem = single_problem(release(engine=engine), options(flags={name: 1}))
    assert problem.path == f"models[0].engine.flags.{name}"
    assert setting in problem.suggestion


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        (
            VLLM,
            {"async-scheduling": False, "seed": 7, "scheduling-policy": "priority", "max-num-scheduled-tokens": "1k"},
        ),
        (VLLM, {"compilation-config.mode": 3, "speculative-config": NGRAM, "watermark": 0.1}),
        (SGLANG, {"schedule-policy": "lpm", "disable-overlap-schedule": True, "random-seed": 7.0}),
        (SGLANG, {"cuda-graph-prefill-max-context": "16k", "schedule-conservativeness": 0.3, "gpu-id-step": 1}),
    ],
)
def test_flags_that_the_engine_knows_pass_with_values_that_it_takes(engine, flags):
    assert not problems(release(engine=engine), options(flags=flags))


@pytest.mark.parametrize(
    ("engine", "name", "value", "reason"),
    [
        (VLLM, "async-scheduling", "yes", "true or false"),
        (VLLM, "aggregate-engine-logging", False, "nothing to turn off"),
        (VLLM, "seed", "seven", "whole number"),
        (VLLM, "seed", True, "whole number"),
        (VLLM, "watermark", "much", "number"),
        (VLLM, "speculative-config", '{"method": ', "JSON"),
        (VLLM, "scheduling-policy", "prio", "values"),
        (SGLANG, "schedule-policy", "lpn", "values"),
        (SGLANG, "cuda-graph-config.decode", 1, "no parts"),
        (SGLANG, "random-seed", "1k", "whole number"),
        (SGLANG, "random-seed", 1.5, "whole number"),
        (SGLANG, "schedule-conservativeness", "much", "number"),
        (SGLANG, "schedule-conservativeness", -1, "at least 0"),
        (SGLANG, "gpu-id-step", 0, "at least 1"),
        (SGLANG, "tokenizer-worker-num", 0, "more than 0"),
        (VLLM, "seed.x", 1, "no parts"),
    ],
)
def test_a_value_that_a_flag_does_not_take_is_refused(engine, name, value, reason):
    problem = single_problem(release(engine=engine), options(flags={name: value}))
    assert problem.path == f"models[0].engine.flags.{name}"
    assert reason in problem.reason


def test_engines_whose_flags_nobody_recorded_take_none():
    problem = single_problem(release(engine=TGI), options(flags={"max-batch-size": 4}))
    assert problem.path == "models[0].engine.flags"


def test_a_step_holds_a_whole_prompt_where_prompts_are_not_cut():
    problem = single_problem(model_spec=options(chunkedPrefill=False, maxBatchedTokens=4096))
    assert (problem.path, problem.suggestion) == ("models[0].engine.maxBatchedTokens", "8192")
    assert not problems(model_spec=options(chunkedPrefill=False, maxBatchedTokens=8192))
    assert not problems(model_spec=options(maxBatchedTokens=4096))
    assert single_problem(release(engine=TGI), options(maxBatchedTokens=4096)).suggestion == "8192"


def test_a_step_has_a_token_for_each_request_of_a_batch():
    assert "256" in single_problem(model_spec=options(maxBatchedTokens=128, maxSequences=256)).suggestion


def test_vllm_must_know_how_many_run_to_cap_those_that_wait():
    assert single_problem(model_spec=options(maxQueuedRequests=8)).path == "models[0].engine.maxSequences"
    assert not problems(model_spec=options(maxQueuedRequests=8, maxSequences=32))
    assert not problems(release(engine=SGLANG), options(maxQueuedRequests=8))


def test_sglang_has_one_copy_where_an_instance_spans_nodes():
    model_spec = options(nodes=2, dataParallelism=2)
    assert single_problem(release(engine=SGLANG), model_spec).path == "models[0].engine.dataParallelism"
    assert not problems(model_spec=model_spec)


def test_adapters_need_room():
    problem = single_problem(release(adapters=[adapter(), adapter("prose")]))
    assert (problem.path, problem.value, problem.suggestion) == ("models[0].engine.maxLoras", 0, "2")


@pytest.mark.parametrize(("cap", "rank", "suggestion"), [(16, 17, "32"), (64, 65, "128"), (16, 512, "512")])
def test_a_rank_beyond_the_cap_is_refused_with_a_cap_that_the_engine_takes(cap, rank, suggestion):
    problem = single_problem(release(adapters=[adapter(rank=rank)]), options(maxLoras=1, maxLoraRank=cap))
    assert (problem.path, problem.suggestion) == ("models[0].engine.maxLoraRank", suggestion)
    assert not problems(release(adapters=[adapter(rank=rank)]), options(maxLoras=1, maxLoraRank=int(suggestion)))


def test_a_cap_that_the_engine_does_not_take_is_refused():
    problem = single_problem(release(adapters=[adapter()]), options(maxLoras=1, maxLoraRank=24))
    assert (problem.path, problem.suggestion) == ("models[0].engine.maxLoraRank", "32")


def test_adapters_have_names_of_their_own():
    model_spec = options(maxLoras=2)
    assert "name of the model" in single_problem(release(adapters=[adapter("chat")]), model_spec).reason
    assert "two of its adapters" in single_problem(release(adapters=[adapter(), adapter()]), model_spec).reason


@pytest.mark.parametrize(
    ("engine", "field", "name", "near"),
    [
        (VLLM, "toolParser", "hermis", "hermes"),
        (VLLM, "reasoningParser", "qwen-3", "qwen3"),
        (SGLANG, "toolParser", "qwen-25", "qwen25"),
        (SGLANG, "reasoningParser", "deepseek_r1", "deepseek-r1"),
    ],
)
def test_a_parser_that_the_engine_does_not_know_is_refused_with_the_nearest(engine, field, name, near):
    problem = single_problem(release(engine=engine, **{field: name}))
    assert problem.path == "models[0].releases.stable"
    assert near in problem.suggestion


def test_a_kv_cache_in_fp8_is_refused_where_no_kernel_reads_it():
    fp8 = release(kvCache="fp8")
    assert not problems(fp8)
    assert not problems(release(engine=SGLANG, kvCache="fp8"))
    assert "a KV cache in FP8" in single_problem(release(engine=TGI, kvCache="fp8")).reason
    lab = {"cloud": EXISTING, "pools": (existing_pool(accelerator="CPU", name="l4"),)}
    refused = [problem for problem in problems(fp8, **lab) if "KV cache" in problem.reason]
    assert [problem.suggestion for problem in refused] == ["a release with kvCache auto"]


def test_limits_of_pictures_are_for_models_that_read_them():
    limited = options(mediaPerPrompt={"image": 4, "video": 0})
    assert not problems(with_pictures(release()), limited)
    assert not problems(with_pictures(release(engine=SGLANG)), limited)
    problem = single_problem(with_pictures(release()), options(mediaPerPrompt={"audio": 1}))
    assert (problem.path, problem.suggestion) == ("models[0].engine.mediaPerPrompt.audio", "image, video")
    assert "image, video" in problem.reason
    problem = single_problem(release(), options(mediaPerPrompt={"image": 1}))
    assert (problem.path, problem.suggestion) == ("models[0].engine.mediaPerPrompt.image", "leave it out")
    flag = single_problem(with_pictures(release()), options(flags={"limit-mm-per-prompt": '{"image": 1}'}))
    assert flag.suggestion == "engine.mediaPerPrompt"


@pytest.mark.parametrize("method", ["mtp", "eagle3", "medusa", "suffix"])
def test_speculation_that_needs_further_weights_is_refused_with_what_needs_none(method):
    wanted = {"speculative-config.method": method, "speculative-config.num_speculative_tokens": 3}
    problem = single_problem(model_spec=options(flags=wanted))
    assert problem.path.endswith("engine.flags.speculative-config.method")
    assert "weights" in problem.reason
    assert not problems(model_spec=options(flags=wanted | {"speculative-config.method": problem.suggestion}))
    whole = single_problem(model_spec=options(flags={"speculative-config": '{"num_speculative_tokens": 3}'}))
    assert not problems(model_spec=options(flags={"speculative-config": whole.suggestion}))
