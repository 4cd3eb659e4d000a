import json

import pytest

from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import plan_model
from llm_serving.serving.engines import EngineRequest, engine
from llm_serving.spec import EngineName, ModelSpec, ReleaseSpec
from tests.unit.serving.served import MODEL, NODE, RELEASE

VLLM = engine(EngineName.VLLM)
WEIGHTS = "/models/qwen3-8b/1.0.0"
ADAPTER = {"name": "sql", "repository": "acme/sql", "revision": "c" * 40, "rank": 16}
MIXTURE = {**RELEASE["model"], "architecture": "mixtral-8x7b"}
EIGHT = {**NODE, "gpus": 8, "cpu": 200, "memory_gib": 1600}


CPU_NODE = {"accelerator": "CPU", "gpus": 2, "cpu": 2, "memory_gib": 64}


def request(model=None, node=None, source=None, template=None, **release):
    spec = ReleaseSpec.model_validate({**RELEASE, "model": source or RELEASE["model"], **release})
    wanted = ModelSpec.model_validate({**MODEL, **(model or {})})
    shape = NodeShape.model_validate(node or NODE)
    plan = plan_model(wanted, spec, shape, cloud_named(shape.cloud))
    return EngineRequest(plan, spec, wanted.engine, WEIGHTS, template)


def command(template=None, model=None, node=None, source=None, **release):
    return VLLM.command(request(model, node, source, template, **release))


def options(arguments):
    """Values by flag: of a flag with several values a list, of a switch ``True``."""
    values = {}
    for argument in arguments[3:]:
        if argument.startswith("--"):
            name, joined, value = argument.removeprefix("--").partition("=")
            values[name] = value if joined else True
        else:
            before = values[name]
            values[name] = [argument] if before is True else [*before, argument]
    return values


def added_arguments(model=None, node=None, **release):
    """What the options add to the command line of a release without any."""
    bare = set(command(node=node))
    return [argument for argument in command(model=model, node=node, **release) if argument not in bare]


def test_every_engine_of_a_release_has_an_adapter():
    assert all(engine(name).name is name for name in EngineName)


def test_the_command_line_holds_what_was_planned():
    arguments = command(model={"tensor_parallelism": 2, "gpu_memory_utilization": 0.85})
    assert arguments[:3] == ["vllm", "serve", "/models/qwen3-8b/1.0.0"]
    assert options(arguments) == {
        "served-model-name": "qwen3-8b",
        "port": "8000",
        "tensor-parallel-size": "2",
        "max-model-len": "8192",
        "gpu-memory-utilization": "0.85",
        "disable-access-log-for-endpoints": "/health,/metrics",
    }


@pytest.mark.parametrize(
    ("quantization", "flag"), [("none", None), ("fp8", "fp8"), ("int8", None), ("awq", None), ("gptq", None)]
)
def test_only_fp8_is_named_the_rest_is_read_from_the_checkpoint(quantization, flag):
    assert options(command(quantization=quantization)).get("quantization") == flag


def test_sampling_defaults_are_json_with_whole_numbers_as_such():
    defaults = options(command(sampling={"top_k": 20.0, "temperature": 0.6}))["override-generation-config"]
    assert json.loads(defaults) == {"temperature": 0.6, "top_k": 20}
    assert "20.0" not in defaults


def test_a_revision_is_never_passed_for_a_local_folder():
    assert not [argument for argument in command() if "revision" in argument or "b" * 40 in argument]


def test_a_chat_template_is_passed_as_a_file():
    assert options(command("/etc/t.jinja"))["chat-template"] == "/etc/t.jinja"
    assert "chat-template" not in options(command())


def test_running_requests_survive_sigterm():
    assert VLLM.shutdown_argument(22) == "--shutdown-timeout=22"


def test_where_the_engine_cannot_measure_its_memory_it_is_told_the_size_of_the_cache_and_does_not_compile():
    plan = request(node=CPU_NODE).plan
    arguments = command(node=CPU_NODE)
    assert "--enforce-eager" in arguments
    assert not [argument for argument in arguments if "gpu-memory" in argument]
    assert VLLM.environment(plan)["VLLM_CPU_KVCACHE_SPACE"] == str(int(plan.kv_cache_gib))
    assert "--enforce-eager" not in command()
    assert "VLLM_CPU_KVCACHE_SPACE" not in VLLM.environment(request().plan)


def test_instances_that_share_a_cpu_are_not_bound_to_the_same_cores():
    environment = VLLM.environment(request(node=CPU_NODE).plan)
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert environment["OMP_NUM_THREADS"] == "1"
    more = VLLM.environment(request(node={**CPU_NODE, "cpu": 16.8}).plan)
    assert more["OMP_NUM_THREADS"] == "8"


def test_the_engine_calls_nobody_and_writes_below_tmp_only():
    environment = VLLM.environment(request().plan)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["HOME"] == "/tmp"
    assert environment["USER"]


def test_what_is_left_out_is_the_engines_own_default():
    assert added_arguments() == []
    assert added_arguments(model={"engine": {"max_loras": 4, "max_lora_rank": 64}}) == []  # no adapters


@pytest.mark.parametrize(
    ("engine_options", "arguments"),
    [
        ({"chunked_prefill": True}, ["--enable-chunked-prefill"]),
        ({"chunked_prefill": False}, ["--no-enable-chunked-prefill"]),
        ({"prefix_caching": True}, ["--enable-prefix-caching"]),
        ({"prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"max_batched_tokens": 4096}, ["--max-num-batched-tokens=4096"]),
        ({"max_sequences": 64}, ["--max-num-seqs=64"]),
        ({"max_queued_tokens": 9000}, ["--max-num-queued-tokens=9000"]),
        ({"stream_weights": True}, ["--load-format=runai_streamer"]),
        ({"graph_sizes": [8, 1, 4, 8]}, ["--cudagraph-capture-sizes", "1", "4", "8"]),
    ],
)
def test_an_option_of_the_stack_becomes_vllms_flag(engine_options, arguments):
    assert added_arguments(model={"engine": engine_options}) == arguments


def test_waiting_requests_are_capped_beyond_those_that_run():
    engine_options = {"max_sequences": 64, "max_queued_requests": 10}
    assert "--max-num-queued-reqs=74" in command(model={"engine": engine_options})
    copies = command(model={"engine": {**engine_options, "data_parallelism": 2}})
    assert "--max-num-queued-reqs=138" in copies
    # One process of the API counts them all.
    assert "--api-server-count=1" in copies


def test_parallelism_of_every_kind_is_passed_on():
    model_fields = {"engine": {"pipeline_parallelism": 2, "data_parallelism": 2, "expert_parallel": True}}
    values = options(command(model={**model_fields, "tensor_parallelism": 2}, node=EIGHT, source=MIXTURE))
    names = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "enable-expert-parallel")
    assert [values[name] for name in names] == ["2", "2", "2", True]


def test_streamed_weights_are_read_once_for_all_gpus():
    model_fields = {"tensor_parallelism": 2, "engine": {"stream_weights": True}}
    assert json.loads(options(command(model=model_fields))["model-loader-extra-config"]) == {"distributed": True}


def test_adapters_are_served_from_their_folders_under_their_own_names():
    other = {**ADAPTER, "name": "prose"}
    values = options(command(model={"engine": {"max_loras": 2, "max_lora_rank": 32}}, adapters=[ADAPTER, other]))
    assert values["enable-lora"] is True
    assert (values["max-loras"], values["max-lora-rank"]) == ("2", "32")
    assert values["lora-modules"] == [f"sql={WEIGHTS}/.adapters/sql", f"prose={WEIGHTS}/.adapters/prose"]


def test_parsers_of_the_release_are_named():
    assert added_arguments(tool_parser="hermes", reasoning_parser="qwen3") == [
        "--enable-auto-tool-choice",
        "--tool-call-parser=hermes",
        "--reasoning-parser=qwen3",
    ]


def test_more_flags_come_last_in_the_form_that_their_value_asks_for():
    flags = {
        "seed": 7.0,
        "compilation-config.mode": 3,
        "async-scheduling": False,
        "enable-mfu-metrics": True,
        "scheduling-policy": "priority",
        "compilation-config.cudagraph_copy_inputs": False,
    }
    assert command(model={"engine": {"flags": flags}})[-6:] == [
        "--no-async-scheduling",
        "--compilation-config.cudagraph_copy_inputs=false",
        "--compilation-config.mode=3",
        "--enable-mfu-metrics",
        "--scheduling-policy=priority",
        "--seed=7",
    ]


def test_an_instance_on_several_nodes_has_a_leader_that_answers_and_headless_workers():
    model_fields = {"engine": {"nodes": 2, "pipeline_parallelism": 2}}
    group = VLLM.group_command(request(model_fields, EIGHT))
    leader, worker = options(group.leader), options(group.worker)
    assert (leader["nnodes"], leader["node-rank"]) == ("2", "0")
    assert "headless" not in leader
    assert (worker["nnodes"], worker["node-rank"], worker["headless"]) == ("2", "$(LWS_WORKER_INDEX)", True)
    assert worker["master-addr"] == leader["master-addr"] == "$(LWS_LEADER_ADDRESS)"
    assert group.ports == (int(leader["master-port"]),)
    same = set(leader) - {"node-rank"}
    assert {name: leader[name] for name in same} == {name: worker[name] for name in same}


def test_headless_workers_start_no_process_of_the_api():
    model_fields = {"engine": {"nodes": 2, "data_parallelism": 2}}
    group = VLLM.group_command(request(model_fields, EIGHT))
    assert "--api-server-count=1" in group.leader
    assert not [argument for argument in group.worker if "api-server-count" in argument]
    assert len(group.ports) == 2
