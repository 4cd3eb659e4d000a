"""NVIDIA Triton with its vLLM back end and its OpenAI front end: command line, model repository and names of metrics.

Options of vLLM stand in ``model.json``, whose keys are those of vLLM's ``AsyncEngineArgs``; ``config.pbtxt`` names
the back end. The front end is part of the images ``<release>-vllm-python-py3`` (documentation of Triton,
"OpenAI-Compatible Frontend"); its options are those of release 25.12. For services that run on Triton already: vLLM
alone does more, with newer versions.
"""

import json
from collections.abc import Mapping
from typing import Any

from llm_serving.planning.placement import ModelPlan
from llm_serving.serving.engines.engine import EngineRequest, InferenceEngine
from llm_serving.spec import EngineName, Quantization

_FRONT_END = "/opt/tritonserver/python/openai/openai_frontend/main.py"
_NAMED_QUANTIZATION = {Quantization.FP8: "fp8"}
_CONFIG = """\
backend: "vllm"
instance_group [{ count: 1, kind: KIND_MODEL }]
parameters: { key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" } }
"""
"""Without the parameter the back end exports none of vLLM's metrics; its README, "Triton Metrics"."""


class Triton(InferenceEngine):
    """The adapter of Triton's vLLM back end."""

    name = EngineName.TRITON
    publisher = "nvcr.io/nvidia/tritonserver"
    port = 9000
    health_path = "/health/ready"
    metrics_path = "/metrics"
    environment_prefix = "VLLM"
    scratch_gib = 8
    files_folder = "/etc/triton"

    def command(self, request: EngineRequest) -> list[str]:
        """The OpenAI front end, which starts the server in its own process. The tokenizer is the model's. An answer may
        fill the context, as with vLLM's own API; the front end's default is 16 tokens."""
        return [
            "python3",
            _FRONT_END,
            f"--model-repository={self.files_folder}",
            f"--tokenizer={request.weights}",
            "--backend=vllm",
            f"--default-max-tokens={request.plan.max_model_len}",
            f"--openai-port={self.port}",
        ]

    def shutdown_argument(self, seconds: int) -> str | None:
        """The front end has no such time."""
        return None

    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Nothing is looked up on a hub, nothing is reported, and everything that is written goes below ``/tmp``."""
        return {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "HOME": "/tmp", "USER": "triton"}

    def files(self, request: EngineRequest) -> Mapping[str, str]:
        """The model repository: one model of the served name, with one version."""
        arguments = json.dumps(_engine_arguments(request), indent=2, sort_keys=True)
        model = request.release.name
        return {f"{model}/config.pbtxt": _CONFIG, f"{model}/1/model.json": arguments + "\n"}


def _engine_arguments(request: EngineRequest) -> dict[str, Any]:
    plan, options = request.plan, request.options
    arguments: dict[str, Any] = {
        "model": request.weights,
        "tensor_parallel_size": plan.tensor_parallelism,
        "pipeline_parallel_size": plan.pipeline_parallelism,
        "enable_expert_parallel": plan.expert_parallel,
        "max_model_len": plan.max_model_len,
        "gpu_memory_utilization": plan.gpu_memory_utilization,
        "disable_log_stats": False,  # as the metrics need it too
        "quantization": _NAMED_QUANTIZATION.get(request.release.quantization_while_loading),
        "enable_chunked_prefill": options.chunked_prefill,
        "enable_prefix_caching": options.prefix_caching,
        "max_num_batched_tokens": options.max_batched_tokens,
        "max_num_seqs": options.max_sequences,
        "load_format": "runai_streamer" if options.stream_weights else None,
        "cudagraph_capture_sizes": sorted(set(options.graph_sizes)) or None,
    }
    return {key: value for key, value in arguments.items() if value is not None}
