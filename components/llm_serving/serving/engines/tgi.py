"""Text Generation Inference, which its makers keep in maintenance mode: command line, environment and names of metrics
of its version 3. For services that run on it already; new ones have no reason to choose it.

It has no name for the model of its own: whatever name a request carries is answered.
"""

from collections.abc import Iterator, Mapping

from llm_serving.planning.placement import ModelPlan
from llm_serving.serving.engines.engine import EngineRequest, InferenceEngine
from llm_serving.spec import EngineName, Quantization

_NAMED_QUANTIZATION = {Quantization.FP8: "fp8", Quantization.BITSANDBYTES: "bitsandbytes-nf4"}
"""The others are read from the checkpoint."""


class Tgi(InferenceEngine):
    """The adapter of Text Generation Inference."""

    name = EngineName.TGI
    publisher = "ghcr.io/huggingface/text-generation-inference"
    port = 3000
    health_path = "/health"
    metrics_path = "/metrics"
    environment_prefix = "TGI"
    scratch_gib = 8
    lists_its_model = False

    def command(self, request: EngineRequest) -> list[str]:
        """``text-generation-launcher``. Prompt and answer together may take the whole context, a prompt alone one token
        less."""
        plan = request.plan
        return [
            "text-generation-launcher",
            f"--model-id={request.weights}",
            f"--port={self.port}",
            f"--num-shard={plan.tensor_parallelism}",
            f"--max-total-tokens={plan.max_model_len}",
            f"--max-input-tokens={plan.max_model_len - 1}",
            f"--cuda-memory-fraction={plan.gpu_memory_utilization:g}",
            "--usage-stats=off",
            "--json-output",
            *_options(request),
        ]

    def shutdown_argument(self, seconds: int) -> str | None:
        """It has no time of its own; the grace period ends running requests."""
        return None

    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Nothing is looked up on a hub, and everything that is written goes below ``/tmp``."""
        return {"HF_HUB_OFFLINE": "1", "HOME": "/tmp", "USER": "tgi"}


def _options(request: EngineRequest) -> Iterator[str]:
    options = request.options
    quantization = _NAMED_QUANTIZATION.get(request.release.quantization_while_loading)
    if quantization is not None:
        yield f"--quantize={quantization}"
    if options.max_batched_tokens is not None:
        yield f"--max-batch-prefill-tokens={options.max_batched_tokens}"
    if options.graph_sizes:
        yield f"--cuda-graphs={','.join(str(size) for size in sorted(set(options.graph_sizes)))}"
    if not options.structured_outputs:
        yield "--disable-grammar-support"
