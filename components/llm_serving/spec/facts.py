"""What a model's own files say of it: its shape, the bytes of its weights and how they are stored.

``stacks release add`` reads these facts from ``config.json`` and from the headers of the safetensors files, so that any
model of the engine can be planned for without a row in the catalog.
"""

from enum import StrEnum
from math import prod
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec.names import Amount, Count, PositiveAmount, PositiveCount

LongCount = Annotated[int, Field(ge=0, le=10**15)]
"""A number of parameters or of bytes: no model of this decade has a quadrillion of either."""


class Task(StrEnum):
    """What a model is asked for."""

    GENERATE = "generate"
    """Text: chat and completion."""
    EMBED = "embed"
    """A vector for a text."""
    CLASSIFY = "classify"
    """A score or a class for a text, or for a question and a passage (reranking)."""


class AttentionKind(StrEnum):
    """What a layer keeps of a request's tokens."""

    FULL = "full"
    """Key and value of every token."""
    SLIDING = "sliding"
    """Key and value of the last tokens: a sliding window, or a chunk of chunked local attention."""
    LATENT = "latent"
    """One vector for key and value of all heads (multi-head latent attention, MLA): every GPU keeps it whole."""
    STATE = "state"
    """A state of fixed size: state-space models, linear attention, short convolutions."""
    NONE = "none"
    """Nothing: encoders, and layers without attention."""


_NEEDED = {
    AttentionKind.FULL: ("kv_heads", "head_dim"),
    AttentionKind.SLIDING: ("kv_heads", "head_dim", "window"),
    AttentionKind.LATENT: ("latent_dim",),
    AttentionKind.STATE: ("state_bytes",),
    AttentionKind.NONE: (),
}


class LayerFacts(Frozen):
    """Layers of one kind."""

    attention: AttentionKind
    """What they keep of a request: `full`, `sliding`, `latent`, `state` or `none`."""
    count: Annotated[int, Field(ge=1, le=10000)]
    """How many layers of the model are of this kind."""
    kv_heads: PositiveCount | None = None
    """Key and value heads of `full` and `sliding` layers."""
    head_dim: PositiveCount | None = None
    """Width of one key head."""
    value_dim: PositiveCount | None = None
    """Width of one value head; as wide as a key head where it is left out."""
    window: PositiveAmount | None = None
    """Tokens that a `sliding` layer keeps."""
    latent_dim: PositiveCount | None = None
    """Values that a `latent` layer keeps of a token: rank of key and value, and width of the rotary part."""
    index_bytes: Amount = 0
    """Bytes that a `latent` layer with sparse attention keeps of a token for its index."""
    state_bytes: LongCount | None = None
    """Bytes of the state of one request in one `state` layer, all GPUs together."""

    @model_validator(mode="after")
    def _has_its_sizes(self) -> "LayerFacts":
        missing = [name for name in _NEEDED[self.attention] if getattr(self, name) is None]
        if missing:
            key = type(self).model_fields[missing[0]].alias or missing[0]
            raise ProblemsError([Problem(key, None, f"layers with {self.attention} attention need it")])
        return self


class Modality(StrEnum):
    """What a model reads beside text, by vLLM's names."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VISION_CHUNK = "vision_chunk"
    """A picture or a piece of a video, which Kimi's models read alike."""


class EncoderFacts(Frozen):
    """How a model reads items of one modality: each goes through an encoder, and becomes tokens."""

    modality: Modality
    """What the items are: `image`, `video`, `audio` or `vision_chunk`."""
    tokens: PositiveAmount | None = None
    """Tokens of the largest item; left out where the model's files do not say it."""
    positions: PositiveCount = 1
    """Positions of the encoder that become one token."""
    hidden_size: PositiveCount
    """Width of the encoder."""
    intermediate_size: PositiveCount
    """Width of its MLP."""
    outputs: PositiveCount = 1
    """Vectors as wide as the language model that are kept of a token: more than one where deeper layers take some."""


class ExpertFacts(Frozen):
    """The experts of a mixture."""

    count: Annotated[int, Field(ge=2, le=100000)]
    """Experts of a layer."""
    active: PositiveCount
    """Experts that one token passes through."""
    width: PositiveCount
    """Width of one expert."""
    layers: PositiveCount
    """Layers that have experts; the others are dense."""
    shared_width: Count = 0
    """Width of what every token passes through beside its experts; 0 where there is none."""


class StoredQuantization(Frozen):
    """How the weights are stored in the model's repository, by its own `quantization_config`."""

    method: str
    """`quant_method` of the model, for example `awq`, `fp8` or `compressed-tensors`."""
    bits: Annotated[int, Field(ge=1, le=16)] | None = None
    """Bits of a weight, where the model says so."""
    group_size: PositiveCount | None = None
    """Weights that share a scale, where they are in groups."""
    format: str | None = None
    """Number format or layout, as the model calls it, for example `float-quantized`."""


Dtype = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,15}$")]


class ModelFacts(Frozen):
    """Shape, size and storage of a model, read from its own files."""

    architecture: str
    """Class of the model in its `config.json`, for example `Qwen3ForCausalLM`."""
    task: Task = Task.GENERATE
    """What it is asked for: `generate`, `embed` or `classify`."""
    layers: Annotated[tuple[LayerFacts, ...], Field(min_length=1)]
    """Its layers, those of one kind together."""
    hidden_size: PositiveCount
    """Width of the residual stream."""
    heads: PositiveCount
    """Query heads."""
    intermediate_size: PositiveCount
    """Width of the MLP of dense layers; of an expert where all layers have experts."""
    vocabulary: PositiveAmount
    """Rows of the embedding table."""
    tied_embeddings: bool = False
    """The output projection is the embedding table."""
    max_context: PositiveAmount
    """Longest context that the model was made for, in tokens."""
    experts: ExpertFacts | None = None
    """Experts of a mixture; left out for dense models."""
    parameters: LongCount
    """All parameters."""
    weights: dict[Dtype, LongCount] = {}
    """Bytes of the weights by their type, for example `{BF16: 16381470720}`; empty where no weights were read."""
    quantization: StoredQuantization | None = None
    """How the weights are stored; left out where they are not quantized."""
    encoders: tuple[EncoderFacts, ...] = ()
    """What it reads beside text, one entry a modality; left out for text alone."""

    @property
    def layer_count(self) -> int:
        """Layers of the model."""
        return sum(group.count for group in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they are stored; 0 where they were not read."""
        return sum(self.weights.values())

    @property
    def kv_heads(self) -> int:
        """The fewest key and value heads of its layers, which tensor parallelism cuts or replicates; all query heads
        where no layer has any."""
        return min((group.kv_heads for group in self.layers if group.kv_heads is not None), default=self.heads)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of embedding table and output projection, which quantized checkpoints keep at 16 bits."""
        return prod((self.vocabulary, self.hidden_size, 1 if self.tied_embeddings else 2))
