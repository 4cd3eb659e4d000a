"""What is quantized: whose weights, by which scheme, with which calibration data."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import CACHE_PATH
from llm_serving.spec.names import ModelName, NamespaceName, PoolName, PositiveAmount, PositiveCount, Semver
from llm_serving.spec.release import ImageReference, Quantization
from llm_serving.spec.timeouts import DAY_SECONDS


class QuantizationScheme(StrEnum):
    """Schemes of compressed-tensors that the quantizer has (``images/quantizer``) and vLLM serves."""

    FP8_DYNAMIC = "FP8_DYNAMIC"
    """8-bit floating point, scales of activations computed on the way."""
    W8A8 = "W8A8"
    """8-bit integers, weights and activations."""
    W4A16 = "W4A16"
    """4-bit weights, 16-bit activations."""
    NVFP4 = "NVFP4"
    """4-bit floating point, weights and activations."""

    @property
    def calibrates(self) -> bool:
        """It needs text that the model reads while it is quantized."""
        return self is not QuantizationScheme.FP8_DYNAMIC

    @property
    def makes(self) -> Quantization:
        """What a release says of weights that it made."""
        return _MAKES[self]

    @property
    def group_size(self) -> int:
        """Weights that share a scale, which have to divide the widths of layers; 1 where there are no groups."""
        return _GROUPS.get(self, 1)


_MAKES = {
    QuantizationScheme.FP8_DYNAMIC: Quantization.FP8,
    QuantizationScheme.W8A8: Quantization.INT8,
    QuantizationScheme.W4A16: Quantization.GPTQ,
    QuantizationScheme.NVFP4: Quantization.NVFP4,
}
_GROUPS = {QuantizationScheme.W4A16: 128, QuantizationScheme.NVFP4: 16}
"""Preset schemes of compressed-tensors 0.19.0."""


class QuantizationBase(Frozen):
    """The release whose weights are quantized."""

    model: ModelName
    """The model."""
    release: Semver
    """The release's version, for example `1.0.0`."""


class CalibrationSpec(Frozen):
    """Text that the model reads while it is quantized."""

    path: Annotated[str, CACHE_PATH]
    """A `.txt` or `.jsonl` file, or a folder of them, from the root of the model cache on."""
    samples: PositiveCount = 512
    """Sequences of the text that are read; 512 by default."""
    sequence_length: PositiveAmount = 2048
    """Tokens of a sequence; 2048 by default."""


class QuantizationSpec(Frozen):
    """Quantized weights, made of those of a release by a Job into the model cache."""

    name: ModelName
    """Name of the result.

    It lies in ``quantized/<name>/<revision>`` of the model cache, where the revision changes with all that it is made
    of.
    """
    team: NamespaceName
    """Team in whose namespace the Job runs."""
    pool: PoolName
    """Pool whose nodes it runs on."""
    base: QuantizationBase
    """Whose weights."""
    scheme: QuantizationScheme
    """`FP8_DYNAMIC`, `W8A8`, `W4A16` or `NVFP4`, as llm-compressor calls them."""
    calibration: CalibrationSpec | None = None
    """Text that the model reads meanwhile; needed by all schemes but `FP8_DYNAMIC`."""
    image: ImageReference
    """Image with the quantizer (`images/quantizer`)."""
    accept_license: bool = False
    """The licence of a gated base was read and accepted."""
    timeout_seconds: Annotated[int, Field(ge=60, le=7 * DAY_SECONDS)] = 6 * 3600
    """Time in which the result must be there; six hours by default.

    It counts from the update on, so that waiting for a node is part of it.
    """
