"""What vLLM finds out in its profiling run and takes off the KV cache: the peak of activations, and CUDA graphs.

Estimates by the shape of the model, with constants fitted on vLLM's own logs; how far they are off is stated in
``docs/gpu-memory.md``, and a test reproduces that table. Every size is for one GPU.
"""

from collections.abc import Mapping

from llm_serving.catalog import Accelerator
from llm_serving.spec import EncoderFacts, Modality, ModelFacts, Task

ACTIVATION_BYTES = 2
"""Bytes of one value that layers hand on: 16 bits."""

LOGIT_BYTES = 14.5
"""Bytes of one logit at the peak of sampling: as computed in 16 bits, a copy in 32, and what top-k and top-p make of
it. The profiling run samples a full batch at once, with the whole vocabulary on every GPU (``_dummy_sampler_run``).
Fitted on logs of vLLM 0.17 to 0.31, from vocabularies of 49,000 to 256,000."""

FIRST_GRAPH_BYTES = 256 * 2**20
"""The first graph of a kind: what all of them share. Logs of vLLM 0.19 have 134 to 262 MiB for its largest kind."""

GRAPH_LAYER_BYTES = 0.2 * 2**20
"""Each further graph, by layer of the model: the same logs have 6 MiB for 32 layers, 8 to 10 MiB for 46."""


def activation_bytes(facts: ModelFacts, step_tokens: int, batch: int, tensor: int, expert_gpus: int) -> float:
    """Peak of activations in the profiling run, which takes a full step and then samples a full batch: whichever of
    both is larger, and the work space of experts, which stays.

    Args:
        facts: the model.
        step_tokens: tokens of one step.
        batch: requests of one batch.
        tensor: GPUs over which every layer is cut.
        expert_gpus: GPUs that share the experts of a layer.
    """
    token = ACTIVATION_BYTES * step_tokens
    width = facts.intermediate_size if facts.experts is None or facts.experts.layers < facts.layer_count else 0
    # Residual, input and output of the layer and of its norm; gate and up projection with their product.
    layers = token * (4 * facts.hidden_size + 3 * width / tensor)
    logits = batch * facts.vocabulary if facts.task is Task.GENERATE else 0
    sampling = token * 2 * facts.hidden_size + LOGIT_BYTES * logits
    experts = 0.0
    if facts.experts is not None:
        # Each token goes to so many experts: its copies, their gate and up projections, and the products of these.
        width = facts.experts.width / (tensor if expert_gpus == tensor else 1)
        experts = token * facts.experts.active * (facts.hidden_size + 3 * width)
    return experts + max(layers, sampling)


def encoder_bytes(
    facts: ModelFacts, step_tokens: int, batch: int, context: int, limits: Mapping[Modality, int], tensor: int
) -> tuple[float, float]:
    """What the encoder of pictures or sound takes: the peak of its own run, and its outputs, which are there before
    that and stay while the language model runs.

    The profiling run encodes as many of the largest items, of the modality that has the largest, as the encoder's
    budget holds: a step, or one such item where that has more tokens (``MultiModalBudget``,
    ``compute_mm_encoder_budget``). A modality that a limit forbids is left out.

    Args:
        facts: the model.
        step_tokens: tokens of one step.
        batch: requests of one batch.
        context: longest request in tokens.
        limits: most items of a request by modality; any number where none is set.
        tensor: GPUs over which the encoder's layers are cut, as those of the language model.
    """
    sizes = [
        (_item_tokens(facts, encoder, step_tokens, context), encoder)
        for encoder in facts.encoders
        if limits.get(encoder.modality) != 0
    ]
    if not sizes:
        return 0.0, 0.0
    tokens, encoder = max(sizes, key=lambda each: each[0])
    a_request = max(1, min(limits.get(encoder.modality, context), context // tokens))
    encoded = tokens * max(1, min(max(step_tokens, tokens) // tokens, batch * a_request))
    widths = 4 * encoder.hidden_size + 2 * encoder.intermediate_size / tensor
    peak = ACTIVATION_BYTES * encoded * encoder.positions * widths
    return peak, ACTIVATION_BYTES * encoded * facts.hidden_size * encoder.outputs


def _item_tokens(facts: ModelFacts, encoder: EncoderFacts, step_tokens: int, context: int) -> int:
    """Tokens of the largest item of a modality. A video has as many frames as the context holds, and at least one, a
    picture; where the model's files do not say how large an item gets, it counts as a step, the least that the
    encoder's budget has."""
    if encoder.tokens is None:
        return step_tokens
    if encoder.modality is not Modality.VIDEO:
        return encoder.tokens
    pictures = [each.tokens or 0 for each in facts.encoders if each.modality is Modality.IMAGE]
    return min(encoder.tokens, max([context, *pictures]))


def graph_count(accelerator: Accelerator, batch: int, sizes: tuple[int, ...] = ()) -> int:
    """CUDA graphs that vLLM captures: one for mixed batches of each size, and one for batches that only decode of each
    size up to ``batch`` (``FULL_AND_PIECEWISE``, its default). Without ``sizes`` those of
    ``VllmConfig._set_cudagraph_sizes`` (0.32.0)."""
    if not sizes:
        largest = 1024 if (accelerator.compute_capability or "").startswith("10.") else 512
        most = min(2 * batch, largest)
        sizes = tuple(size for size in (1, 2, 4, *range(8, 256, 8), *range(256, most + 1, 16)) if size <= most)
    return len(sizes) + sum(size <= batch for size in sizes)


def graph_bytes(layers: int, graphs: int) -> float:
    """GPU memory that vLLM sets aside for so many CUDA graphs of a model (``profile_cudagraph_memory``; since 0.21 it
    takes them off the KV cache). It measures two of a kind and multiplies; so does this."""
    return FIRST_GRAPH_BYTES + GRAPH_LAYER_BYTES * layers * graphs if graphs else 0.0
