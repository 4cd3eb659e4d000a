"""GPU memory: published numbers come out, and what is accepted really fits."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_serving import catalog
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import GCP, cloud_named
from llm_serving.planning.fit import (
    GIB,
    Demands,
    Parallelism,
    gpu_weight_bytes,
    kv_bytes_per_token,
    lora_bytes,
    memory_budget,
    parallelism_obstacle,
    weight_bytes,
)
from llm_serving.planning.host import STREAM_BUFFER_BYTES, HostShare, least_memory_gib
from llm_serving.planning.machine_offers import smallest_offer
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.parallelism import SIZES
from llm_serving.spec import Quantization
from tests.unit.planning.builders import model, plan_instance, release

GPU_MACHINES = [machine for cloud in catalog.CLOUDS for machine in catalog.machine_types(cloud) if machine.accelerator]
names = st.sampled_from([architecture.name for architecture in catalog.architectures()])
quantizations = st.sampled_from(list(Quantization))
gpus = st.sampled_from(catalog.accelerators())


def _host(gpus):
    """A share of the host that grows with the number of GPUs."""
    return HostShare(cpu=8 * gpus, memory_gib=64 * gpus, shm_gib=1)


contexts = st.integers(min_value=256, max_value=131072)


@pytest.mark.parametrize(
    ("name", "bytes_per_token"),
    [
        ("llama-3.1-8b", 131072),
        ("llama-3.1-70b", 327680),
        ("mixtral-8x7b", 131072),
        ("qwen3-32b", 262144),
    ],
)
def test_published_sizes_of_one_token_come_out(name, bytes_per_token):
    assert kv_bytes_per_token(catalog.architecture(name).facts) == bytes_per_token


@pytest.mark.parametrize(
    ("name", "quantization", "gigabytes"),
    [
        ("llama-3.1-8b", Quantization.NONE, 16.06),  # sum of the safetensors files of the publisher
        ("llama-3.1-70b", Quantization.NONE, 141.1),
        ("mixtral-8x7b", Quantization.NONE, 93.4),
        ("llama-3.1-8b", Quantization.AWQ, 5.73),  # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4
        ("llama-3.1-70b", Quantization.AWQ, 39.8),  # hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4
        ("llama-3.1-8b", Quantization.FP8, 9.08),  # neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8
        ("llama-3.1-8b", Quantization.GGUF, 4.92),  # Q4_K_M, bartowski/Meta-Llama-3.1-8B-Instruct-GGUF
    ],
)
def test_published_sizes_of_checkpoints_come_out(name, quantization, gigabytes):
    assert weight_bytes(catalog.architecture(name).facts, quantization) / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_kv_heads_are_replicated_where_there_are_more_gpus_than_heads():
    llama = catalog.architecture("llama-3.1-70b").facts
    assert kv_bytes_per_token(llama, 8) == kv_bytes_per_token(llama) / 8
    assert kv_bytes_per_token(llama, 16) == kv_bytes_per_token(llama, 8)


@pytest.mark.parametrize(
    ("name", "quantization", "size", "allowed"),
    [
        ("llama-3.1-8b", Quantization.NONE, 8, True),
        ("llama-3.1-8b", Quantization.NONE, 3, False),
        ("llama-2-13b", Quantization.NONE, 16, False),  # 40 heads
        ("llama-2-7b", Quantization.NONE, 4, True),
        ("llama-2-7b", Quantization.AWQ, 4, False),  # 11008 columns cannot be cut between groups of 128
        ("llama-3.1-70b", Quantization.AWQ, 8, True),
    ],
)
def test_models_are_split_only_where_their_shape_allows(name, quantization, size, allowed):
    spread = Parallelism(tensor=size)
    assert (parallelism_obstacle(catalog.architecture(name).facts, quantization, spread) == "") is allowed


@given(names, quantizations, gpus, st.sampled_from(SIZES[1:]))
def test_more_gpus_never_leave_less_room_for_the_cache_once_there_are_several(name, quantization, gpu, size):
    architecture = catalog.architecture(name).facts
    before, after = (
        memory_budget(architecture, quantization, gpu, Parallelism(tensor=parallel), 0.9, _host(parallel))
        for parallel in (size, 2 * size)
    )
    assert after.kv_cache_gib >= before.kv_cache_gib
    assert after.kv_bytes_per_token <= before.kv_bytes_per_token
    assert after.kv_cache_tokens >= before.kv_cache_tokens


@given(names, quantizations, gpus, st.floats(min_value=0.1, max_value=0.5), st.sampled_from(SIZES))
def test_a_larger_share_of_the_memory_never_holds_fewer_tokens(name, quantization, gpu, share, size):
    architecture = catalog.architecture(name).facts
    spread = Parallelism(tensor=size)
    small = memory_budget(architecture, quantization, gpu, spread, share, _host(size))
    large = memory_budget(architecture, quantization, gpu, spread, 2 * share, _host(size))
    assert large.kv_cache_tokens >= small.kv_cache_tokens
    assert small.concurrency(1024) >= small.concurrency(2048)


def outcome(architecture, quantization, context, machine, **fields):
    """The plan, or the refusal."""
    model_spec = model(**fields)
    release_spec = release(architecture, quantization=quantization, contextLength=context)
    try:
        return (
            model_spec,
            release_spec,
            plan_instance(model_spec, release_spec, cloud_named(machine.cloud).machine_node(machine.name)),
        )
    except ProblemsError as error:
        return model_spec, release_spec, error


@given(names, quantizations, contexts, st.sampled_from(GPU_MACHINES), st.floats(min_value=1, max_value=8))
def test_an_accepted_plan_satisfies_every_inequality(name, quantization, context, machine, concurrency):
    _, _, plan = outcome(name, quantization, context, machine, minConcurrency=concurrency)
    assume(not isinstance(plan, ProblemsError))
    architecture, gpu = catalog.architecture(name).facts, catalog.accelerator(machine.accelerator)
    cache = plan.kv_cache_tokens * kv_bytes_per_token(architecture, plan.gpus) / GIB
    weights = weight_bytes(architecture, Quantization(quantization)) / plan.gpus / GIB
    assert weights + cache < plan.gpu_memory_utilization * gpu.memory_gib
    assert plan.kv_cache_tokens >= context * concurrency
    assert architecture.heads % plan.tensor_parallelism == 0
    assert plan.tensor_parallelism <= machine.gpus
    assert context <= architecture.max_context
    assert gpu.runs(Quantization(quantization))
    instances = machine.gpus // plan.gpus
    node = cloud_named(machine.cloud).machine_node(machine.name)
    assert instances * plan.cpu < node.cpu
    assert instances * plan.memory_gib < node.memory_gib
    assert plan.shm_gib < plan.memory_gib


@given(names, quantizations, contexts, st.sampled_from(GPU_MACHINES))
def test_what_fits_a_context_fits_every_shorter_one_on_no_more_gpus(name, quantization, context, machine):
    _, _, plan = outcome(name, quantization, context, machine)
    assume(not isinstance(plan, ProblemsError))
    _, _, shorter = outcome(name, quantization, max(256, context // 2), machine)
    assert not isinstance(shorter, ProblemsError)
    assert shorter.gpus <= plan.gpus


@given(names, quantizations, contexts, st.sampled_from(GPU_MACHINES), st.floats(min_value=1, max_value=64))
def test_what_a_refusal_suggests_is_accepted(name, quantization, context, machine, concurrency):
    model_spec, release_spec, error = outcome(name, quantization, context, machine, minConcurrency=concurrency)
    assume(isinstance(error, ProblemsError))
    (problem,) = error.problems
    if context > catalog.architecture(name).facts.max_context:
        assert problem.path == "releases.stable"
        return
    for cloud in (cloud_named(machine.cloud), None):
        offer = smallest_offer(model_spec, release_spec, cloud)
        if offer is not None:
            assert str(offer) in problem.suggestion or cloud is None
            assert plan_instance(model_spec, release_spec, offer.node).gpus <= offer.gpus
        elif cloud is None:
            assert problem.suggestion == ""


def test_a_refusal_names_the_smallest_gpus_that_the_cloud_sells():
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model(), release("llama-3.1-70b", quantization="awq"), GCP.machine_node("g2-standard-4"))
    (problem,) = caught.value.problems
    assert problem.path == "pool"
    assert problem.value == "l4"
    assert "1 x L4" in problem.reason
    assert problem.suggestion == "a pool with nodes of at least 1 x A100-80GB (a2-ultragpu-1g)"
    with pytest.raises(ProblemsError, match="RTX-A6000"):  # of nodes that are there already, any GPU
        plan_instance(model(), release("llama-3.1-70b", quantization="awq"), CPU_NODE)


def test_nodes_that_are_there_and_lack_only_cores_or_memory_are_not_answered_with_other_gpus():
    enough = {"accelerator": "RTX-A6000", "gpus": 2, "cpu": 32, "memory_gib": 128}
    assert plan_instance(model(), release("qwen3-32b"), NodeShape(**enough)).gpus == 2
    for lack in ({"cpu": 1}, {"memory_gib": 4}):
        with pytest.raises(ProblemsError) as caught:
            plan_instance(model(), release("qwen3-32b"), NodeShape(**{**enough, **lack}))
        assert caught.value.problems[0].suggestion == "nodes with more cores and memory"


def test_an_offer_leaves_the_parallelism_to_the_planner():
    offer = smallest_offer(model(tensorParallelism=16), release("qwen3-0.6b"), GCP)
    assert offer is not None
    assert str(offer) == "1 x L4 (g2-standard-4)"


def test_a_wrong_parallelism_is_answered_with_one_that_fits():
    node = GCP.machine_node("a3-highgpu-8g")
    for parallelism, reason in ((3, "attention heads"), (16, "has 8 GPUs"), (1, "exceed")):
        with pytest.raises(ProblemsError) as caught:
            plan_instance(model(tensorParallelism=parallelism), release("llama-3.1-70b"), node)
        (problem,) = caught.value.problems
        assert problem.path == "tensorParallelism"
        assert reason in problem.reason
        suggested = model(tensorParallelism=int(problem.suggestion))
        assert plan_instance(suggested, release("llama-3.1-70b"), node).gpus == int(problem.suggestion)


def test_a_context_beyond_the_models_own_is_refused():
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model(), release("qwen3-8b", contextLength=65536), GCP.machine_node("a3-highgpu-1g"))
    (problem,) = caught.value.problems
    assert problem.path == "releases.stable"
    assert "40960" in problem.suggestion


def test_unknown_architectures_and_gpus_are_refused_with_the_nearest_names():
    node = GCP.machine_node("g2-standard-4")
    with pytest.raises(ProblemsError, match=r"llama-3\.1-8b"):
        plan_instance(model(), release("llama-3.2-8b"), node)
    with pytest.raises(ProblemsError, match="H100-80GB"):
        plan_instance(model(), release(), NodeShape(accelerator="H100", gpus=1, cpu=8, memory_gib=64))


def test_a_node_with_too_little_memory_for_the_engine_is_refused():
    node = NodeShape(accelerator="L4", gpus=1, cpu=8, memory_gib=6)
    with pytest.raises(ProblemsError, match="share of the node's memory"):
        plan_instance(model(), release("qwen3-0.6b"), node)


def test_streamed_weights_are_buffered_in_the_memory_that_the_instance_has():
    """Unlimited, they would take 16 GB here, and 40 GB of larger models: more than the instance has."""
    node = GCP.machine_node("g2-standard-8")
    streaming = model(engine={"streamWeights": True})
    plan = plan_instance(streaming, release("qwen3-8b"), node, GCP.cache_sidecar)
    needed = least_memory_gib(catalog.device("cuda"), plan.gpus)
    assert 2e9 < plan.stream_buffer_bytes <= (plan.memory_gib - needed) * 2**30 < 16e9
    assert plan_instance(model(), release("qwen3-8b"), node).stream_buffer_bytes is None


def test_the_processes_of_an_instance_share_the_memory_for_streaming():
    node = GCP.machine_node("a2-highgpu-8g")
    shared = model(engine={"streamWeights": True}, tensorParallelism=8)
    plan = plan_instance(shared, release(), node, GCP.cache_sidecar)
    assert plan.stream_buffer_bytes * 8 <= (plan.memory_gib - least_memory_gib(catalog.device("cuda"), 8)) * 2**30
    roomy = NodeShape(accelerator="H100-80GB", gpus=1, cpu=50, memory_gib=400)
    alone = model(engine={"streamWeights": True})
    assert plan_instance(alone, release(), roomy).stream_buffer_bytes == STREAM_BUFFER_BYTES


def test_streaming_is_refused_where_not_even_the_largest_tensor_has_room():
    node = NodeShape(accelerator="L4", gpus=1, cpu=8, memory_gib=9)
    plan_instance(model(), release("qwen3-8b"), node)
    with pytest.raises(ProblemsError, match="streamWeights"):
        plan_instance(model(engine={"streamWeights": True}), release("qwen3-8b"), node)


def test_fp8_on_a_gpu_without_fp8_is_accepted_and_explained():
    plan = plan_instance(model(), release("llama-3.1-8b", quantization="fp8"), GCP.machine_node("a2-highgpu-1g"))
    assert "16 bits" in plan.reasons["quantization"]


def test_the_cold_start_is_the_sum_of_its_stages_and_an_existing_node_need_not_start():
    cloud = plan_instance(model(), release(), GCP.machine_node("g2-standard-12")).cold_start
    owned = plan_instance(model(), release(), NodeShape(accelerator="L4", gpus=1, cpu=12, memory_gib=40)).cold_start
    parts = (cloud.node_start, cloud.image_pull, cloud.weights, cloud.engine_init, cloud.warm_up)
    assert cloud.total == sum(parts)
    assert owned.node_start == 0
    # The measurement that the estimate is made of: 94 s for the weights, 200 s for the engine.
    assert cloud.weights == pytest.approx(94, abs=1)
    assert cloud.engine_init == 200


def test_every_number_has_a_reason():
    plan = plan_instance(model(), release(), GCP.machine_node("g2-standard-12"))
    told = {"reasons", "gpus", "gpu_memory_utilization", "kv_cache_is_given", "compiles"}
    numbers = set(type(plan).model_fields) - told
    assert numbers <= set(plan.reasons)


CPU_NODE = NodeShape(accelerator="CPU", gpus=2, cpu=2, memory_gib=12)


def test_an_instance_on_a_cpu_gets_its_part_of_the_host_and_a_cache_of_whole_steps():
    plan = plan_instance(model(), release("tiny-llama", contextLength=2048), CPU_NODE)
    assert (plan.kv_cache_is_given, plan.compiles) == (True, False)
    assert plan.kv_cache_gib == int(plan.kv_cache_gib) >= 1
    assert plan.kv_cache_gib < plan.memory_gib < CPU_NODE.memory_gib / 2


def test_a_model_that_the_host_cannot_hold_is_refused_with_a_gpu_that_can():
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model(), release("llama-3.1-8b"), CPU_NODE)
    assert "CPU" in caught.value.problems[0].reason
    assert "x A10G" in caught.value.problems[0].suggestion


H100_NODE = GCP.machine_node("a3-highgpu-8g")


def engine(**options):
    return model(engine=options)


def refusal(model_spec, release_spec, node=H100_NODE):
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model_spec, release_spec, node)
    (problem,) = caught.value.problems
    return problem


def test_nf4_takes_a_quarter_and_its_scales():
    llama = catalog.architecture("llama-3.1-8b").facts
    linear = llama.parameters - llama.embedding_parameters
    taken = weight_bytes(llama, Quantization.BITSANDBYTES) - 2 * llama.embedding_parameters
    assert taken / linear == pytest.approx(0.5625)  # 4 bits, and 32 bits for 64 weights


@given(names, quantizations, st.sampled_from(SIZES), st.sampled_from((1, 2, 4)), st.sampled_from((1, 2)))
def test_the_parts_of_a_model_make_up_the_whole_and_no_part_is_smaller_than_its_share(name, q, tensor, stages, copies):
    architecture = catalog.architecture(name).facts
    whole = weight_bytes(architecture, q)
    spread = Parallelism(tensor=tensor, pipeline=min(stages, architecture.layer_count), data=copies)
    largest = gpu_weight_bytes(architecture, q, spread)
    assert largest == pytest.approx(whole) if spread.gpus == copies else largest < whole
    if not architecture.tied_embeddings:
        assert largest >= whole / (spread.tensor * spread.pipeline) * 0.999


@given(names, gpus, st.sampled_from((1, 2, 4)))
def test_more_stages_never_take_more_of_a_gpu(name, gpu, stages):
    architecture = catalog.architecture(name).facts
    before, after = (
        memory_budget(architecture, Quantization.NONE, gpu, Parallelism(2, count), 0.9, _host(2 * count))
        for count in (stages, 2 * stages)
    )
    assert after.weights_gib <= before.weights_gib
    assert after.kv_bytes_per_token <= before.kv_bytes_per_token


def test_dealt_experts_are_not_cut_and_not_repeated():
    mixtral = catalog.architecture("mixtral-8x7b").facts
    cut = gpu_weight_bytes(mixtral, Quantization.NONE, Parallelism(tensor=2, data=2))
    dealt = gpu_weight_bytes(mixtral, Quantization.NONE, Parallelism(tensor=2, data=2, experts=True))
    experts = 32 * 8 * 3 * 4096 * 14336 * 2
    assert cut - dealt == pytest.approx(experts / 2 - experts / 4)
    assert not parallelism_obstacle(mixtral, Quantization.AWQ, Parallelism(tensor=8, experts=True))
    assert "8 experts" in parallelism_obstacle(mixtral, Quantization.AWQ, Parallelism(tensor=16, experts=True))


def test_room_for_adapters_is_what_the_engine_reserves_for_them():
    llama = catalog.architecture("llama-3.1-8b").facts
    one = lora_bytes(llama, Parallelism(), Demands(loras=1, lora_rank=16))
    # Rank 16 over all linear layers of Llama 3.1 8B has 41,943,040 parameters (PEFT's print_trainable_parameters);
    # the engine keeps room for the output projection's too.
    assert one == 2 * (41_943_040 + 16 * (4096 + 128256))
    assert lora_bytes(llama, Parallelism(), Demands(loras=4, lora_rank=16)) == 4 * one
    assert lora_bytes(llama, Parallelism(), Demands()) == 0
    assert one / 2 < lora_bytes(llama, Parallelism(tensor=2), Demands(loras=1, lora_rank=16)) < one


def test_adapters_cost_kv_cache_only_where_the_release_has_some():
    adapter = {"name": "sql", "repository": "a/sql", "revision": "1" * 40, "rank": 64}
    model_spec = engine(maxLoras=8, maxLoraRank=64)
    plain = plan_instance(model_spec, release(), H100_NODE)
    adapted = plan_instance(model_spec, release(adapters=[adapter]), H100_NODE)
    assert plain.kv_cache_gib == plan_instance(model(), release(), H100_NODE).kv_cache_gib
    assert adapted.kv_cache_gib < plain.kv_cache_gib - 2
    assert "LoRA" in adapted.reasons["kv_cache_gib"]


def test_longer_steps_take_more_for_activations():
    short, long = (plan_instance(engine(maxBatchedTokens=count), release(), H100_NODE) for count in (8192, 32768))
    assert short.kv_cache_gib == plan_instance(model(), release(), H100_NODE).kv_cache_gib
    # Sampling is the peak of the short step, the layers that of the long one: four residuals and three projections.
    layers = 2 * 32768 * (4 * 4096 + 3 * 14336)
    sampling = 2 * 8192 * 2 * 4096 + 14.5 * 1024 * 128256
    assert short.kv_cache_gib - long.kv_cache_gib == pytest.approx((layers - sampling) / GIB, abs=0.02)


def test_an_instance_asks_for_the_gpus_of_all_its_stages_and_copies():
    plan = plan_instance(engine(pipelineParallelism=2, dataParallelism=2), release("llama-3.1-70b"), H100_NODE)
    assert (plan.tensor_parallelism, plan.pipeline_parallelism, plan.data_parallelism) == (1, 2, 2)
    assert (plan.gpus, plan.gpus_per_node, plan.nodes) == (4, 4, 1)
    single = plan_instance(engine(pipelineParallelism=2), release("llama-3.1-70b"), H100_NODE)
    assert plan.kv_cache_tokens == 2 * single.kv_cache_tokens
    assert plan.memory_gib == pytest.approx(2 * single.memory_gib, rel=0.01)


def test_each_copy_holds_at_least_one_request_of_full_length():
    node = GCP.machine_node("g2-standard-24")
    problem = refusal(engine(dataParallelism=2), release("llama-3.1-8b", contextLength=131072), node)
    assert "1 request(s)" in problem.reason


def test_an_instance_on_several_nodes_takes_them_whole():
    plan = plan_instance(engine(nodes=2, pipelineParallelism=2), release("llama-3.1-70b"), H100_NODE)
    assert (plan.nodes, plan.gpus, plan.gpus_per_node, plan.tensor_parallelism) == (2, 16, 8, 8)
    whole = plan_instance(model(tensorParallelism=8), release("llama-3.1-70b"), H100_NODE)
    assert (plan.cpu, plan.memory_gib, plan.shm_gib) == (whole.cpu, whole.memory_gib, whole.shm_gib)
    assert plan.kv_cache_tokens > 1.9 * whole.kv_cache_tokens


@pytest.mark.parametrize(
    ("options", "path", "suggestion"),
    [
        ({"nodes": 2, "pipelineParallelism": 3}, "engine.pipelineParallelism", "2"),
        ({"nodes": 3, "dataParallelism": 4}, "engine.dataParallelism", "a copy on each node"),
        ({"pipelineParallelism": 16}, "engine.pipelineParallelism", "8, or larger nodes"),
        ({"dataParallelism": 16}, "engine.dataParallelism", "8, or larger nodes"),
        ({"expertParallel": True}, "engine.expertParallel", "false"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_where_it_is_asked_for(options, path, suggestion):
    problem = refusal(engine(**options), release("llama-3.1-8b"))
    assert problem.path == path
    assert suggestion in problem.suggestion


def test_more_stages_than_layers_are_refused():
    problem = refusal(engine(pipelineParallelism=4), release("tiny-llama", contextLength=2048))
    assert (problem.path, problem.suggestion) == ("engine.pipelineParallelism", "2")


def test_a_parallelism_that_leaves_gpus_of_its_nodes_idle_is_answered_with_the_one_that_does_not():
    problem = refusal(model(tensorParallelism=4, engine={"nodes": 2}), release("llama-3.1-70b"))
    assert (problem.path, problem.suggestion) == ("tensorParallelism", "16")
    # 16 would need more KV heads than stages do: the suggestion with two stages is what a node holds.
    staged = {"nodes": 2, "pipelineParallelism": 2}
    problem = refusal(model(tensorParallelism=4, engine=staged), release("llama-3.1-70b"))
    assert problem.suggestion == "8"
    assert plan_instance(model(tensorParallelism=8, engine=staged), release("llama-3.1-70b"), H100_NODE).gpus == 16


@given(names, st.sampled_from(GPU_MACHINES), st.sampled_from((1, 2)), st.sampled_from((1, 2)), st.sampled_from((1, 2)))
def test_an_accepted_layout_fits_its_nodes(name, machine, stages, copies, nodes):
    model_spec = engine(pipelineParallelism=stages, dataParallelism=copies, nodes=nodes)
    node = cloud_named(machine.cloud).machine_node(machine.name)
    try:
        plan = plan_instance(model_spec, release(name, contextLength=4096), node)
    except ProblemsError:
        return
    assert plan.gpus == plan.tensor_parallelism * stages * copies
    assert plan.gpus_per_node * nodes == plan.gpus
    assert plan.gpus_per_node == machine.gpus if nodes > 1 else plan.gpus_per_node <= machine.gpus
    assert plan.cpu < node.cpu
    assert plan.memory_gib < node.memory_gib
    assert 0 < plan.static_memory_share < plan.gpu_memory_utilization
    assert plan.max_concurrency >= 1


@pytest.mark.parametrize("quantization", ["bitsandbytes", "gguf", "awq"])
def test_four_bits_need_no_warning_and_a_cpu_refuses_what_it_has_no_kernels_for(quantization):
    assert "quantization" not in plan_instance(model(), release(quantization=quantization), H100_NODE).reasons
    if quantization != "awq":
        problem = refusal(model(), release("tiny-llama", quantization=quantization, contextLength=2048), CPU_NODE)
        assert "kernels for CPU" in problem.reason


def test_cuda_graphs_come_off_the_kv_cache_and_are_explained():
    plan, none = (
        plan_instance(spec, release(), H100_NODE)
        for spec in (model(), engine(flags={"compilation-config.cudagraph_mode": "NONE"}))
    )
    graphs = (256 + 0.2 * 32 * (51 + 51)) / 1024
    assert none.kv_cache_gib - plan.kv_cache_gib == pytest.approx(graphs, abs=0.02)
    assert f"{graphs:.2f} CUDA graphs" in plan.reasons["kv_cache_gib"]
    assert "CUDA graphs" not in none.reasons["kv_cache_gib"]
    fewer = plan_instance(engine(graphSizes=[1, 2, 4]), release(), H100_NODE)
    assert plan.kv_cache_gib < fewer.kv_cache_gib < none.kv_cache_gib


def test_cuda_graphs_beside_the_engines_share_must_fit_there():
    beside = {"environment": {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "0"}}
    plan = plan_instance(engine(**beside), release(), H100_NODE)
    assert plan.kv_cache_gib > plan_instance(model(), release(), H100_NODE).kv_cache_gib
    problem = refusal(model(gpuMemoryUtilization=0.99, engine=beside), release(), H100_NODE)
    assert "CUDA graphs" in problem.reason


def test_a_smaller_batch_takes_less_for_sampling():
    large, small = (plan_instance(engine(maxSequences=count), release(), H100_NODE) for count in (1024, 256))
    assert small.kv_cache_gib > large.kv_cache_gib + 0.9


def test_a_kv_cache_in_fp8_holds_twice_the_tokens():
    plain, fp8 = (plan_instance(model(), release(kvCache=kind), H100_NODE) for kind in ("auto", "fp8"))
    assert fp8.kv_cache_gib == plain.kv_cache_gib
    assert fp8.kv_cache_tokens == pytest.approx(2 * plain.kv_cache_tokens, rel=0.001)
