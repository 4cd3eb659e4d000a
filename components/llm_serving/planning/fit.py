"""GPU memory: what a model takes, what is left for the KV cache and how many requests that holds.

Pure arithmetic on one engine instance. Which parallelism to take is :mod:`.parallelism`, what the host must give
:mod:`.host`. Every size is for one GPU unless it says otherwise, and for the GPU that has the most to hold; GiB are
2**30 bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Accelerator
from llm_serving.planning.host import HostShare, least_memory_gib
from llm_serving.planning.profile_run import activation_bytes, encoder_bytes, graph_bytes, graph_count
from llm_serving.spec import AttentionKind, LayerFacts, Modality, ModelFacts, Quantization

GIB = 2**30
CACHE_BYTES = 2
"""Bytes of one value in the KV cache: 16 bits, the engine's default where neither release nor model says otherwise."""

BLOCK_TOKENS = 16
"""Tokens of one block of the KV cache (vLLM's default on CUDA): the cache holds whole blocks."""

GROUP_SIZE = 128
"""Weights that share one scale in AWQ and GPTQ checkpoints, as nearly all publishers make them."""

NF4_BLOCK = 64
"""Weights that share one 32-bit scale in bitsandbytes' NF4. The scales themselves may be stored in 8 bits ("double
quantization"), but engines expand them while loading (``_dequantize_dq`` in vllm-bnb-plugin and SGLang)."""

Q4_K_M_BYTES = 4.9 / 8
"""Bytes of one parameter in a GGUF file of type Q4_K_M, the usual choice, embeddings included: 4.92 GB for the 8.03
billion parameters of Llama 3.1 8B. llama.cpp's own table (``quantize/README.md``) has 4.80 to 4.84 bits for Llama 2,
whose vocabulary is smaller."""

LINEAR_BYTES: dict[Quantization, float] = {
    Quantization.NONE: 2.0,
    Quantization.FP8: 1.0,
    Quantization.INT8: 1.0,
    Quantization.AWQ: (4 + (16 + 4) / GROUP_SIZE) / 8,
    Quantization.GPTQ: (4 + (16 + 4) / GROUP_SIZE) / 8,
    Quantization.BITSANDBYTES: (4 + 32 / NF4_BLOCK) / 8,
    Quantization.GGUF: Q4_K_M_BYTES,
    Quantization.MXFP4: (4 + 8 / 32) / 8,
    Quantization.NVFP4: (4 + 8 / 16) / 8,
}
"""Bytes of one parameter of a linear layer. Four bits carry a 16-bit scale and a 4-bit zero point a group:
0.52 bytes; with the embeddings at 16 bits that gives 5.7 GB for Llama 3.1 8B and 39.8 GB for 70B, the sizes
of the published AWQ checkpoints. Scales of 8-bit weights are one a channel and left out; MXFP4 has one of 8
bits for 32 weights, NVFP4 for 16."""

EMBEDDING_BYTES: dict[Quantization, float] = {Quantization.GGUF: Q4_K_M_BYTES}
"""Bytes of one parameter of the embedding table and the output projection, where they are not 16 bits."""

GROUPED = frozenset({Quantization.AWQ, Quantization.GPTQ})
"""Quantizations whose weights must be cut between groups of :data:`GROUP_SIZE`."""


@dataclass(frozen=True)
class Parallelism:
    """How an instance is spread over GPUs. Sizes multiply to the number of its GPUs.

    Attributes:
        tensor: GPUs over which every layer is cut.
        pipeline: stages that the layers are dealt to.
        data: whole copies of the model.
        experts: experts of a mixture are dealt to the GPUs instead of being cut.
        nodes: nodes that all of them are on.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    experts: bool = False
    nodes: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of the instance, all nodes together."""
        return self.tensor * self.pipeline * self.data

    @property
    def gpus_per_node(self) -> int:
        """GPUs of the instance on each of its nodes."""
        return self.gpus // self.nodes

    @property
    def gpus_of_an_expert_layer(self) -> int:
        """GPUs that share the experts of one layer: the other sizes of a stage where experts are dealt, else those over
        which each expert is cut."""
        return self.tensor * self.data if self.experts else self.tensor

    def __str__(self) -> str:
        parts = [f"tensor {self.tensor}"]
        parts += [f"pipeline {self.pipeline}"] if self.pipeline > 1 else []
        parts += [f"data {self.data}"] if self.data > 1 else []
        return " x ".join(parts)


@dataclass(frozen=True)
class Demands:
    """What a stack and a release want of the memory beyond the weights.

    Attributes:
        context_length: longest request in tokens; ``None`` for the model's own.
        step_tokens: most tokens of one step; ``None`` for the engine's default on the GPU.
        batch: most requests of one batch; ``None`` for the engine's default on the GPU.
        captures_graphs: the engine captures CUDA graphs.
        counts_graphs: it takes them off the KV cache; else they come on top of what it may use.
        graph_sizes: sizes of batches for which it captures them; none for its default.
        cache_bytes: bytes of one value in the KV cache.
        offload_gib: weights on each GPU that the engine leaves in host memory, in GiB (``cpu-offload-gb``).
        loras: LoRA adapters that a batch holds at once.
        lora_rank: largest rank of them.
        media: most items of a request by modality; any number where none is set.
    """

    context_length: int | None = None
    step_tokens: int | None = None
    batch: int | None = None
    captures_graphs: bool = True
    counts_graphs: bool = True
    graph_sizes: tuple[int, ...] = ()
    cache_bytes: int = CACHE_BYTES
    offload_gib: float = 0.0
    loras: int = 0
    lora_rank: int = 16
    media: Mapping[Modality, int] = field(default_factory=dict[Modality, int])


NO_DEMANDS = Demands()


class MemoryBudget(Frozen):
    """Where the memory of one GPU goes.

    Attributes:
        total_gib: memory of the accelerator, or of its part of the host where it has none of its own.
        usable_gib: memory that the engine may use: utilization x total.
        weights_gib: weights.
        lora_gib: room for LoRA adapters.
        activation_gib: peak of activations, the outputs of an encoder of pictures or sound among them.
        graph_gib: CUDA graphs.
        counts_graphs: the engine takes them off the KV cache; else they come on top of what it may use.
        non_torch_gib: CUDA context and communication buffers; the engine's processes where it runs in host memory.
        kv_cache_gib: what is left, in whole steps where the engine is told; negative where the weights alone are too
            large.
        kv_step_gib: steps in which the engine is told the size of its cache; ``None`` where it measures itself.
        kv_bytes_per_token: bytes that one token of context takes on this GPU.
        kv_bytes_per_request: bytes that a request takes beside that, however long it is: windows and states.
        kv_cache_tokens: tokens that the cache holds, in whole blocks, as requests of full length; the same on every GPU
            of a copy of the model.
    """

    total_gib: float
    usable_gib: float
    weights_gib: float
    lora_gib: float
    activation_gib: float
    graph_gib: float
    counts_graphs: bool
    non_torch_gib: float
    kv_cache_gib: float
    kv_step_gib: float | None
    kv_bytes_per_token: int
    kv_bytes_per_request: int
    kv_cache_tokens: int

    def concurrency(self, context_length: int) -> float:
        """How many requests of full context length the cache of one copy holds at once."""
        return self.kv_cache_tokens / context_length

    @property
    def static_share(self) -> float:
        """Share of the memory that weights and KV cache take together, rounded down to thousandths: how engines count
        that do not measure activations."""
        static = self.usable_gib - self.activation_gib - self.graph_gib - self.non_torch_gib
        return max(0.0, floor(static / self.total_gib * 1000) / 1000)


def weight_bytes(facts: ModelFacts, quantization: Quantization) -> float:
    """Bytes of all weights. Those that are served as they are stored were counted; else linear layers are quantized,
    embeddings and output projection have 16 bits. A mixture of experts counts with all its experts, since all of them
    must be in memory."""
    if facts.weights and is_stored(facts, quantization):
        return float(facts.weight_bytes)
    embeddings = facts.embedding_parameters
    linear = (facts.parameters - embeddings) * LINEAR_BYTES[quantization]
    return linear + embeddings * EMBEDDING_BYTES.get(quantization, 2.0)


def loaded_weight_bytes(facts: ModelFacts, quantization: Quantization) -> float:
    """Bytes of all weights once they are loaded: engines take 32-bit weights in 16 bits ("Downcast for float32 models"
    in ``vllm/config/model.py`` 0.32.0)."""
    in_32_bits = facts.weights.get("F32", 0) if facts.quantization is None and quantization is Quantization.NONE else 0
    return weight_bytes(facts, quantization) - in_32_bits / 2


def is_stored(facts: ModelFacts, quantization: Quantization) -> bool:
    """Whether the model's repository has the weights in this quantization already, so that the engine converts none."""
    return (facts.quantization is None) is (quantization is Quantization.NONE)


def largest_tensor_bytes(facts: ModelFacts, quantization: Quantization) -> float:
    """Bytes of the largest tensor of a checkpoint: an embedding table, or the experts of a layer where the publisher
    stores them as one tensor, as many do: up and gate projection together."""
    table = facts.vocabulary * facts.hidden_size * EMBEDDING_BYTES.get(quantization, 2.0)
    if facts.experts is None:
        return table
    experts = facts.experts.count * facts.hidden_size * 2 * facts.experts.width
    return max(table, experts * LINEAR_BYTES[quantization])


def gpu_weight_bytes(facts: ModelFacts, quantization: Quantization, parallelism: Parallelism) -> float:
    """Bytes of weights on the GPU that has the most: of the longest stage, with one of the embedding tables where there
    are several stages (the first has the table, the last the projection), cut over the GPUs of the stage."""
    embeddings = facts.embedding_parameters
    tables = embeddings if parallelism.pipeline == 1 else facts.vocabulary * facts.hidden_size
    stage = stage_layers(facts.layer_count, parallelism.pipeline) / facts.layer_count
    table_bytes = EMBEDDING_BYTES.get(quantization, 2.0)
    linear_parameters = facts.parameters - embeddings
    loaded = loaded_weight_bytes(facts, quantization)
    linear_bytes = max(0.0, loaded - embeddings * table_bytes) / max(1, linear_parameters)
    experts = min(expert_parameters(facts), linear_parameters)
    linear = (linear_parameters - experts) / parallelism.tensor + experts / parallelism.gpus_of_an_expert_layer
    return linear * stage * linear_bytes + tables * table_bytes / parallelism.tensor


def expert_parameters(facts: ModelFacts) -> int:
    """Parameters of all experts of a mixture: three matrices each; 0 for dense models."""
    if facts.experts is None:
        return 0
    return 3 * facts.hidden_size * facts.experts.width * facts.experts.count * facts.experts.layers


def stage_layers(layers: int, stages: int) -> int:
    """Of so many layers those of the longest pipeline stage (``get_pp_indices`` of vLLM deals what does not divide one
    by one)."""
    return ceil(layers / stages)


def lora_bytes(facts: ModelFacts, parallelism: Parallelism, demands: Demands) -> float:
    """Bytes that the engine keeps for LoRA adapters, whatever adapters it loads: for each of ``loras`` places and each
    linear layer two 16-bit matrices of ``lora_rank``, one as wide as the layer's input, the other as its output. Of the
    layers that are cut by output (query, key, value, gate, up) the second is cut, of those cut by input (output, down)
    the first (``vllm/lora/layers``). Every expert of a mixture counts; so does the output projection."""
    if not demands.loras:
        return 0.0
    hidden, tensor = facts.hidden_size, parallelism.tensor
    head_dim = max((group.head_dim or 0 for group in facts.layers), default=0) or hidden // facts.heads
    attention = 4 * hidden + (2 * facts.heads * head_dim + 2 * facts.kv_heads * head_dim) / tensor
    experts = facts.experts.count if facts.experts else 1
    width = facts.experts.width if facts.experts else facts.intermediate_size
    split = experts * width * 3 / parallelism.gpus_of_an_expert_layer
    mlp = experts * 3 * hidden + split
    layers = stage_layers(facts.layer_count, parallelism.pipeline) * (attention + mlp)
    projection = hidden + facts.vocabulary
    return 2.0 * demands.loras * demands.lora_rank * (layers + projection)


def kv_bytes_per_token(
    facts: ModelFacts, tensor_parallelism: int = 1, stages: int = 1, cache_bytes: int = CACHE_BYTES
) -> int:
    """Bytes of KV cache that each further token of a request takes on each GPU, in the layers that keep all tokens,
    those of the longest pipeline stage: layers x KV heads x (width of key + width of value) x bytes. The KV heads are
    split over the GPUs; where there are more GPUs than KV heads each GPU holds a whole one (vLLM replicates them), and
    each holds all of a latent vector (``MLAAttentionSpec``)."""
    keep_all = (AttentionKind.FULL, AttentionKind.LATENT)
    return sum(
        stage_layers(group.count, stages) * _token_bytes(group, tensor_parallelism, cache_bytes)
        for group in facts.layers
        if group.attention in keep_all
    )


def kv_bytes_per_request(
    facts: ModelFacts, parallelism: Parallelism, context_length: int, step_tokens: int, cache_bytes: int = CACHE_BYTES
) -> int:
    """Bytes of KV cache that a request of this length takes on each GPU beside what grows with each token: a window of
    tokens with those of the steps in flight (``SlidingWindowSpec``, ``ChunkedLocalAttentionSpec``), and the state of
    layers that have one (``MambaSpec``), cut over the GPUs."""
    total = 0
    for group in facts.layers:
        layers = stage_layers(group.count, parallelism.pipeline)
        if group.attention is AttentionKind.SLIDING:
            in_flight = (parallelism.pipeline + 1) * step_tokens
            tokens = min(ceil(((group.window or 0) + in_flight) / BLOCK_TOKENS + 1) * BLOCK_TOKENS, context_length)
            total += layers * tokens * _token_bytes(group, parallelism.tensor, cache_bytes)
        elif group.attention is AttentionKind.STATE:
            total += layers * ceil((group.state_bytes or 0) / parallelism.tensor)
    return total


def _token_bytes(group: LayerFacts, tensor_parallelism: int, cache_bytes: int) -> int:
    """Bytes of one token in one layer."""
    if group.attention is AttentionKind.LATENT:
        return (group.latent_dim or 0) * cache_bytes + group.index_bytes
    heads = ceil((group.kv_heads or 0) / tensor_parallelism)
    width = (group.head_dim or 0) + (group.value_dim or group.head_dim or 0)
    return heads * width * cache_bytes


def memory_budget(
    facts: ModelFacts,
    quantization: Quantization,
    accelerator: Accelerator,
    parallelism: Parallelism,
    utilization: float,
    host: HostShare,
    demands: Demands = NO_DEMANDS,
) -> MemoryBudget:
    """KV cache = utilization x memory - weights - LoRA - activations - CUDA graphs - non-torch memory (the way vLLM's
    worker sizes it after its profiling run); weights without those that stay in host memory.

    An accelerator without memory of its own gets an equal part of ``host``, the memory of the instance on one node,
    where the engine's processes live too.
    """
    device = catalog.device(accelerator.device)
    is_cut = parallelism.tensor > 1 or parallelism.experts
    non_torch = device.context_parallel_gib if is_cut else device.context_gib
    total = accelerator.memory_gib
    if total is None:
        total = host.memory_gib / parallelism.gpus_per_node
        non_torch += least_memory_gib(device, parallelism.gpus_per_node) / parallelism.gpus_per_node
    usable = utilization * total
    weights = max(0.0, gpu_weight_bytes(facts, quantization, parallelism) / GIB - demands.offload_gib)
    lora = lora_bytes(facts, parallelism, demands) / GIB
    step = demands.step_tokens or accelerator.step_tokens
    batch = min(demands.batch or accelerator.batch, step)
    expert_gpus = parallelism.gpus_of_an_expert_layer
    context = demands.context_length or facts.max_context
    encoding, encoded = encoder_bytes(facts, step, batch, context, demands.media, parallelism.tensor)
    answering = activation_bytes(facts, step, batch, parallelism.tensor, expert_gpus)
    activation = (encoded + max(encoding, answering)) / GIB
    graphs = 0.0
    if device.compiles and demands.captures_graphs:
        layers = stage_layers(facts.layer_count, parallelism.pipeline)
        graphs = graph_bytes(layers, graph_count(accelerator, batch, demands.graph_sizes)) / GIB
    counted = graphs if demands.counts_graphs else 0.0
    left = usable - weights - lora - activation - counted - non_torch
    if device.kv_step_gib is not None:
        left = floor(left / device.kv_step_gib) * device.kv_step_gib
    per_token = kv_bytes_per_token(facts, parallelism.tensor, parallelism.pipeline, demands.cache_bytes)
    per_request = kv_bytes_per_request(facts, parallelism, context, step, demands.cache_bytes)
    return MemoryBudget(
        total_gib=total,
        usable_gib=usable,
        weights_gib=weights,
        lora_gib=lora,
        activation_gib=activation,
        graph_gib=graphs,
        counts_graphs=demands.counts_graphs,
        non_torch_gib=non_torch,
        kv_cache_gib=left,
        kv_step_gib=device.kv_step_gib,
        kv_bytes_per_token=per_token,
        kv_bytes_per_request=per_request,
        kv_cache_tokens=_cache_tokens(max(0.0, left) * GIB, per_token, per_request, context, batch),
    )


def _cache_tokens(cache_bytes: float, per_token: int, per_request: int, context_length: int, batch: int) -> int:
    """Tokens that a cache holds. Where requests take something beside their tokens, those of as many requests of full
    length as there is room for; a model that keeps nothing is limited by the size of its batches alone."""
    if per_request:
        return int(cache_bytes / (per_request + per_token * context_length) * context_length)
    if per_token:
        return int(cache_bytes // (per_token * BLOCK_TOKENS)) * BLOCK_TOKENS
    return batch * context_length if cache_bytes else 0


def parallelism_obstacle(facts: ModelFacts, quantization: Quantization, parallelism: Parallelism) -> str:
    """Why the model cannot be split like this, or an empty string where it can.

    vLLM splits query heads evenly, splits or replicates KV heads evenly, and splits the MLP by columns;
    weights with group scales must be cut between groups ("input size is not aligned with the quantized weight
    shape"). Experts that are dealt out are not cut. Every pipeline stage has at least one layer.
    """
    size, width = parallelism.tensor, facts.intermediate_size
    if facts.heads % size:
        return f"{size} does not divide the {facts.heads} attention heads"
    for heads in sorted({group.kv_heads for group in facts.layers if group.kv_heads}):
        if heads % size and size % heads:
            return f"{size} neither divides the {heads} KV heads nor is a multiple of them"
    if parallelism.pipeline > facts.layer_count:
        return f"{parallelism.pipeline} stages are more than the model's {facts.layer_count} layers"
    if parallelism.experts:
        expert_gpus, experts = parallelism.gpus_of_an_expert_layer, facts.experts.count if facts.experts else 1
        is_even = experts % expert_gpus == 0
        return "" if is_even else f"{expert_gpus} GPUs do not share {experts} experts evenly"
    if width % size:
        return f"{size} does not divide the MLP's width of {width}"
    group = facts.quantization.group_size if facts.quantization else None
    if quantization in GROUPED and width % (size * (group or GROUP_SIZE)):
        return (
            f"the MLP's width of {width} cannot be cut into {size} parts between "
            f"{quantization}'s groups of {group or GROUP_SIZE} weights"
        )
    return ""
