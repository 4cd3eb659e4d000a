"""SGLang: command line, environment and names of metrics, as version 0.5.23 spells them.

As with vLLM, how AWQ, GPTQ and 8-bit integer checkpoints are run is read from the checkpoint; ``fp8`` is named, because
it also quantizes 16-bit weights while loading. LoRA is not rendered: its OpenAI API knows an adapter as
``<model>:<adapter>`` alone and answers a request under the adapter's own name with the base model.
"""

from collections.abc import Iterator, Mapping

from llm_serving.planning.placement import ModelPlan
from llm_serving.serving.engines.engine import (
    LEADER_ADDRESS,
    WORKER_INDEX,
    EngineRequest,
    GroupCommand,
    InferenceEngine,
    media_json,
    user_flags,
)
from llm_serving.spec import EngineName, EngineSpec, KvCacheType, Quantization

_NAMED_QUANTIZATION = {Quantization.FP8: "fp8"}

_RENDEZVOUS_PORT = 20000
"""Port of the leader; the one in SGLang's own examples."""


class Sglang(InferenceEngine):
    """The adapter of SGLang."""

    name = EngineName.SGLANG
    publisher = "docker.io/lmsysorg/sglang"
    port = 30000
    health_path = "/health"
    metrics_path = "/metrics"
    environment_prefix = "SGLANG"
    scratch_gib = 8

    def command(self, request: EngineRequest) -> list[str]:
        """``sglang.launch_server``. It listens on the loopback address alone unless told otherwise, and counts the
        share of memory for weights and KV cache only."""
        return [
            "python3",
            "-m",
            "sglang.launch_server",
            f"--model-path={request.weights}",
            f"--served-model-name={request.release.name}",
            "--host=0.0.0.0",
            f"--port={self.port}",
            "--enable-metrics",
            "--uvicorn-access-log-exclude-prefixes",
            self.health_path,
            self.metrics_path,
            *_parallelism(request.plan),
            f"--context-length={request.plan.max_model_len}",
            f"--mem-fraction-static={request.plan.static_memory_share:g}",
            *_scheduling(request.options),
            *_answers(request),
            *([] if request.options.warm_up else ["--skip-server-warmup"]),
            *user_flags(request.options),
        ]

    def group_command(self, request: EngineRequest) -> GroupCommand:
        """SGLang's own multi-node mode: the same command on each node, but for the rank."""
        common = [
            *self.command(request),
            f"--nnodes={request.plan.nodes}",
            f"--dist-init-addr={LEADER_ADDRESS}:{_RENDEZVOUS_PORT}",
        ]
        return GroupCommand(
            leader=[*common, "--node-rank=0"],
            worker=[*common, f"--node-rank={WORKER_INDEX}"],
            ports=(_RENDEZVOUS_PORT,),
        )

    def shutdown_argument(self, seconds: int) -> str | None:
        """It waits for running requests after SIGTERM without a limit of its own; the grace period is the limit."""
        return None

    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Nothing is looked up on a hub, and everything that is written goes below ``/tmp``."""
        return {
            "HF_HUB_OFFLINE": "1",
            "HOME": "/tmp",
            # PyTorch names its cache folders after the user and fails for a uid without a name and this variable.
            "USER": "sglang",
        }


def _parallelism(plan: ModelPlan) -> Iterator[str]:
    yield f"--tp-size={plan.tensor_parallelism}"
    if plan.pipeline_parallelism > 1:
        yield f"--pp-size={plan.pipeline_parallelism}"
    if plan.data_parallelism > 1:
        yield f"--dp-size={plan.data_parallelism}"
    if plan.expert_parallel:
        yield f"--ep-size={plan.tensor_parallelism}"


def _scheduling(options: EngineSpec) -> Iterator[str]:
    if options.chunked_prefill is False:
        yield "--chunked-prefill-size=-1"
    elif options.max_batched_tokens is not None:
        yield f"--chunked-prefill-size={options.max_batched_tokens}"
    if options.max_batched_tokens is not None:
        yield f"--max-prefill-tokens={options.max_batched_tokens}"
    if options.prefix_caching is False:
        yield "--disable-radix-cache"
    if options.max_sequences is not None:
        yield f"--max-running-requests={options.max_sequences}"
    if options.max_queued_requests is not None:
        yield f"--max-queued-requests={options.max_queued_requests}"
    if options.media_per_prompt:
        yield f"--limit-mm-data-per-request={media_json(options)}"
    if options.graph_sizes:
        yield "--cuda-graph-bs-decode"
        yield from (str(size) for size in sorted(set(options.graph_sizes)))


def _answers(request: EngineRequest) -> Iterator[str]:
    release = request.release
    quantization = _NAMED_QUANTIZATION.get(release.quantization_while_loading)
    if quantization is not None:
        yield f"--quantization={quantization}"
    if request.chat_template is not None:
        yield f"--chat-template={request.chat_template}"
    if release.tool_parser is not None:
        yield f"--tool-call-parser={release.tool_parser}"
    if release.kv_cache is KvCacheType.FP8:
        yield "--kv-cache-dtype=fp8_e4m3"
    if release.reasoning_parser is not None:
        yield f"--reasoning-parser={release.reasoning_parser}"
    if not request.options.structured_outputs:
        yield "--grammar-backend=none"
