"""GPU memory: what a model takes, what is left for the KV cache and how many requests that holds.

Pure arithmetic on one engine instance. Which parallelism to take, and what the host must give, is
:mod:`.placement`. Every size is for one GPU unless it says otherwise; GiB are 2**30 bytes.
"""

from math import ceil, floor

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Accelerator, Architecture
from llm_serving.planning.host import HostShare, least_memory_gib
from llm_serving.spec import Quantization

GIB = 2**30
CACHE_BYTES = 2
"""Bytes of one value in the KV cache: 16 bits, the engine's default whatever the weights' quantization."""

BLOCK_TOKENS = 16
"""Tokens of one block of the KV cache (vLLM's default on CUDA): the cache holds whole blocks."""

GROUP_SIZE = 128
"""Weights that share one scale in AWQ and GPTQ checkpoints, as nearly all publishers make them."""

LINEAR_BYTES: dict[Quantization, float] = {
    Quantization.NONE: 2.0,
    Quantization.FP8: 1.0,
    Quantization.INT8: 1.0,
    Quantization.AWQ: (4 + (16 + 4) / GROUP_SIZE) / 8,
    Quantization.GPTQ: (4 + (16 + 4) / GROUP_SIZE) / 8,
}
"""Bytes of one parameter of a linear layer. Four bits carry a 16-bit scale and a 4-bit zero point a group:
0.52 bytes; with the embeddings at 16 bits that gives 5.7 GB for Llama 3.1 8B and 39.8 GB for 70B, the sizes
of the published AWQ checkpoints. Scales of 8-bit weights are one a channel and left out."""


class MemoryBudget(Frozen):
    """Where the memory of one GPU goes.

    Attributes:
        total_gib: memory of the accelerator, or of its part of the host where it has none of its own.
        usable_gib: memory that the engine may use: utilization x total.
        weights_gib: weights.
        activation_gib: peak of activations (catalog, ``engine_memory.csv``).
        non_torch_gib: CUDA context and communication buffers; the engine's processes where it runs in host memory.
        kv_cache_gib: what is left, in whole steps where the engine is told; negative where the weights alone are too
            large.
        kv_step_gib: steps in which the engine is told the size of its cache; ``None`` where it measures itself.
        kv_bytes_per_token: bytes that one token of context takes on this GPU.
        kv_cache_tokens: tokens that the cache holds, in whole blocks; the same on every GPU of the instance.
    """

    total_gib: float
    usable_gib: float
    weights_gib: float
    activation_gib: float
    non_torch_gib: float
    kv_cache_gib: float
    kv_step_gib: float | None
    kv_bytes_per_token: int
    kv_cache_tokens: int

    def concurrency(self, context_length: int) -> float:
        """How many requests of full context length the cache holds at once."""
        return self.kv_cache_tokens / context_length


def weight_bytes(architecture: Architecture, quantization: Quantization) -> float:
    """Bytes of all weights: linear layers quantized, embeddings and output projection at 16 bits. A mixture
    of experts counts with all its experts, since all of them must be in memory."""
    embeddings = architecture.embedding_parameters
    return (architecture.parameters - embeddings) * LINEAR_BYTES[quantization] + embeddings * 2.0


def kv_bytes_per_token(architecture: Architecture, tensor_parallelism: int = 1) -> int:
    """Bytes of KV cache that one token takes on each GPU: 2 x layers x kv_heads x head_dim x bytes. The KV
    heads are split over the GPUs; where there are more GPUs than KV heads each GPU holds a whole one (vLLM
    replicates them)."""
    heads = ceil(architecture.kv_heads / tensor_parallelism)
    return 2 * architecture.layers * heads * architecture.head_dim * CACHE_BYTES


def memory_budget(
    architecture: Architecture,
    quantization: Quantization,
    accelerator: Accelerator,
    tensor_parallelism: int,
    utilization: float,
    host: HostShare,
) -> MemoryBudget:
    """KV cache = utilization x memory - weights / TP - activation - non-torch memory (the way vLLM's worker
    sizes it after its profiling run). Activation is not divided by TP, because it was not measured for TP >
    1: an upper bound.

    An accelerator without memory of its own gets an equal part of ``host``, the memory of the whole instance, where the
    engine's processes live too.
    """
    device = catalog.device(accelerator.device)
    non_torch = device.context_gib if tensor_parallelism == 1 else device.context_parallel_gib
    total = accelerator.memory_gib
    if total is None:
        total = host.memory_gib / tensor_parallelism
        non_torch += least_memory_gib(device, tensor_parallelism) / tensor_parallelism
    usable = utilization * total
    weights = weight_bytes(architecture, quantization) / tensor_parallelism / GIB
    activation = catalog.engine_memory(architecture.family).activation_gib
    left = usable - weights - activation - non_torch
    if device.kv_step_gib is not None:
        left = floor(left / device.kv_step_gib) * device.kv_step_gib
    per_token = kv_bytes_per_token(architecture, tensor_parallelism)
    blocks = max(0, int(left * GIB // (per_token * BLOCK_TOKENS)))
    return MemoryBudget(
        total_gib=total,
        usable_gib=usable,
        weights_gib=weights,
        activation_gib=activation,
        non_torch_gib=non_torch,
        kv_cache_gib=left,
        kv_step_gib=device.kv_step_gib,
        kv_bytes_per_token=per_token,
        kv_cache_tokens=blocks * BLOCK_TOKENS,
    )


def parallelism_obstacle(architecture: Architecture, quantization: Quantization, size: int) -> str:
    """Why the model cannot be split over this many GPUs, or an empty string where it can.

    vLLM splits query heads evenly, splits or replicates KV heads evenly, and splits the MLP by columns;
    weights with group scales must be cut between groups ("input size is not aligned with the quantized weight
    shape").
    """
    if architecture.heads % size:
        return f"{size} does not divide the {architecture.heads} attention heads"
    if architecture.kv_heads % size and size % architecture.kv_heads:
        return f"{size} neither divides the {architecture.kv_heads} KV heads nor is a multiple of them"
    if architecture.intermediate_size % size:
        return f"{size} does not divide the MLP's width of {architecture.intermediate_size}"
    grouped = LINEAR_BYTES[quantization] < 1
    if grouped and architecture.intermediate_size % (size * GROUP_SIZE):
        return (
            f"the MLP's width of {architecture.intermediate_size} cannot be cut into {size} parts between "
            f"{quantization}'s groups of {GROUP_SIZE} weights"
        )
    return ""
