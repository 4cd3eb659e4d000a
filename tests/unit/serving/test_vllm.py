import json

import pytest

from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import plan_model
from llm_serving.serving.engines import engine
from llm_serving.spec import EngineName, ModelSpec, ReleaseSpec
from tests.unit.serving.served import MODEL, NODE, RELEASE

VLLM = engine(EngineName.VLLM)


CPU_NODE = {"accelerator": "CPU", "gpus": 2, "cpu": 2, "memory_gib": 64}


def planned(model=None, node=None, **release):
    spec = ReleaseSpec.model_validate({**RELEASE, **release})
    wanted = ModelSpec.model_validate({**MODEL, **(model or {})})
    return plan_model(wanted, spec, NodeShape.model_validate(node or NODE)), spec


def command(template=None, model=None, node=None, **release):
    plan, spec = planned(model, node, **release)
    return VLLM.command(plan, spec, "/models/qwen3-8b/1.0.0", template)


def options(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments[3:])


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
    plan, _ = planned(node=CPU_NODE)
    arguments = command(node=CPU_NODE)
    assert "--enforce-eager" in arguments
    assert not [argument for argument in arguments if "gpu-memory" in argument]
    assert VLLM.environment(plan)["VLLM_CPU_KVCACHE_SPACE"] == str(int(plan.kv_cache_gib))
    assert "--enforce-eager" not in command()
    assert "VLLM_CPU_KVCACHE_SPACE" not in VLLM.environment(planned()[0])


def test_instances_that_share_a_cpu_are_not_bound_to_the_same_cores():
    environment = VLLM.environment(planned(node=CPU_NODE)[0])
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert environment["OMP_NUM_THREADS"] == "1"
    more = VLLM.environment(planned(node={**CPU_NODE, "cpu": 16.8})[0])
    assert more["OMP_NUM_THREADS"] == "8"


def test_the_engine_calls_nobody_and_writes_below_tmp_only():
    environment = VLLM.environment(planned()[0])
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["HOME"] == "/tmp"
    assert environment["USER"]
