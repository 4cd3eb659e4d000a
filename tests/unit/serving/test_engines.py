"""Adapters of all engines: what they render is what the engines' own parsers know, and nobody else may say it too."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from llm_serving import catalog
from llm_serving.catalog import Feature, FlagKind
from llm_serving.metrics.engines import EngineMetrics, engine_metrics
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import plan_model
from llm_serving.serving.engines import EngineRequest, engine
from llm_serving.spec import EngineName, ModelSpec, ReleaseSpec
from tests.unit.serving.served import MODEL, RELEASE

NODE = NodeShape(accelerator="H100-80GB", gpus=8, cpu=200, memory_gib=1600)
WEIGHTS = "/models/qwen3-8b/1.0.0"
EXPOSITIONS = Path(__file__).parents[2] / "images" / "exposition"
VERSIONS = {
    EngineName.VLLM: "0.32.0",
    EngineName.SGLANG: "0.5.23",
    EngineName.TGI: "3.3.5",
    EngineName.TRITON: "25.10.0",
}
RECORDED = [name for name in EngineName if catalog.engine_versions(name)]

ENGINE_OPTIONS = {
    "nothing": {},
    "chunked": {"chunked_prefill": True, "prefix_caching": True, "max_batched_tokens": 16384},
    "whole": {"chunked_prefill": False, "prefix_caching": False, "max_batched_tokens": 8192},
    "queue": {"max_sequences": 64, "max_queued_requests": 16, "max_queued_tokens": 100000, "graph_sizes": [4, 1]},
    "off": {"structured_outputs": False, "warm_up": False, "stream_weights": True},
    "spread": {"pipeline_parallelism": 2, "data_parallelism": 2, "expert_parallel": True},
    "nodes": {"nodes": 2, "pipeline_parallelism": 2},
}
ADAPTER = {"name": "sql", "repository": "acme/sql", "revision": "c" * 40, "rank": 16}


def request(name, engine_options=None, node=NODE, template=None, **release):
    """What an engine is started with. A mixture, so that experts can be dealt out."""
    spec = ReleaseSpec.model_validate(
        {
            **RELEASE,
            "engine": {"name": name, "version": VERSIONS[name]},
            "model": {**RELEASE["model"], "architecture": "mixtral-8x7b"},
            **release,
        }
    )
    model = ModelSpec.model_validate(
        {**MODEL, "tensor_parallelism": 2 if engine_options == ENGINE_OPTIONS["spread"] else None}
        | {"engine": engine_options or {}}
    )
    plan = plan_model(model, spec, node, cloud_named(node.cloud))
    return EngineRequest(plan, spec, model.engine, WEIGHTS, template)


def command(name, engine_options=None, template=None, **release):
    return engine(name).command(request(name, engine_options, template=template, **release))


def every_command(name):
    adapter = engine(name)
    for engine_options in ENGINE_OPTIONS.values():
        wanted = request(name, engine_options, quantization="fp8", tool_parser="mistral", reasoning_parser="mistral")
        if wanted.plan.nodes > 1:
            group = adapter.group_command(wanted)
            yield from (group.leader, group.worker)
        else:
            yield adapter.command(replace(wanted, chat_template="/etc/template.jinja"))
    loras = {"max_loras": 2, "max_lora_rank": 32}
    yield command(name, loras, sampling={"top_k": 20.0}, adapters=[ADAPTER])


def parse_flags(words):
    """Each flag with its values."""
    flags = []
    for word in words:
        if word.startswith("--"):
            name, joined, value = word.removeprefix("--").partition("=")
            flags.append((name, [value] if joined else []))
        elif flags:
            flags[-1][1].append(word)
    return flags


def arguments(words):
    return dict(parse_flags(words))


@pytest.mark.parametrize("name", RECORDED)
def test_every_flag_that_an_adapter_renders_is_one_that_the_engines_parser_knows(name):
    known = catalog.engine_flags(name, VERSIONS[name])
    for words in every_command(name):
        for flag, values in parse_flags(words):
            entry = known.get(flag) or known[flag.removeprefix("no-")]
            if entry.kind in (FlagKind.SWITCH, FlagKind.PRESENCE):
                assert values == []
                assert flag == entry.flag or entry.kind is FlagKind.SWITCH
            elif entry.kind is not FlagKind.LIST:
                assert len(values) == 1
            for value in values:
                placeholder = value.startswith("$(")
                assert placeholder or not entry.choices or value in entry.choices, (flag, value)
                if entry.kind is FlagKind.INTEGER and not placeholder:
                    int(value)
                if entry.kind is FlagKind.NUMBER:
                    float(value)


@pytest.mark.parametrize("name", RECORDED)
def test_what_an_adapter_renders_a_stack_cannot_give_once_more(name):
    decided = catalog.engine_settings(name)
    for words in every_command(name):
        for flag, _ in parse_flags(words):
            assert flag.removeprefix("no-") in decided, flag
    timeout = engine(name).shutdown_argument(30)
    assert timeout is None or timeout.removeprefix("--").partition("=")[0] in decided


@pytest.mark.parametrize("name", list(EngineName))
def test_every_adapter_says_where_it_is_asked_and_watched(name):
    adapter = engine(name)
    assert 1024 < adapter.port < 65536
    assert adapter.health_path.startswith("/")
    assert adapter.metrics_path == "/metrics"
    assert bool(engine_metrics(adapter.name).requests_running) == (name is not EngineName.TRITON)
    assert bool(engine_metrics(adapter.name).requests_waiting) == (name is not EngineName.TRITON)
    assert adapter.publisher.count("/") == 2
    assert "HF_HUB_OFFLINE" in adapter.environment(request(name).plan)


@pytest.mark.parametrize("name", list(EngineName))
def test_an_adapter_has_a_shutdown_argument_where_its_engine_has_one(name):
    adapter = engine(name)
    assert (adapter.shutdown_argument(30) is not None) == (Feature.SHUTDOWN_TIMEOUT in adapter.features)


@pytest.mark.parametrize("name", list(EngineName))
def test_only_engines_of_several_nodes_have_commands_for_them(name):
    adapter = engine(name)
    wanted = request(name, ENGINE_OPTIONS["nodes"])
    if Feature.MULTI_NODE in adapter.features:
        group = adapter.group_command(wanted)
        assert group.leader != group.worker
        assert group.ports
        assert "$(LWS_LEADER_ADDRESS)" in " ".join(group.worker)
    else:
        with pytest.raises(NotImplementedError):
            adapter.group_command(wanted)


def test_the_metrics_of_vllm_are_all_there_and_a_real_server_exports_them():
    metrics = engine_metrics(EngineName.VLLM)
    exposition = (EXPOSITIONS / f"vllm-{VERSIONS[EngineName.VLLM]}" / "loaded.txt").read_text()
    samples = [line for line in exposition.splitlines() if line.startswith("vllm:")]
    for field in EngineMetrics.__dataclass_fields__:
        name = getattr(metrics, field)
        assert name is not None, field
        if field.endswith("_label"):
            assert any(f'{name}="' in line for line in samples)
        elif field.endswith("_bounds"):
            series = getattr(metrics, field.removesuffix("_bounds"))
            buckets = re.findall(rf'^{series}_bucket\{{.*le="([0-9.]+)"', "\n".join(samples), re.MULTILINE)
            assert name == (min(map(float, buckets)), max(map(float, buckets)))
        else:
            assert any(re.match(rf"{name}(_bucket)?\{{", line) for line in samples), name


def test_sglang_listens_to_others_and_exports_metrics():
    values = arguments(command(EngineName.SGLANG))
    assert values["host"] == ["0.0.0.0"]
    assert values["enable-metrics"] == []
    assert values["model-path"] == [WEIGHTS]
    assert values["served-model-name"] == ["qwen3-8b"]


def test_sglang_is_told_the_share_of_weights_and_cache_alone():
    wanted = request(EngineName.SGLANG)
    values, plan = arguments(engine(EngineName.SGLANG).command(wanted)), wanted.plan
    assert float(values["mem-fraction-static"][0]) == plan.static_memory_share < plan.gpu_memory_utilization


@pytest.mark.parametrize(
    ("engine_options", "words"),
    [
        ({"chunked_prefill": False}, ["--chunked-prefill-size=-1"]),
        ({"chunked_prefill": True, "prefix_caching": True}, []),
        ({"max_batched_tokens": 4096}, ["--chunked-prefill-size=4096", "--max-prefill-tokens=4096"]),
        ({"prefix_caching": False}, ["--disable-radix-cache"]),
        ({"max_sequences": 64, "max_queued_requests": 8}, ["--max-running-requests=64", "--max-queued-requests=8"]),
        ({"graph_sizes": [2, 1]}, ["--cuda-graph-bs-decode", "1", "2"]),
        ({"structured_outputs": False}, ["--grammar-backend=none"]),
        ({"warm_up": False}, ["--skip-server-warmup"]),
        ({"flags": {"schedule-policy": "lpm"}}, ["--schedule-policy=lpm"]),
    ],
)
def test_an_option_of_the_stack_becomes_sglangs_flag(engine_options, words):
    bare = command(EngineName.SGLANG)
    # What is left for weights and cache follows from some of them.
    share = f"--mem-fraction-static={request(EngineName.SGLANG, engine_options).plan.static_memory_share}"
    shares = [] if share in bare else [share]
    other = [word for word in command(EngineName.SGLANG, engine_options) if word not in bare]
    assert sorted(other) == sorted([*shares, *words])
    assert [word for word in other if word != share] == words


def test_sglang_deals_experts_to_the_gpus_of_a_copy():
    values = arguments(command(EngineName.SGLANG, ENGINE_OPTIONS["spread"]))
    assert [values[name] for name in ("tp-size", "pp-size", "dp-size", "ep-size")] == [["2"], ["2"], ["2"], ["2"]]


def test_tgi_bounds_prompts_and_answers_together():
    values = arguments(command(EngineName.TGI, {"graph_sizes": [4, 1], "structured_outputs": False}))
    assert (values["max-total-tokens"], values["max-input-tokens"]) == (["8192"], ["8191"])
    assert values["num-shard"] == ["2"]
    assert values["cuda-graphs"] == ["1,4"]
    assert values["usage-stats"] == ["off"]
    assert values["disable-grammar-support"] == []


@pytest.mark.parametrize(
    ("quantization", "name"), [("bitsandbytes", ["bitsandbytes-nf4"]), ("fp8", ["fp8"]), ("awq", None)]
)
def test_tgi_names_only_what_it_quantizes_itself(quantization, name):
    assert arguments(command(EngineName.TGI, quantization=quantization)).get("quantize") == name


def test_tritons_model_repository_holds_what_its_vllm_is_told():
    adapter = engine(EngineName.TRITON)
    engine_options = {"max_sequences": 64, "prefix_caching": False, "graph_sizes": [2, 1]}
    files = adapter.files(request(EngineName.TRITON, engine_options, quantization="fp8"))
    assert set(files) == {"qwen3-8b/config.pbtxt", "qwen3-8b/1/model.json"}
    assert 'backend: "vllm"' in files["qwen3-8b/config.pbtxt"]
    config = text_format.Parse(files["qwen3-8b/config.pbtxt"], ModelConfig())
    assert config.backend == "vllm"
    (group,) = config.instance_group
    # One instance that takes the GPUs it is given: with KIND_GPU the back end refuses more than one GPU.
    assert (group.count, group.kind) == (1, ModelInstanceGroup.KIND_MODEL)
    assert config.parameters["REPORT_CUSTOM_METRICS"].string_value == "true"
    engine_config = json.loads(files["qwen3-8b/1/model.json"])
    assert engine_config["model"] == WEIGHTS
    assert engine_config["quantization"] == "fp8"
    assert engine_config["enable_prefix_caching"] is False
    assert (engine_config["max_num_seqs"], engine_config["cudagraph_capture_sizes"]) == (64, [1, 2])
    assert "max_num_batched_tokens" not in engine_config
    # Its keys are fields of vLLM's arguments, which have the names of its flags.
    known = catalog.engine_flags(EngineName.VLLM, "0.32.0")
    assert {key.replace("_", "-") for key in engine_config} <= set(known)
    words = command(EngineName.TRITON)
    assert f"--model-repository={adapter.files_folder}" in words
    assert "--default-max-tokens=8192" in words, "else an answer ends after 16 tokens"


@pytest.mark.parametrize("name", [EngineName.VLLM, EngineName.SGLANG, EngineName.TGI])
def test_other_engines_need_no_files(name):
    assert engine(name).files(request(name)) == {}


def test_a_release_with_its_kv_cache_in_fp8_says_so_to_the_engine():
    assert "--kv-cache-dtype=fp8" in command(EngineName.VLLM, kv_cache="fp8")
    assert "--kv-cache-dtype=fp8_e4m3" in command(EngineName.SGLANG, kv_cache="fp8")
    assert not [word for word in command(EngineName.VLLM) if "kv-cache-dtype" in word]
