"""vLLM: command line, environment and names of metrics, as version 0.32 spells them.

Weights come from a local folder, so ``--revision`` is left out (it is a name on a hub). How AWQ, GPTQ and 8-bit integer
checkpoints are run is left to vLLM, which reads it from the checkpoint and picks the best kernel for the GPU
(``awq_marlin``, ``gptq_marlin``, ``compressed-tensors``); naming ``awq`` would force the slow one. ``fp8`` is named,
because it also quantizes 16-bit weights while loading.
"""

from collections.abc import Iterator, Mapping

from llm_serving.planning.placement import ModelPlan
from llm_serving.serving.engines.engine import (
    LEADER_ADDRESS,
    WORKER_INDEX,
    EngineRequest,
    GroupCommand,
    InferenceEngine,
    adapter_folder,
    media_json,
    sampling_json,
    user_flags,
)
from llm_serving.spec import EngineName, KvCacheType, Quantization, Task

_NAMED_QUANTIZATION = {Quantization.FP8: "fp8"}

_RENDEZVOUS_PORT = 29501
_DATA_PARALLEL_RPC_PORT = 29550
"""vLLM's own defaults of ``--master-port`` and ``--data-parallel-rpc-port``."""


class Vllm(InferenceEngine):
    """The adapter of vLLM."""

    name = EngineName.VLLM
    publisher = "docker.io/vllm/vllm-openai"
    port = 8000
    health_path = "/health"
    metrics_path = "/metrics"
    environment_prefix = "VLLM"
    scratch_gib = 8

    def command(self, request: EngineRequest) -> list[str]:
        """``vllm serve`` with the weights as positional argument: its ``--model`` is deprecated."""
        return [
            "vllm",
            "serve",
            request.weights,
            f"--served-model-name={request.release.name}",
            f"--port={self.port}",
            *_parallelism(request.plan),
            f"--max-model-len={request.plan.max_model_len}",
            f"--disable-access-log-for-endpoints={self.health_path},{self.metrics_path}",
            *_memory(request.plan),
            *_scheduling(request),
            *_answers(request),
            *_loading(request),
            *user_flags(request.options),
        ]

    def group_command(self, request: EngineRequest) -> GroupCommand:
        """vLLM's own multi-node mode (``--nnodes``) with multiprocessing on each node; workers are headless."""
        plan = request.plan
        rendezvous = [
            f"--nnodes={plan.nodes}",
            f"--master-addr={LEADER_ADDRESS}",
            f"--master-port={_RENDEZVOUS_PORT}",
        ]
        common = self.command(request)
        worker = [argument for argument in common if not argument.startswith("--api-server-count=")]
        return GroupCommand(
            leader=[*common, *rendezvous, "--node-rank=0"],
            worker=[*worker, *rendezvous, f"--node-rank={WORKER_INDEX}", "--headless"],
            ports=(_RENDEZVOUS_PORT, _DATA_PARALLEL_RPC_PORT) if plan.data_parallelism > 1 else (_RENDEZVOUS_PORT,),
        )

    def shutdown_argument(self, seconds: int) -> str | None:
        """Without it SIGTERM aborts every request."""
        return f"--shutdown-timeout={seconds}"

    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Nothing is looked up on a hub, nothing is reported, and everything that is written goes below ``/tmp``."""
        return {
            **(_cpu_environment(plan) if plan.kv_cache_is_given else {}),
            **_stream_environment(plan),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HOME": "/tmp",
            # PyTorch names its cache folders after the user and fails for a uid without a name and this variable.
            "USER": "vllm",
        }


def _parallelism(plan: ModelPlan) -> Iterator[str]:
    yield f"--tensor-parallel-size={plan.tensor_parallelism}"
    if plan.pipeline_parallelism > 1:
        yield f"--pipeline-parallel-size={plan.pipeline_parallelism}"
    if plan.data_parallelism > 1:
        yield f"--data-parallel-size={plan.data_parallelism}"
        # Else there is a process of the API for each copy: each would count a queue of its own for the admission caps,
        # and metrics of the process would be gone.
        yield "--api-server-count=1"
    if plan.expert_parallel:
        yield "--enable-expert-parallel"


def _memory(plan: ModelPlan) -> Iterator[str]:
    if not plan.kv_cache_is_given:
        yield f"--gpu-memory-utilization={plan.gpu_memory_utilization:g}"
    if not plan.compiles:
        yield "--enforce-eager"


def _scheduling(request: EngineRequest) -> Iterator[str]:
    options = request.options
    if options.chunked_prefill is not None:
        yield "--enable-chunked-prefill" if options.chunked_prefill else "--no-enable-chunked-prefill"
    if options.prefix_caching is not None:
        yield "--enable-prefix-caching" if options.prefix_caching else "--no-enable-prefix-caching"
    if options.max_batched_tokens is not None:
        yield f"--max-num-batched-tokens={options.max_batched_tokens}"
    if options.max_sequences is not None:
        yield f"--max-num-seqs={options.max_sequences}"
    if options.max_queued_requests is not None:
        # vLLM counts running requests too, those of all copies (documentation of SchedulerConfig.max_num_queued_reqs).
        running = request.plan.data_parallelism * (options.max_sequences or 0)
        yield f"--max-num-queued-reqs={running + options.max_queued_requests}"
    if options.max_queued_tokens is not None:
        yield f"--max-num-queued-tokens={options.max_queued_tokens}"
    if options.media_per_prompt:
        yield f"--limit-mm-per-prompt={media_json(options)}"
    if options.graph_sizes:
        yield "--cudagraph-capture-sizes"
        yield from (str(size) for size in sorted(set(options.graph_sizes)))


def _answers(request: EngineRequest) -> Iterator[str]:
    release, options = request.release, request.options
    if release.task is not Task.GENERATE:
        yield "--runner=pooling"
    quantization = _NAMED_QUANTIZATION.get(release.quantization_while_loading)
    if quantization is not None:
        yield f"--quantization={quantization}"
    if release.kv_cache is not KvCacheType.AUTO:
        yield f"--kv-cache-dtype={release.kv_cache}"
    if request.chat_template is not None:
        yield f"--chat-template={request.chat_template}"
    if release.sampling:
        yield f"--override-generation-config={sampling_json(release)}"
    if release.tool_parser is not None:
        yield "--enable-auto-tool-choice"
        yield f"--tool-call-parser={release.tool_parser}"
    if release.reasoning_parser is not None:
        yield f"--reasoning-parser={release.reasoning_parser}"
    if options.max_loras and release.adapters:
        yield "--enable-lora"
        yield f"--max-loras={options.max_loras}"
        yield f"--max-lora-rank={options.max_lora_rank}"
        yield "--lora-modules"
        yield from (f"{adapter.name}={adapter_folder(request.weights, adapter.name)}" for adapter in release.adapters)


def _loading(request: EngineRequest) -> Iterator[str]:
    if request.options.stream_weights:
        yield "--load-format=runai_streamer"
        if request.plan.tensor_parallelism > 1:
            # Each GPU reads a part and passes it on, where it would else read everything (documentation of the loader).
            yield '--model-loader-extra-config={"distributed": true}'


def _stream_environment(plan: ModelPlan) -> dict[str, str]:
    """Else each process buffers up to 40 GB, which is more than most instances have."""
    limit = plan.stream_buffer_bytes
    return {} if limit is None else {"RUNAI_STREAMER_MEMORY_LIMIT": str(limit)}


def _cpu_environment(plan: ModelPlan) -> dict[str, str]:
    """Of all devices on which the engine is told the size of its cache, vLLM knows the CPU alone. Left to itself it
    binds its threads to the node's first cores, where those of every other instance are bound already."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(int(plan.kv_cache_gib)),  # whole GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, int(plan.cpu))),
    }
