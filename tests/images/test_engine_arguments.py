"""Every command line that we render for vLLM is read by the pinned vLLM's own parser, as are the catalog's flags."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_serving import catalog
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.machine_offers import smallest_offer
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import plan_model
from llm_serving.planning.rules.engine_flags import check_flags
from llm_serving.serving.engines import EngineRequest, engine
from llm_serving.spec import EngineName, EngineRelease, EngineSpec, ModelSpec, Quantization, ReleaseSpec
from stacks.releases.store import read_releases
from tests.images import vllm_distribution

VERSION = "0.32.0"
VLLM = engine(EngineName.VLLM)
REPOSITORY = Path(__file__).parents[2]
NODE = NodeShape(accelerator="H100-80GB", gpus=8, cpu=200, memory_gib=1600)
CPU_NODE = NodeShape(accelerator="CPU", gpus=2, cpu=4, memory_gib=32)

RELEASE: dict[str, Any] = {
    "name": "chat",
    "version": "1.0.0",
    "engine": {"name": "vllm", "version": VERSION},
    "image": {"repository": "vllm-openai", "tag": "v0.32.0"},
    "model": {"architecture": "llama-3.1-8b", "repository": "a/b", "revision": "0" * 40, "license": "x"},
    "contextLength": 8192,
}
MIXTURE = {**RELEASE["model"], "architecture": "mixtral-8x7b"}
VECTORS = {key: value for key, value in RELEASE["model"].items() if key != "architecture"} | {
    "facts": {**catalog.architecture("llama-3.1-8b").facts.model_dump(mode="json", by_alias=True), "task": "embed"}
}
ADAPTERS = [{"name": name, "repository": "a/b", "revision": "1" * 40, "rank": 16} for name in ("sql", "prose")]

ENGINE: dict[str, dict[str, Any]] = {
    "pipeline": {"pipelineParallelism": 2},
    "copies": {"dataParallelism": 2},
    "chunked": {"chunkedPrefill": True},
    "whole prompts": {"chunkedPrefill": False, "maxBatchedTokens": 8192},
    "prefixes": {"prefixCaching": True},
    "no prefixes": {"prefixCaching": False},
    "steps": {"maxBatchedTokens": 16384, "maxSequences": 512},
    "caps": {"maxSequences": 64, "maxQueuedRequests": 16, "maxQueuedTokens": 100000, "dataParallelism": 2},
    "streamed": {"streamWeights": True},
    "graphs": {"graphSizes": [4, 1, 2]},
    "no warm-up": {"warmUp": False},
    "flags": {
        "flags": {
            "seed": 7.0,
            "async-scheduling": False,
            "enable-mfu-metrics": True,
            "compilation-config.mode": 3,
            "compilation-config.cudagraph_copy_inputs": False,
            "speculative-config": '{"method": "ngram", "num_speculative_tokens": 3}',
            "scheduling-policy": "priority",
            "stream-interval": 4,
            "max-logprobs": "5",
        }
    },
}
OF_RELEASE: dict[str, dict[str, Any]] = {
    **{f"{scheme.value}": {"quantization": scheme.value} for scheme in Quantization if scheme.value != "gguf"},
    "sampling": {"sampling": {"temperature": 0.6, "top_k": 20.0}},
    "tools": {"toolParser": "hermes"},
    "thoughts": {"reasoningParser": "qwen3"},
    "vectors": {"model": VECTORS},
}


def _release(**fields: Any) -> ReleaseSpec:
    return ReleaseSpec.model_validate({**RELEASE, **fields})


def _model(**fields: Any) -> ModelSpec:
    fields = {"name": "chat", "releases": {"stable": "1.0.0"}, "pool": "pool", **fields}
    return ModelSpec.model_validate(fields)


def _rendered(
    weights: str, model: ModelSpec, release: ReleaseSpec, node: NodeShape = NODE, template: str | None = None
) -> list[str]:
    plan = plan_model(model, release, node, cloud_named(node.cloud))
    command = VLLM.command(EngineRequest(plan, release, model.engine, weights, template))
    argument = VLLM.shutdown_argument(30)
    return command if argument is None else [*command, argument]


def _matrix(weights: str) -> Iterator[tuple[str, list[str]]]:
    """Each option alone, all of them together, several nodes, a CPU, and every release that is committed."""
    for name, options in ENGINE.items():
        yield name, _rendered(weights, _model(engine=options), _release())
    for name, fields in OF_RELEASE.items():
        yield name, _rendered(weights, _model(), _release(**fields))
    adapted = _release(adapters=ADAPTERS)
    yield (
        "adapters",
        _rendered(weights, _model(engine={"maxLoras": 2, "maxLoraRank": 64}), adapted, NODE, "/etc/t.jinja"),
    )
    yield "cpu", _rendered(weights, _model(), _release(), CPU_NODE.model_copy(update={"memory_gib": 128}))
    everything = {key: value for options in ENGINE.values() for key, value in options.items()}
    everything |= {"expertParallel": True, "maxLoras": 2, "maxBatchedTokens": 8192}
    mixture = _release(
        model=MIXTURE, quantization="fp8", adapters=ADAPTERS, toolParser="mistral", sampling={"top_k": 1}
    )
    yield "everything", _rendered(weights, _model(tensorParallelism=2, engine=everything), mixture)
    across = _model(engine={"nodes": 2, "pipelineParallelism": 2, "streamWeights": True})
    plan = plan_model(across, _release(), NODE, cloud_named(NODE.cloud))
    group = VLLM.group_command(EngineRequest(plan, _release(), across.engine, weights))
    yield "leader", group.leader
    yield "worker", [word.replace("$(LWS_WORKER_INDEX)", "1") for word in group.worker]
    for (name, version), release in read_releases().items():
        spec = release.spec
        model_spec = ModelSpec.model_validate({"name": name, "releases": {"stable": version}, "pool": "pool"})
        offer = smallest_offer(model_spec, spec)
        assert offer is not None
        yield f"{name} {version}", _rendered(weights, model_spec, spec, offer.node)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What vLLM makes of the matrix: one process, because importing vLLM takes many seconds."""
    try:
        packages = vllm_distribution.site_packages(VERSION)
        python = vllm_distribution.interpreter(packages)
    except vllm_distribution.NotHereError as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    weights = str(tmp_path_factory.mktemp("weights"))
    bad = {f"bad {name}": [*_rendered(weights, _model(), _release()), name] for name in BAD}
    request = {"commands": {**dict(_matrix(weights)), **bad}, "flags": str(REPOSITORY / "tools" / "engines")}
    script = Path(__file__).with_name("parse_arguments.py")
    answer = vllm_distribution.run(python, packages, script, json.dumps(request))
    return {"weights": weights, **json.loads(answer.splitlines()[-1])}


BAD = (
    "--max-num-seqz=4",
    "--async-scheduling=yes",
    "--disable-log-stats=false",
    "--scheduling-policy=prio",
    "--seed=x",
)
"""Refused by the parser, and by our rule when a stack asks for it."""


def test_every_rendered_command_line_is_read_by_vllms_own_parser(read):
    refused = {name: error for name, error in read["refused"].items() if not name.startswith("bad ")}
    assert not refused
    assert {f"{name} {version}" for name, version in read_releases()} <= set(read["parsed"])
    assert {"everything", "leader", "worker", "cpu", "adapters"} <= set(read["parsed"])


def test_vllm_understands_what_was_meant(read):
    everything, caps, flags = (read["parsed"][name] for name in ("everything", "caps", "flags"))
    assert everything["model_tag"] == read["weights"]
    assert everything["served_model_name"] == ["chat"]
    assert (everything["tensor_parallel_size"], everything["pipeline_parallel_size"]) == (2, 2)
    assert (everything["data_parallel_size"], everything["enable_expert_parallel"]) == (2, True)
    assert everything["quantization"] == "fp8"
    assert everything["load_format"] == "runai_streamer"
    assert everything["model_loader_extra_config"] == {"distributed": True}
    assert everything["cudagraph_capture_sizes"] == [1, 2, 4]
    assert everything["override_generation_config"] == {"top_k": 1}
    assert everything["shutdown_timeout"] == 30
    assert [module["name"] for module in everything["lora_modules"]] == ["sql", "prose"]
    assert caps["max_num_queued_reqs"] == 2 * 64 + 16
    assert flags["async_scheduling"] is False
    assert (flags["seed"], flags["stream_interval"], flags["max_logprobs"]) == (7, 4, 5)
    assert flags["speculative_config"]["method"] == "ngram"
    assert read["parsed"]["whole prompts"]["enable_chunked_prefill"] is False
    assert read["parsed"]["cpu"]["enforce_eager"] is True
    worker = read["parsed"]["worker"]
    assert (worker["headless"], worker["nnodes"], worker["node_rank"]) == (True, 2, 1)


def test_what_our_rule_refuses_vllm_refuses(read):
    values = {"4": 4, "false": False}
    for word in BAD:
        assert f"bad {word}" in read["refused"], word
        name, _, value = word.removeprefix("--").partition("=")
        options = EngineSpec.model_validate({"flags": {name: values.get(value, value)}})
        release = EngineRelease(name=EngineName.VLLM, version=VERSION)
        assert list(check_flags("models[0]", release, options)), word


def test_the_catalogs_flags_are_those_of_the_parser(read):
    data = REPOSITORY / "components" / "llm_serving" / "catalog" / "data" / "engine_flags.csv"
    lines = (line for line in data.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    columns = ("flag", "kind", "alias_of", "choices")
    recorded = [row for row in csv.DictReader(lines) if (row["engine"], row["version"]) == ("vllm", VERSION)]
    assert [[row[column] for column in columns] for row in recorded] == [
        [row[column] for column in columns] for row in read["rows"]
    ]
    assert len(recorded) == len(catalog.engine_flags(EngineName.VLLM, VERSION)) > 300
