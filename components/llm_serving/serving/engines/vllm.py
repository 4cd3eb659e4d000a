"""vLLM: command line, environment and names of metrics, as version 0.32 spells them.

Weights come from a local folder, so ``--revision`` is left out (it is a name on a hub). How AWQ, GPTQ and 8-bit integer
checkpoints are run is left to vLLM, which reads it from the checkpoint and picks the best kernel for the GPU
(``awq_marlin``, ``gptq_marlin``, ``compressed-tensors``); naming ``awq`` would force the slow one. ``fp8`` is named,
because it also quantizes 16-bit weights while loading.
"""

import json
from collections.abc import Mapping

from llm_serving.planning.placement import ModelPlan
from llm_serving.serving.engines.engine import Engine, EngineMetrics
from llm_serving.spec import EngineName, Quantization, ReleaseSpec

_NAMED_QUANTIZATION = {Quantization.FP8: "fp8"}


class Vllm(Engine):
    """The adapter of vLLM."""

    name = EngineName.VLLM
    port = 8000
    health_path = "/health"
    metrics_path = "/metrics"
    environment_prefix = "VLLM"
    scratch_gib = 8
    metrics = EngineMetrics(
        model_label="model_name",
        requests_running="vllm:num_requests_running",
        requests_waiting="vllm:num_requests_waiting",
        kv_cache_usage="vllm:kv_cache_usage_perc",
        prompt_tokens="vllm:prompt_tokens_total",
        generation_tokens="vllm:generation_tokens_total",
        requests_finished="vllm:request_success_total",
        finished_reason_label="finished_reason",
        preemptions="vllm:num_preemptions_total",
        rejections="vllm:admission_rejections_total",
        prefix_cache_queries="vllm:prefix_cache_queries_total",
        prefix_cache_hits="vllm:prefix_cache_hits_total",
        time_to_first_token="vllm:time_to_first_token_seconds",
        inter_token_latency="vllm:inter_token_latency_seconds",
        request_latency="vllm:e2e_request_latency_seconds",
        queue_time="vllm:request_queue_time_seconds",
    )

    def command(
        self, plan: ModelPlan, release: ReleaseSpec, weights: str, chat_template: str | None = None
    ) -> list[str]:
        """``vllm serve`` with the weights as positional argument: its ``--model`` is deprecated."""
        command = [
            "vllm",
            "serve",
            weights,
            f"--served-model-name={release.name}",
            f"--port={self.port}",
            f"--tensor-parallel-size={plan.tensor_parallelism}",
            f"--max-model-len={plan.max_model_len}",
            f"--disable-access-log-for-endpoints={self.health_path},{self.metrics_path}",
        ]
        if not plan.kv_cache_is_given:
            command.append(f"--gpu-memory-utilization={plan.gpu_memory_utilization:g}")
        if not plan.compiles:
            command.append("--enforce-eager")
        quantization = _NAMED_QUANTIZATION.get(release.quantization)
        if quantization is not None:
            command.append(f"--quantization={quantization}")
        if chat_template is not None:
            command.append(f"--chat-template={chat_template}")
        if release.sampling:
            defaults = {key: _number(value) for key, value in sorted(release.sampling.items())}
            command.append(f"--override-generation-config={json.dumps(defaults)}")
        return command

    def shutdown_argument(self, seconds: int) -> str:
        """Without it SIGTERM aborts every request."""
        return f"--shutdown-timeout={seconds}"

    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Nothing is looked up on a hub, nothing is reported, and everything that is written goes below ``/tmp``."""
        return {
            **(_on_a_cpu(plan) if plan.kv_cache_is_given else {}),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HOME": "/tmp",
            # PyTorch names its cache folders after the user and fails for a uid without a name and this variable.
            "USER": "vllm",
        }


def _on_a_cpu(plan: ModelPlan) -> dict[str, str]:
    """Of all devices on which the engine is told the size of its cache, vLLM knows the CPU alone. Left to itself it
    binds its threads to the node's first cores, where those of every other instance are bound already."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(int(plan.kv_cache_gib)),  # whole GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, int(plan.cpu))),
    }


def _number(value: float) -> float | int:
    """``top_k`` must be a whole number; the plugin protocol sends 20.0."""
    return int(value) if value.is_integer() else value
