"""Weights of the tiny model, drawn from a seed by whole numbers alone.

PCG64's stream of integers is fixed by numpy for every version and platform; its distributions and a platform's math
library are not. So each weight is a 16-bit integer times an exact power of two, rounded to bfloat16 by its bits.
"""

import numpy as np
from numpy.typing import NDArray
from safetensors import TensorSpec, serialize

from local.model.variants import SHAPE, Shape

_SPOKEN = " abcdefghijklmnopqrstuvwxyz,."
"""What the model answers with. Every other row of the output projection is zero: with these the largest logit is
about 16 and the others' logit is 0, so answers are plain text, and almost none ends before ``max_tokens``."""

_UNIT = 2.0**-15
"""Draws are integers from -32768 to 32767: times this, from -1 up to 1."""


class _Source:
    """Draws matrices from one seed, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def matrix(self, rows: int, columns: int, sixteenths: int) -> NDArray[np.float32]:
        """Uniform from -``sixteenths``/16 to ``sixteenths``/16; exact in float32 for up to 255 sixteenths."""
        count = rows * columns
        words = np.asarray(self._bits.random_raw(-(-count // 4)), dtype="<u8")
        draws = words.view("<u2")[:count].astype(np.int32) - 32768
        return ((draws * sixteenths).astype(np.float32) * np.float32(_UNIT / 16)).reshape(rows, columns)


def tensors(seed: int, shape: Shape = SHAPE) -> dict[str, NDArray[np.float32]]:
    """The parameters by the names that Llama checkpoints use."""
    source = _Source(seed)
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    ones = np.ones(width, dtype=np.float32)
    # sixteenths: 2/16 keeps the variance of 256 inputs near 1, 14/16 gives logits a deviation of about 8.
    result = {"model.embed_tokens.weight": source.matrix(shape.vocabulary, width, 16)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        result |= {
            f"{prefix}.input_layernorm.weight": ones,
            f"{prefix}.self_attn.q_proj.weight": source.matrix(queries, width, 2),
            f"{prefix}.self_attn.k_proj.weight": source.matrix(keys, width, 2),
            f"{prefix}.self_attn.v_proj.weight": source.matrix(keys, width, 2),
            f"{prefix}.self_attn.o_proj.weight": source.matrix(width, queries, 2),
            f"{prefix}.post_attention_layernorm.weight": ones,
            f"{prefix}.mlp.gate_proj.weight": source.matrix(inner, width, 2),
            f"{prefix}.mlp.up_proj.weight": source.matrix(inner, width, 2),
            f"{prefix}.mlp.down_proj.weight": source.matrix(width, inner, 2),
        }
    result["model.norm.weight"] = ones
    spoken = np.zeros((shape.vocabulary, 1), dtype=np.float32)
    spoken[list(_SPOKEN.encode())] = 1
    result["lm_head.weight"] = source.matrix(shape.vocabulary, width, 14) * spoken + np.float32(0)
    return result


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bits of bfloat16, little-endian: the upper half of float32, rounded to nearest, ties to even. Finite values
    only."""
    bits = values.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def checkpoint(seed: int, shape: Shape = SHAPE) -> bytes:
    """Content of ``model.safetensors``."""
    # The entries hold addresses: the arrays must live until the library has read them.
    arrays = {name: bfloat16(values) for name, values in tensors(seed, shape).items()}
    entries = {
        name: TensorSpec(dtype="bfloat16", shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
        for name, array in arrays.items()
    }
    return bytes(serialize(entries, metadata={"format": "pt"}))
